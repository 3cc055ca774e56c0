import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ErrorCode } from '../../src/base/errors.ts';
import type { HostileCase, HostileSetup } from './hostile-case.ts';
import { type RunEntry, steadyEntries, writeRun, writeTree } from './run-trees.ts';

export type Row = readonly [
  code: ErrorCode,
  exit: number,
  place: string,
  args: readonly string[],
  says: string,
  /** Makes what the fault needs; what it gives back is put into the setup. */
  change?: (folder: string) => unknown,
];

/** An evaluator to which all models are worth the same. */
export const ONE = 'true {model}; echo 1';
const RUN = steadyEntries(4);
const given = ['--goal', 'maximize', '-o', 'out'];
export const search = (...args: string[]): string[] => ['search', 'run', '--eval', ONE, ...given, ...args];
export const scored = (command: string, ...args: string[]): string[] => [
  'search',
  'run',
  '--trials',
  '3',
  '-o',
  'out',
  '--eval',
  command,
  ...args,
];
export const forecast = (...args: string[]): string[] => ['forecast', 'run', '--window', '2', '--eval', ONE, '--goal', 'maximize', ...args];

const OPTIONS: readonly Row[] = [
  ['E_USAGE', 2, 'search: no -o and no --dir', ['search', 'run', '--eval', ONE], '--dir'],
  ['E_USAGE', 2, 'search: no --eval', ['search', 'run', '-o', 'out'], `--eval 'python eval.py "$MERGE_MODEL"'`],
  ['E_OPTION', 2, 'search: --eval with nothing in it', scored(''), '--eval'],
  ['E_OPTION', 2, 'search: --eval of spaces', scored('  '), '--eval is empty'],
  ['E_OPTION', 2, 'search: --eval with a placeholder that a second shell reads', scored("sh -c 'eval.py {model}'"), '"$MERGE_MODEL"'],
  ['E_USAGE', 2, 'search: --eval with an unknown placeholder', scored('python eval.py {modl}'), 'Did you mean {model}?'],
  ['E_USAGE', 2, 'search: --eval-setup with a placeholder', search('--eval-setup', 'get {model}'), '--eval-setup has {model}'],
  ['E_USAGE', 2, 'search: --eval-cancel with an unknown placeholder', search('--eval-cancel', 'scancel {job}'), '--eval-cancel has {job}'],
  ['E_USAGE', 2, 'search: --validate with an unknown placeholder', search('--validate', 'test.sh {mdel}'), '--validate has {mdel}'],
  ['E_OPTION', 2, 'search: --validate of spaces', search('--validate', ' '), '--validate is empty'],
  ['E_OPTION', 2, 'search: --eval-server of another kind', search('--eval-server', 'vllm=http://localhost:1'), 'sglang=URL'],
  ['E_OPTION', 2, 'search: --eval-server without http', search('--eval-server', 'sglang=localhost:30000'), "'localhost:30000'"],
  ['E_OPTION', 2, 'search: --metric twice', search('--metric', 'a', '--metric', 'a'), "'a' is given twice"],
  ['E_OPTION', 2, 'search: --metric with weight 0', search('--metric', 'a=0'), "the weight '0'"],
  ['E_USAGE', 2, 'search: --metric as a pointer into no file', search('--metric', '/a'), '--metric-file'],
  ['E_OPTION', 2, 'search: --metric-regex that is none', search('--metric-regex', '('), 'Unterminated group'],
  ['E_USAGE', 2, 'search: --metric-regex with --metric', search('--metric-regex', 'x', '--metric', 'a'), '--metric-regex alone'],
  ['E_OPTION', 2, 'search: --goal that is none', ['search', 'run', '--eval', ONE, '-o', 'out', '--goal', 'up'], 'maximize'],
  ['E_OPTION', 2, 'search: --timeout nonsense', search('--timeout', 'never'), '30m'],
  ['E_OPTION', 2, 'search: --gpus twice the same', search('--gpus', '0,1,0'), '0 twice'],
  ['E_OPTION', 2, 'search: --gpus fewer than --parallel', search('--gpus', '0', '--parallel', '2'), 'gpus names 1'],
  ['E_OPTION', 2, 'search: --parallel 0', search('--parallel', '0'), "'0'"],
  ['E_OPTION', 2, 'search: --trials 0', search('--trials', '0'), "'0'"],
  ['E_OPTION', 2, 'search: --repeats beyond all use', search('--repeats', '999'), 'from 1 to 100'],
  ['E_OPTION', 2, 'search: --budget 0', search('--budget', '0'), '6h'],
  ['E_OPTION', 2, 'search: --budget nonsense', search('--budget', 'soon'), "'soon'"],
  ['E_OPTION', 2, 'search: --patience 0', search('--patience', '0'), '--patience'],
  ['E_OPTION', 2, 'search: --seed -1', search('--seed', '-1'), 'from 0'],
  ['E_OPTION', 2, 'search: --repeats 0', search('--repeats', '0'), '--repeats'],
  ['E_OPTION', 2, 'search: --sampler that is none', search('--sampler', 'tpe'), 'sobol'],
  ['E_OPTION', 2, 'search: --sampler with --sampler-cmd', search('--sampler', 'gp', '--sampler-cmd', 'cat'), 'sampler-cmd'],
  ['E_OPTION', 2, 'search: --acquisition with grid', search('--sampler', 'grid', '--acquisition', 'ei'), 'the sampler is grid'],
  ['E_OPTION', 2, 'search: --acquisition that is none', search('--acquisition', 'eii'), 'logei'],
  ['E_OPTION', 2, 'search: --pairwise-chain with --space', search('--pairwise-chain', '--space', 'schedule'), 'chain of pairs'],
  ['E_OPTION', 2, 'search: --alpha over 1', search('--last', '2', '--alpha', '1.5'), "'1.5'"],
  ['E_OPTION', 2, 'search: --alpha 1', search('--last', '2', '--alpha', '1'), 'nothing to search'],
  ['E_OPTION', 2, 'search: --alpha below 0', search('--last', '2', '--alpha=-0.5'), "'-0.5'"],
  ['E_OPTION', 2, 'search: --alpha of another space', search('--alpha', '0.5', '--space', 'schedule'), 'the space is schedule'],
  ['E_OPTION', 2, 'search: one checkpoint', search('--last', '1'), '--last 2'],
  ['E_USAGE', 2, 'search: --ask-tell with --json', search('--ask-tell', '--json'), 'result.json'],
  ['E_USAGE', 2, 'soup: --trials', ['soup', 'run', '--eval', ONE, ...given, '--trials', '3'], '--trials'],
  ['E_USAGE', 2, 'soup: no --eval', ['soup', 'run', '-o', 'out'], '--eval'],
  ['E_OPTION', 2, 'soup: one checkpoint', ['soup', 'run', '--last', '1', '--eval', ONE, ...given], 'checkpoint-400'],
  ['E_USAGE', 2, 'forecast: no --eval', ['forecast', 'run'], '--eval'],
  [
    'E_OPTION',
    2,
    'forecast: two runs',
    ['forecast', 'run', 'again', '--eval', ONE],
    'a forecast is of one run',
    (folder) => void writeRun(join(folder, 'again'), RUN),
  ],
  ['E_OPTION', 2, 'forecast: a window of one', ['forecast', 'run', '--window', '1', '--eval', ONE], 'checkpoint alone'],
  ['E_OPTION', 2, 'forecast: a window wider than the run', ['forecast', 'run', '--window', '10', '--eval', ONE], '--window 2'],
  ['E_CALIBRATE', 2, 'forecast: --calibrate nonsense', forecast('--calibrate', 'soon'), '6000=1.142'],
  ['E_CALIBRATE', 2, 'forecast: --calibrate without a number', forecast('--calibrate', '400=good'), '400=good'],
  ['E_CALIBRATE', 2, 'forecast: --calibrate far from the run', forecast('--calibrate', '90000=1'), 'the nearest at 400'],
  ['E_OPTION', 2, 'forecast: --calibrate twice the same step', forecast('--calibrate', '400=1', '400=2'), 'step 400 twice'],
];

/** Files of `--space`: place, text, a piece of the message. */
const SPACE_FILES: readonly (readonly [place: string, text: string, says: string])[] = [
  ['no YAML', 'space: [schedule\n', 's.yaml:2:1: not valid YAML'],
  ['empty', '', 'the search space is empty'],
  ['a list', '- window\n', 's.yaml:1:1'],
  ['unknown space', 'space: schedul\n', 'did you mean `schedule`?'],
  ['unknown parameter', 'space: schedule\nparameters: { windw: { from: 2, to: 3 } }\n', 's.yaml:2:15: `parameters.windw`'],
  ['bounds reversed', 'space: schedule\nparameters: { window: { from: 4, to: 2 } }\n', 'goes from 4 to 2'],
  ['window larger than the pool', 'space: schedule\nparameters: { window: { from: 2, to: 10 } }\n', 'there are 4 checkpoints'],
  ['nothing to search', 'space: schedule\nparameters: { window: 3 }\n', '`fixed`'],
  [
    'origin without a share',
    'space: schedule\nparameters: { method: [sma, ema] }\nfixed: { origin: 5B }\n',
    'no effect without `half-life-fraction`',
  ],
  [
    'origin that is searched',
    'space: schedule\nparameters: { method: [sma, ema], origin: [0, 50] }\nfixed: { half-life-fraction: 0.1 }\n',
    'is given and not searched',
  ],
  [
    'origin in checkpoints',
    'space: schedule\nparameters: { method: [sma, ema] }\nfixed:\n  half-life-fraction: 0.1\n  origin: 3ckpt\n',
    'a step or a token count',
  ],
  [
    'half-life-fraction over 1',
    'space: schedule\nfixed: { method: ema }\nparameters:\n  half-life-fraction:\n    { from: 0.1, to: 2 }\n',
    'at most 1',
  ],
  ['extrapolate without gamma', 'space: schedule\nparameters: { method: [sma, extrapolate] }\n', 'needs gamma'],
  ['a parameter of another method', 'space: schedule\nparameters: { alpha: { from: 0.1, to: 0.5 } }\n', 'the method is sma'],
  ['a parameter of another space', 'space: weights\nparameters: { window: { from: 2, to: 3 } }\n', 'it belongs to schedule'],
  ['unknown role', 'space: weights\nseparate: [routr]\n', 'did you mean `router`?'],
  ['key twice', 'space: schedule\nspace: weights\n', 's.yaml:2:1'],
  ['alpha 1', 'space: pairwise\nalpha: 1\n', '`alpha` is 1'],
];

const SPACES: readonly Row[] = [
  ['E_NOT_FOUND', 3, 'search: --space misspelt', search('--space', 'weight'), 'Did you mean weights?'],
  ['E_NOT_FOUND', 3, 'search: --space file that is not there', search('--space', 'gone.yaml'), 'gone.yaml'],
  ['E_NOT_READABLE', 3, 'search: --space a folder', search('--space', 'run'), 'is a folder'],
  ['E_SPACE', 2, 'search: --space pairwise over four', search('--space', 'pairwise'), '--pairwise-chain'],
  ['E_SPACE', 2, 'search: --alpha over four', search('--alpha', '0.2'), '--last 2'],
  [
    'E_SPACE',
    2,
    'search: --space weights over nine',
    search('--space', 'weights'),
    '--last 8',
    (folder) => void writeRun(join(folder, 'run'), steadyEntries(9)),
  ],
  ...SPACE_FILES.map(
    ([place, text, says]): Row => [
      'E_SPACE',
      2,
      `search: space file: ${place}`,
      search('--space', 's.yaml'),
      says,
      (folder) => {
        writeFileSync(join(folder, 's.yaml'), text);
        return { file: 's.yaml' };
      },
    ],
  ),
];

/** The newest checkpoint is another one. */
const newest =
  (entry: Partial<RunEntry>) =>
  (folder: string): void =>
    void writeRun(join(folder, 'run'), [{ ...RUN[3]!, ...entry }]);

const MEMBERS: readonly Row[] = [
  ['E_NOT_FOUND', 3, 'search: a run that is not there', ['search', 'gone', '--eval', ONE, ...given], 'gone'],
  [
    'E_NOT_FOUND',
    3,
    'search: one of two inputs is not there',
    ['search', 'run', 'gone', '--eval', ONE, ...given],
    'gone: there is nothing',
  ],
  ['E_NO_MEMBERS', 3, 'search: --steps that are not there', search('--steps', '100,250'), '250'],
  [
    // Without --strict it is left out, with a warning.
    'E_STRICT',
    3,
    'search: a member of other shapes',
    search('--strict'),
    'unlike the others of the run',
    newest({ shards: [[{ name: 'model.embed_tokens.weight', dtype: 'BF16', shape: [4, 3] }]] }),
  ],
  [
    'E_CONFIG_DIFFERS',
    3,
    'search: members of other configurations',
    search(),
    'rope_theta',
    newest({ config: { model_type: 'llama', dtype: 'bfloat16', rope_theta: 5 } }),
  ],
  [
    'E_CONFIG_DIFFERS',
    3,
    'forecast: members of other configurations',
    forecast(),
    'rope_theta',
    newest({ config: { model_type: 'llama', dtype: 'bfloat16', rope_theta: 5 } }),
  ],
  [
    'E_OPTION',
    2,
    'search: policies that contradict',
    search('--policy', 'role=embedding:use=newest', '--policy', 'role=embedding:use=oldest'),
    'embedding',
  ],
  ['E_OPTION', 2, 'search: a policy for what is no role', search('--policy', 'role=embeding:use=newest'), 'embedding'],
  ['E_OPTION', 2, 'search: --dtype that is none', search('--dtype', 'BF61'), 'BF16'],
  ['E_NOT_FOUND', 3, 'search: --like that is not there', search('--like', 'gone'), 'gone'],
  ['E_OUTPUT_EXISTS', 4, 'search: OUT exists', search(), 'out', (folder) => void writeTree(join(folder, 'out'), { 'mine.txt': 'x' })],
  [
    'E_OUTPUT_EXISTS',
    4,
    'soup: OUT exists',
    ['soup', 'run', '--eval', ONE, ...given],
    'out',
    (folder) => void writeTree(join(folder, 'out'), { 'mine.txt': 'x' }),
  ],
  [
    'E_OUTPUT_OVERLAPS_INPUT',
    2,
    'search: OUT inside an input',
    ['search', 'run', '--eval', ONE, '-o', 'run/checkpoint-400/best', '--dir', 's'],
    'lies inside the input',
  ],
  [
    'E_OUTPUT_OVERLAPS_INPUT',
    2,
    'search: the folder of trials inside an input',
    ['search', 'run', '--eval', ONE, '--dir', 'run/checkpoint-100/s'],
    'run/checkpoint-100',
  ],
  ['E_OUTPUT_OVERLAPS_INPUT', 2, 'search: --work inside an input', search('--work', 'run/checkpoint-200'), 'folder for merges'],
  ['E_OUTPUT_KIND', 2, 'search: --work below a file', search('--work', 'run/checkpoint-200/config.json/w'), 'not a folder'],
  [
    'E_OUTPUT_KIND',
    2,
    'search: --dir below a file',
    ['search', 'run', '--eval', ONE, '--dir', 'run/checkpoint-200/config.json/w'],
    'not a folder',
  ],
];

export const caseOf = ([code, exit, place, args, says, change]: Row): HostileCase => ({
  code,
  exit,
  place,
  what: args.join(' '),
  make: async (folder) => {
    writeRun(join(folder, 'run'), RUN);
    return { args, says, ...((await change?.(folder)) as Partial<HostileSetup> | undefined) };
  },
});

/** Requests of a search, a soup or a forecast that must be refused before anything is evaluated. */
export const HOSTILE_SEARCH: readonly HostileCase[] = [...OPTIONS, ...SPACES, ...MEMBERS].map(caseOf);
