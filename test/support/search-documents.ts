import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import pc from 'picocolors';
import { type Evaluated, readScore } from '../../src/search/evaluate/results/read.ts';
import { storedForecast } from '../../src/search/forecast/document.ts';
import { forecastPage } from '../../src/search/forecast/page.ts';
import { forecastText } from '../../src/search/forecast/text.ts';
import { gridPage } from '../../src/search/grid/page.ts';
import { storedGridScores } from '../../src/search/grid/report.ts';
import { gridScoresText } from '../../src/search/grid/text.ts';
import { AskTellSession } from '../../src/search/optimise/ask-tell.ts';
import { searchPage } from '../../src/search/optimise/page.ts';
import { storedSearch } from '../../src/search/optimise/report.ts';
import { madeOf } from '../../src/search/optimise/result.ts';
import { searchText } from '../../src/search/optimise/text.ts';
import { readProposal } from '../../src/search/sampler/command.ts';
import { parseSpace } from '../../src/search/space/parse.ts';
import { scheduleSpace } from '../../src/search/space/schedule.ts';
import { readStudy, type StoredStudy } from '../../src/search/study/read.ts';
import type { StudyIdentity, TrialLine } from '../../src/search/study/trials-file.ts';
import { sampleForecast } from '../browser/sample-forecast.ts';
import { sampleGridStudy } from '../browser/sample-grid.ts';
import { type SampleKind, sampleSearch } from '../browser/sample-search.ts';
import { type DocumentReader, inMemory, oneOf, written } from './document-reader.ts';
import { jsonMutator, type Mutator, pick, scrambled, yamlMutator } from './mutate.ts';
import { membersOf } from './schedule-members.ts';

const plainColors = pc.createColors(false);

const MEMBERS = membersOf(6);

const SPACE = `space: schedule
parameters:
  window: { from: 2, to: 6 }
  spacing: [1, 2]
  method: [sma, ema]
  alpha: { from: 0.05, to: 0.5, log: true }
fixed:
  skip: 0
roles:
  router: { window: 2 }
`;

const LM_EVAL = {
  results: {
    quiz: { alias: 'quiz', 'acc,none': 0.5, 'acc_stderr,none': 0.01, 'loss,none': 2 },
    group: { 'acc,none': 0.5, alias: 'g' },
  },
  group_subtasks: { group: ['quiz', 'other'], other: [] },
  configs: { quiz: { task: 'quiz' } },
  higher_is_better: { quiz: { acc: true, loss: false }, group: { acc: true } },
};
const SAMPLE_LINE = { doc_id: 1, doc_hash: 'abc', filter: 'none', acc: 1, arguments: [['a']], target: 'x' };
const LIGHTEVAL = {
  config_general: { model_name: 'm' },
  results: {
    'gsm8k|5': { em: 0.5, em_stderr: 0.01 },
    'mmlu:a|5': { acc: 0.25, acc_stderr: 0.1 },
    'mmlu:_average|5': { acc: 0.25 },
    all: { em: 0.5, acc: 0.25 },
  },
  config_tasks: {
    'gsm8k|5': { metrics: [{ metric_name: 'em', higher_is_better: true }] },
    'mmlu:a|5': { metrics: [{ metric_name: ['acc'], higher_is_better: { acc: true } }] },
  },
};
const SCORE = {
  ...{ score: 0.5, stderr: 0.01, items: { a: 0.4, b: 0.6 }, scores: [0.4, 0.6], metrics: { acc: 0.5, loss: 2 }, cost: 1.25 },
  ...{ higher_is_better: { acc: true, loss: false }, constraints: { size: -1, ok: true } },
};

/** Kinds of studies whose trials are read. */
type StudyKind = SampleKind | 'forecast' | 'grid';

/** Lines of a file of trials as a study of that kind leaves them. */
function trialLines(kind: StudyKind): object[] {
  if (kind === 'grid') {
    const { identity: study, trials } = sampleGridStudy({ ends: 4, failed: true });
    return trials.map((line, i) => (i === 0 ? { ...line, schema: 'ckpt-merge/trials', version: 1, study } : line));
  }
  const forecast = kind === 'forecast';
  const document = forecast
    ? { ...sampleForecast({ windows: 4 }), space: { name: 'windows', parameters: [] } }
    : sampleSearch(kind, { members: 4, trials: 9 });
  const points = forecast ? sampleForecast({ windows: 4 }).points : sampleSearch(kind, { members: 4 }).members;
  const members = points.map(({ path, step, tokens }) => ({ path, step, tokens, fingerprint: path }));
  const all = members.map((_, m) => m);
  const value = (name: string, values: (string | number)[]) => ({ name, kind: 'choice' as const, values });
  const parameters = forecast ? [value('window', [2]), value('method', ['sma'])] : sampleSearch(kind, { members: 4 }).space.parameters;
  const study: StudyIdentity = {
    ...{ kind: forecast ? 'forecast' : kind === 'soup' ? 'soup' : 'search', inputs: ['run'], members, pool: all, last: all },
    legs: [
      {
        name: forecast ? 'windows' : document.space.name,
        parameters,
        axes: forecast
          ? []
          : parameters.map((p) => (p.kind === 'real' ? { kind: 'real' } : { kind: p.kind === 'choice' ? 'choice' : 'levels', count: 3 })),
        members: all,
      },
    ],
    ...{ evaluator: 'e {model}', metrics: ['acc'], goal: 'minimize', noise: 'shared', sampler: 'gp', seed: 1, policies: [], dtype: null },
  };
  return document.trials.map((trial, i): object => {
    const own = forecast ? { kind: i % 2 === 0 ? 'single' : 'window', params: { step: members[i >> 1]!.step! } } : {};
    const line: TrialLine = {
      ...trial,
      ...(own as object),
      items: trial.score === null ? null : [{ name: '', weight: 1, digest: 'd', scores: [trial.score - 0.1, trial.score + 0.1] }],
      point: trial.params === null || forecast ? null : parameters.map(() => 0.5),
      ...{ leg: 0, higherIsBetter: null, round: 0, roundSize: 3, elapsed: i },
    };
    return i === 0 ? { ...line, schema: 'ckpt-merge/trials', version: 1, study } : line;
  });
}

/** A file of trials with one line, most often the first, changed. */
function trialsMutator(kind: StudyKind): Mutator {
  const lines = trialLines(kind);
  const mutators = lines.map(jsonMutator);
  const texts = lines.map((line) => JSON.stringify(line));
  return (random) => {
    const at = random() < 0.5 ? 0 : Math.floor(random() * lines.length);
    const changed = texts.map((text, i) => (i === at || random() < 0.02 ? mutators[i]!(random).replaceAll('\n', ' ') : text));
    const text = `${changed.join('\n')}\n`;
    return random() < 0.05 ? scrambled(random, text) : text;
  };
}

async function report(text: string, folder: string): Promise<void> {
  writeFileSync(join(folder, 'trials.jsonl'), text);
  const stored = await readStudy(folder);
  if (stored.identity.kind === 'forecast') {
    const document = await storedForecast(stored);
    forecastText(document, plainColors);
    forecastPage(document);
  } else if (stored.identity.kind === 'grid') {
    const document = await storedGridScores(stored);
    gridScoresText(document, plainColors);
    gridPage(document);
  } else {
    const document = await storedSearch(stored);
    searchText(document, plainColors);
    searchPage(document);
  }
}

/** What an evaluation that printed or wrote this gives. */
function score(
  files: (text: string) => Readonly<Record<string, string>>,
  printed: (text: string) => Partial<Evaluated> = () => ({}),
): DocumentReader['read'] {
  return async (text, folder, random) => {
    const out = join(folder, 'out');
    if (!existsSync(out)) mkdirSync(out);
    for (const [name, content] of Object.entries(files(text))) writeFileSync(join(folder, name), content);
    const found: Evaluated = { out, resultFile: join(folder, 'result'), stdout: '', stderr: '', since: 0, ...printed(text) };
    const metrics = pick(random, [
      [],
      ['quiz/acc,none'],
      ['group/acc'],
      ['gsm8k|5/em'],
      ['mmlu:_average|5/acc'],
      ['acc', 'loss'],
      ['toString'],
    ]);
    await readScore(found, { metrics: metrics.map((name) => ({ name, weight: 1 })) });
  };
}

const SPACE_OF_SIX = await scheduleSpace(MEMBERS, { parameters: { window: { from: 2, to: 6 }, method: ['sma', 'ema'] } } as never);

/** A session to which the document is a message. */
async function session(text: string): Promise<void> {
  const input = new PassThrough();
  const lines: string[] = [];
  const output = new Writable({
    write: (chunk, _, done) => {
      lines.push(String(chunk));
      done();
    },
  });
  const trial = {
    trial: 1,
    kind: 'trial',
    status: 'open',
    params: null,
    weights: [],
    model: '/m',
    score: null,
    stderr: null,
    reason: null,
  } as const;
  const driver = { ask: async () => [trial], tell: async () => ({ best: null }), best: () => null };
  const running = new AskTellSession({ input, output, space: SPACE_OF_SIX, goal: 'maximize', driver }).run(new AbortController().signal);
  input.end(`{"ask":1}\n${text.replaceAll('\n', ' ')}\n{"best":1}\n`);
  const end = await running;
  // Whatever the message was, the session went on to the next one.
  if (end === 'end of input' && !lines.at(-1)!.startsWith('{"best"'))
    throw new Error(`the session lost its way: ${lines.at(-1)!.slice(0, 200)}`);
}

const MESSAGES = [
  { ask: 2 },
  { ask: 1, params: { window: 3, method: 'ema' } },
  {
    ask: 2,
    params: [
      { window: 3, method: 'ema' },
      { window: 2, method: 'sma' },
    ],
  },
  { tell: 1, score: 0.5, stderr: 0.1, scores: [0.25, 0.75] },
  { tell: 1, status: 'failed', reason: 'out of memory' },
  { best: 1 },
  { stop: true },
];

let forecast: StoredStudy | null = null;

/** A forecast of the sample's trials, in this folder. */
async function forecastIn(folder: string): Promise<StoredStudy> {
  if (forecast === null)
    writeFileSync(
      join(folder, 'trials.jsonl'),
      trialLines('forecast')
        .map((line) => `${JSON.stringify(line)}\n`)
        .join(''),
    );
  forecast ??= await readStudy(folder);
  return { ...forecast, folder };
}

export const SEARCH_DOCUMENTS: readonly DocumentReader[] = [
  { name: 'a search space', mutate: yamlMutator(SPACE), read: (text) => parseSpace('s.yaml', text, MEMBERS) },
  ...(['pairwise', 'plane', 'schedule', 'soup', 'forecast', 'grid'] as const).map(
    (kind): DocumentReader => ({
      name: `trials of ${kind}`,
      mutate: trialsMutator(kind),
      read: (text, folder) => report(text, folder),
      seldom: 5,
    }),
  ),
  {
    name: 'the result of a forecast',
    mutate: jsonMutator({
      branches: [
        { step: 5800, score: 1.27 },
        { step: 6000, score: 1.16 },
      ],
    }),
    read: async (text, folder) => {
      writeFileSync(join(folder, 'result.json'), text);
      await storedForecast(await forecastIn(folder));
    },
  },
  { name: 'made.json', mutate: jsonMutator({ trials: [1, 2] }), read: written('made.json', (_, folder) => madeOf(folder)) },
  { name: 'a message of a driver', mutate: oneOf(MESSAGES), read: session },
  {
    name: 'an answer of a sampler',
    mutate: oneOf([{ params: { window: 3, method: 'ema' } }, { stop: true }]),
    read: inMemory((text) => readProposal(text, SPACE_OF_SIX)),
  },
  { name: 'a result file', mutate: jsonMutator(SCORE), read: score((text) => ({ result: text })) },
  {
    name: 'a line of stdout',
    mutate: jsonMutator(SCORE),
    read: score(
      () => ({}),
      (text) => ({ stdout: `loading\n${text}\n` }),
    ),
  },
  { name: 'results of lm-eval', mutate: jsonMutator(LM_EVAL), read: score((text) => ({ 'out/results_2026-01-31T12-00-00.1.json': text })) },
  {
    name: 'samples of lm-eval',
    mutate: jsonMutator(SAMPLE_LINE),
    read: score((text) => ({
      'out/results_2026-01-31T12-00-00.1.json': JSON.stringify(LM_EVAL),
      'out/samples_quiz_2026-01-31T12-00-00.1.jsonl': `${JSON.stringify(SAMPLE_LINE)}\n${text}\n`,
    })),
  },
  { name: 'results of lighteval', mutate: jsonMutator(LIGHTEVAL), read: score((text) => ({ 'out/results_1.json': text })) },
];
