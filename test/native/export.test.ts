import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportScores, search, watch } from '../../src/index.ts';
import { readEventFile } from '../support/event-file.ts';
import { scoreOfBytes } from '../support/scored-watch.ts';
import { eventFileIn, freshRuns, WatchedRun } from '../support/watched-run.ts';
import { historyOf } from '../support/watching.ts';

const fresh = freshRuns();
const at = (...parts: string[]) => fresh().at(...parts);
const save = (first: number, last?: number) => fresh().save(first, last);
/** A watch that scored, made once, and copied to where each test works. */
const made = new WatchedRun();
beforeAll(() => made.score());
afterAll(() => made.folder.remove());
function copied(): void {
  for (const name of ['run', 'merges']) cpSync(made.at(name), at(name), { recursive: true });
}
const watched = (log: readonly string[]) => fresh().score({ log });
const scores = (...names: string[]) => fresh().scores(...names);
const lines = () => fresh().lines();
const eventFile = (place = scores('tensorboard')) => eventFileIn(place);

/** RFC 4180, a character at a time. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  let field = '';
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (quoted && c === '"' && text[i + 1] === '"') field += text[i++];
    else if (c === '"') quoted = !quoted;
    else if (!quoted && (c === ',' || c === '\r')) {
      rows.at(-1)!.push(field);
      field = '';
      if (c === '\r') {
        rows.push([]);
        i++;
      }
    } else field += c;
  }
  return rows.slice(0, -1);
}

describe('logs of a watch', () => {
  it('have a row for each trial, with the endpoint, its tokens and the gain over the checkpoint alone', async () => {
    copied();
    await exportScores({ trials: at('merges', 'scores'), to: ['csv', 'jsonl'] });
    const [head, ...rows] = readCsv(readFileSync(scores('scores.csv'), 'utf8'));
    const column = (name: string) => rows.map((row) => row[head!.indexOf(name)]);
    const trials = lines();
    expect(rows).toHaveLength(9);
    expect(column('trial').map(Number)).toEqual(trials.map(({ id }) => id));
    expect(column('score').map(Number)).toEqual(trials.map(({ score }) => score));
    expect(column('step')).toEqual([3, 4, 5].flatMap((n) => [1, 2, 3].map(() => String(n * 100))));
    expect(column('series')).toEqual([3, 4, 5].flatMap(() => ['single', 'w2ckpt-sma', 'w3ckpt-sma']));
    const gains = column('gain');
    trials.forEach(({ score }, i) => {
      const single = trials[i - (i % 3)]!.score;
      if (i % 3 === 0) expect(gains[i]).toBe('');
      else expect(Number(gains[i])).toBeCloseTo(single - score, 12);
    });
    const json = readFileSync(scores('scores.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(json.map((row) => [String(row.trial), String(row.score), row.name])).toEqual(rows.map((row) => [row[1], row[8], row[3]]));
  });

  it('are event files whose checksums hold, by step and by tokens, with weights as text', async () => {
    copied();
    await exportScores({ trials: at('merges', 'scores'), to: ['tensorboard'] });
    const events = readEventFile(readFileSync(eventFile()));
    expect(events[0]!.version).toBe('brain.Event:2');
    const trials = lines();
    const singles = trials.filter(({ kind }) => kind === 'single');
    const scalars = (tag: string) => events.filter((event) => event.tag === tag).map(({ step, value }) => [step, value]);
    expect(scalars('score/single')).toEqual([300, 400, 500].map((step, i) => [step, Math.fround(singles[i]!.score)]));
    const tokens = scalars('by_tokens/score/single').map(([step]) => step);
    expect(tokens).toEqual([3, 4, 5].map((n) => historyOf(at('merges')).find(({ step }) => step === 100 * n)!.tokens));
    const merged = trials.filter(({ params }) => String(params.output).endsWith('-w2'));
    expect(scalars('gain/w2ckpt-sma')).toEqual([300, 400, 500].map((step, i) => [step, Math.fround(singles[i]!.score - merged[i]!.score)]));
    const texts = events.filter(({ tag }) => tag === 'recipe/w2ckpt-sma');
    expect(texts.every(({ plugin }) => plugin === 'text')).toBe(true);
    expect(texts[0]!.text).toContain('| checkpoint-200 | 0.5 |\n| checkpoint-300 | 0.5 |');
    expect(events.find(({ tag }) => tag === 'about')!.text).toContain('[live.html](live.html)');
  });

  it('are the same afterwards, whenever they were cut off', async () => {
    await watched(['tensorboard', 'csv']);
    const [file, csv] = [eventFile(), readFileSync(scores('scores.csv'), 'utf8')];
    const whole = readFileSync(file);
    for (const keep of [0, 1, 11, 12, 100, Math.floor(whole.length / 2), whole.length - 1, whole.length]) {
      truncateSync(file, keep);
      await exportScores({ trials: at('merges', 'scores'), to: ['tensorboard', 'csv'] });
      expect(readFileSync(file).equals(whole)).toBe(true);
      writeFileSync(file, whole);
    }
    expect(readFileSync(scores('scores.csv'), 'utf8')).toBe(csv);
    await exportScores({ trials: scores('trials.jsonl'), to: [`tensorboard=${at('tb')}`, `csv=${at('own.csv')}`] });
    expect(readFileSync(eventFile(at('tb'))).equals(whole)).toBe(true);
    expect(readFileSync(at('own.csv'), 'utf8')).toBe(csv);
  });

  it('end no watch where they cannot be written, and are made up for', async () => {
    mkdirSync(at('tb'));
    const strange = at('tb', 'events.out.tfevents.1.other');
    save(1, 3);
    const warnings: string[] = [];
    await watch(
      {
        ...{ run: at('run'), output: at('merges'), once: true, settle: 0.01, threads: 1, log: [`tensorboard=${at('tb')}`] },
        eval: async (model) => {
          writeFileSync(strange, '');
          return { ...scoreOfBytes(model), higherIsBetter: false };
        },
      },
      { onEvent: (event) => void (event.type === 'warning' && warnings.push(`${event.warning.code} ${event.warning.message}`)) },
    );
    expect(warnings).toEqual([expect.stringMatching(/^W_LOG .* has an event file of another run, events\.out\.tfevents\.1\.other$/)]);
    expect(lines()).toHaveLength(2);
    rmSync(strange);
    await exportScores({ trials: at('merges', 'scores'), to: [`tensorboard=${at('tb')}`] });
    expect(readEventFile(readFileSync(eventFile(at('tb')))).filter(({ tag }) => tag === 'score/single')).toHaveLength(1);
  });
});

describe('logs of a search', () => {
  it('count trials, with the best so far', async () => {
    save(1, 4);
    await search({
      ...{
        inputs: [at('run')],
        select: { last: 3 },
        dir: at('search'),
        trials: 5,
        sampler: 'random',
        threads: 1,
        log: ['tensorboard', 'csv'],
      },
      eval: async (model) => ({ ...scoreOfBytes(model), higherIsBetter: true }),
    });
    const trials = readFileSync(at('search', 'trials.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const events = readEventFile(readFileSync(eventFile(at('search', 'tensorboard'))));
    let best = Number.NEGATIVE_INFINITY;
    const expected = trials.map(({ id, score }) => {
      best = Math.max(best, score);
      return [id, Math.fround(best)];
    });
    expect(events.filter(({ tag }) => tag === 'score/best so far').map(({ step, value }) => [step, value])).toEqual(expected);
    expect(readCsv(readFileSync(at('search', 'scores.csv'), 'utf8'))).toHaveLength(trials.length + 1);
  });
});
