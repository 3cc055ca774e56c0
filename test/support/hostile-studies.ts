import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HostileCase } from './hostile-case.ts';
import { caseOf, forecast, ONE, type Row, scored, search } from './hostile-search.ts';
import { writeTree } from './run-trees.ts';
import { sglangStub, type UpdateMode } from './sglang-stub.ts';

/** What an evaluation leaves behind is for its user to read. */
const leaves =
  (place = 'out.search') =>
  () => ({ leaves: place });
const failing = (...args: string[]): string[] => scored(args[0]!, '--goal', 'maximize', ...args.slice(1));
/** A result file of lm-eval with these metrics of one task, and which of them are better when higher. */
const lmEval = (metrics: Readonly<Record<string, number>>, higher: Readonly<Record<string, boolean>>): string => {
  const text = JSON.stringify({ results: { t: metrics }, higher_is_better: { t: higher }, configs: { t: {} }, versions: { t: 1 } });
  return `true {model}; mkdir -p {out}; printf %s '${text}' > {out}/results_2026-01-01T00-00-00.000000.json`;
};
const TWO = lmEval({ 'acc,none': 0.5, 'f1,none': 0.4 }, { acc: true, f1: true });

const EVALUATORS: readonly Row[] = [
  ['E_GOAL', 2, 'search: no direction known', scored(ONE), '--goal', leaves()],
  [
    'E_GOAL',
    2,
    'search: metrics of two directions',
    scored(lmEval({ 'acc,none': 0.5, 'ppl,none': 9 }, { acc: true, ppl: false }), '--metric', 't/acc', '--metric', 't/ppl'),
    'disagree',
    leaves(),
  ],
  ['E_METRIC', 2, 'search: several metrics and no --metric', failing(TWO), 't/f1,none', leaves()],
  ['E_METRIC', 2, 'search: --metric that fits none', failing(TWO, '--metric', 't/acg'), 't/acg', leaves()],
  ['E_METRIC', 2, 'search: --metric for a score without a name', failing(ONE, '--metric', 't/acc'), 'Leave out --metric', leaves()],
  [
    'E_EVALUATOR',
    1,
    'search: --eval that is not there (127)',
    failing('nosuch-evaluator {model}'),
    'nosuch-evaluator: not found',
    leaves(),
  ],
  ['E_EVALUATOR', 1, 'search: --eval fails', failing('true {model}; echo no such task; exit 3'), 'no such task', leaves()],
  ['E_EVALUATOR', 1, 'search: --eval prints no number', failing('true {model}; echo done'), 'trial-0000.log', leaves()],
  ['E_EVALUATOR', 1, 'search: --eval prints NaN', failing('true {model}; echo nan'), 'NaN', leaves()],
  ['E_EVALUATOR', 1, 'search: --metric-regex that matches nothing', failing(ONE, '--metric-regex', 'loss = (.*)'), 'loss = (.*)', leaves()],
  ['E_EVALUATOR', 1, 'search: --metric-file that is not written', failing(ONE, '--metric-file', '*.json'), "'*.json'", leaves()],
  ['E_EVALUATOR', 1, 'search: --eval-setup fails', search('--eval-setup', 'echo no data; exit 4'), 'no data'],
  [
    'E_EVALUATOR',
    1,
    'search: --validate fails',
    failing(ONE, '--validate', 'false {model}'),
    'the first evaluation by --validate failed',
    leaves(),
  ],
  [
    'E_EVALUATOR',
    1,
    'soup: --eval fails',
    ['soup', 'run', '-o', 'out', '--goal', 'minimize', '--eval', 'false {model}'],
    'trial-0000.log',
    leaves(),
  ],
  [
    'E_EVALUATOR',
    1,
    'forecast: --eval fails',
    ['forecast', 'run', '--window', '2', '--eval', 'false {model}'],
    'trial-0000.log',
    leaves('run.forecast'),
  ],
  ['E_NO_TRIAL', 1, 'search: --eval skips everything (125)', failing('true {model}; exit 125'), 'not one of', leaves()],
  [
    'E_CALIBRATE',
    2,
    'forecast: a decay no better than the checkpoint',
    forecast('--calibrate', '400=1'),
    'no better than the checkpoint alone',
    leaves('run.forecast'),
  ],
];

const served =
  (mode: UpdateMode) =>
  async (folder: string): Promise<{ leaves: string; args: readonly string[] }> => {
    const stub = await sglangStub(join(folder, 'run/checkpoint-100'));
    stub.mode = mode;
    return { leaves: 'out.search', args: failing('echo 1 {model} {server}', '--eval-server', `sglang=${stub.url}`) };
  };

const SERVERS: readonly Row[] = [
  ['E_STALE_WEIGHTS', 1, 'search: a server that goes on with stale weights', [], 'bit for bit', served('stale')],
  ['E_EVALUATOR', 1, 'search: a server that refuses the weights', [], 'Failed to get model loader', served('refuses')],
];

/** A sampler command that answers with one line, whatever is asked. */
const sampler = (...lines: string[]): string[] =>
  search(
    '--space',
    'pairwise',
    '--last',
    '2',
    '--trials',
    '6',
    '--sampler-cmd',
    `${lines.map((line) => `echo '${line}'`).join('; ')}; cat > /dev/null`,
  );

const SAMPLERS: readonly Row[] = [
  ['E_SAMPLER', 1, 'sampler: text that is no JSON', sampler('hello'), 'it wrote: hello', leaves()],
  ['E_SAMPLER', 1, 'sampler: a list', sampler('[1]'), 'one line of JSON', leaves()],
  ['E_SAMPLER', 1, 'sampler: an object without params', sampler('{"lambda":0.7}'), 'has "params"', leaves()],
  ['E_SAMPLER', 1, 'sampler: unknown parameter', sampler('{"params":{"lamda":0.7}}'), 'did you mean lambda?', leaves()],
  ['E_SAMPLER', 1, 'sampler: a value outside its bounds', sampler('{"params":{"lambda":7}}'), 'between 0.5 and 1', leaves()],
  ['E_SAMPLER', 1, 'sampler: a value of another kind', sampler('{"params":{"lambda":"0.7"}}'), 'lambda', leaves()],
  ['E_SAMPLER', 1, 'sampler: it ends', search('--sampler-cmd', 'exit 3'), 'exit code 3', leaves()],
  ['E_SAMPLER', 1, 'sampler: it is not there (127)', search('--sampler-cmd', 'nosuch-sampler'), 'exit code 127', leaves()],
];

const line = (fields: object = {}) => ({
  ...{
    id: 0,
    kind: 'newest',
    params: {},
    weights: [{ path: 'run/checkpoint-100', step: 100, weight: 1 }],
    parts: [],
    recipe: 'r',
    status: 'complete',
    score: 1,
    stderr: null,
    metrics: {},
    source: 'stdout',
  },
  ...{
    reason: null,
    by: null,
    proposals: null,
    repeatOf: null,
    seconds: 1,
    mergeSeconds: 0,
    cost: null,
    time: '2026-01-01T00:00:00.000Z',
    items: null,
  },
  ...{ point: null, leg: 0, higherIsBetter: true, round: 0, roundSize: 1, elapsed: 1 },
  ...fields,
});
const study = {
  ...{
    kind: 'search',
    inputs: ['run'],
    members: [{ path: 'run/checkpoint-100', step: 100, tokens: null, fingerprint: 'f' }],
    pool: [0],
    last: [0],
  },
  ...{
    legs: [
      { name: 'schedule', parameters: [{ name: 'window', kind: 'integer', low: 1, high: 4 }], axes: [{ kind: 'real' }], members: [0] },
    ],
    evaluator: 'other.sh {model}',
    metrics: [],
    goal: 'maximize',
    noise: 'shared',
    sampler: 'gp',
    seed: 7,
    policies: [],
    dtype: null,
  },
};
const first = (fields: object = {}) => JSON.stringify({ ...line(), schema: 'ckpt-merge/trials', version: 1, study, ...fields });
/** A folder of trials with these lines. */
const trials =
  (...lines: string[]) =>
  (folder: string) => {
    writeTree(join(folder, 'out.search'), {
      'trials.jsonl': lines.map((text) => `${text}\n`).join(''),
      'best.yaml': 'mine',
      'logs/trial-0000.log': 'x',
    });
    return { file: 'out.search', leaves: 'out.search/.lock' };
  };
const kept = (folder: string) => ({ leaves: trials(first())(folder).leaves });
const report = ['report', 'out.search'];

const FOLDERS: readonly Row[] = [
  ['E_OUTPUT_EXISTS', 4, 'search: the folder holds another search', search(), '--resume', trials(first())],
  ['E_OUTPUT_EXISTS', 4, 'soup: the folder holds a search', ['soup', 'run', '--eval', ONE, '-o', 'out'], 'holds a search', trials(first())],
  ['E_SEARCH_STATE', 2, 'search: --resume of other settings', search('--resume'), 'evaluator: other.sh {model} then', trials(first())],
  ['E_TRIALS', 2, 'search: --resume of trials that are no JSON', search('--resume'), 'line 2', trials(first(), '{"id":')],
  ['E_TRIALS', 2, 'search: --resume of lines that are no trials', search('--resume'), 'line 2', trials(first(), '{"id":1}')],
  [
    'E_TRIALS',
    2,
    'search: --resume of a trial that is there twice',
    search('--resume'),
    'trial 0',
    trials(first(), JSON.stringify(line())),
  ],
  ['E_USAGE', 2, 'search: --force and then an --eval that cannot be', scored('eval.py {modl}', '--force'), '{model}', kept],
  [
    'E_EVALUATOR',
    1,
    'search: --force and then an --eval-setup that fails',
    search('--force', '--eval-setup', 'exit 4'),
    '--eval-setup failed',
    kept,
  ],
  ['E_TRIALS', 2, 'report: of another version', report, 'version 2', trials(first({ version: 2 }))],
  ['E_TRIALS', 2, 'report: a first line that tells of no study', report, 'line 1', trials(JSON.stringify(line()))],
  [
    'E_TRIALS',
    2,
    'report: of what is no trials',
    ['report', 'notes.txt'],
    'notes.txt',
    (folder) => writeFileSync(join(folder, 'notes.txt'), 'hello\n'),
  ],
  ['E_NOT_FOUND', 3, 'report: of nothing', ['report', 'gone'], 'trials.jsonl'],
  ['E_NOT_FOUND', 3, 'report: of a run', ['report', 'run'], 'run/trials.jsonl'],
];

/** Another search at work, which takes its time over an evaluation. */
const BUSY = `rm -rf out.search; "$@" --eval 'true {model}; sleep 30' > /dev/null 2>&1 & other=$!; until [ -e out.search/logs ]; do sleep 0.02; done
"$@" --eval 'true {model}; echo 1'; code=$?; kill -INT $other; wait $other; exit $code`;

const SESSIONS: readonly Row[] = [
  [
    'E_SEARCH_BUSY',
    4,
    'search: two in one folder',
    ['search', 'run', '--goal', 'maximize', '-o', 'out'],
    'already, by process',
    () => ({ shell: BUSY, leaves: 'out.search' }),
  ],
];

/** Evaluators, servers, samplers and folders that let a study down. */
export const HOSTILE_STUDIES: readonly HostileCase[] = [...EVALUATORS, ...SERVERS, ...SAMPLERS, ...FOLDERS, ...SESSIONS].map(caseOf);

/**
 * Messages to `--ask-tell` over a pair with trial 0 open and trial 1 told, and a piece of what they are
 * answered.
 */
export const HOSTILE_MESSAGES: readonly (readonly [message: string, says: string])[] = [
  ['{"ask":1', 'this is not JSON'],
  ['{"tell":0,"score":NaN}', '"status":"failed"'],
  ['[]', 'a message is a JSON object'],
  ['{}', 'an empty object'],
  ['{"aks":1}', 'ask, tell, best, stop'],
  ['{"ask":1,"best":1}', 'ask and best in one message'],
  ['{"ask":0}', '1 to 256'],
  ['{"ask":1,"parms":{"lambda":0.7}}', 'did you mean params?'],
  ['{"ask":2,"params":[{"lambda":0.7}]}', 'params for 1'],
  ['{"ask":1,"params":0.7}', 'an object of names and values'],
  ['{"ask":1,"params":{"lamda":0.7}}', 'did you mean lambda?'],
  ['{"ask":1,"params":{"lambda":1.5}}', 'between 0.5 and 1'],
  ['{"ask":1,"params":{"lambda":"0.7"}}', 'lambda'],
  ['{"tell":0}', 'a score, or with the status'],
  ['{"tell":0,"score":1,"status":"failed"}', 'has no status'],
  ['{"tell":0,"score":"1"}', 'a finite number'],
  ['{"tell":0,"score":1,"stderr":-1}', 'from 0 to 1e100'],
  ['{"tell":0,"score":1,"scores":[0,1]}', 'the mean of scores is 0.5'],
  ['{"tell":0,"status":"lost"}', 'failed or skipped'],
  ['{"tell":1,"score":1}', 'was told before'],
  ['{"tell":9,"score":1}', 'there is no trial 9'],
  ['{"stop":"now"}', 'stop is 1'],
];
