import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ErrorCode } from '../../src/base/errors.ts';
import type { HostileCase } from './hostile-case.ts';
import { type RunEntry, steadyEntries, writeRun, writeTree } from './run-trees.ts';

type Row = readonly [
  code: ErrorCode,
  exit: number,
  place: string,
  args: readonly string[],
  says: string,
  change?: (folder: string) => void,
];

/** Five checkpoints, 100 steps and 100,000 tokens apart. */
const STEADY = steadyEntries(5);
const average = (...args: string[]): string[] => ['average', 'run', '-o', 'out', ...args];

/** A run whose entries are changed. */
const run =
  (entries: readonly RunEntry[]) =>
  (folder: string): void => {
    rmSync(join(folder, 'run'), { recursive: true, force: true });
    writeRun(join(folder, 'run'), entries);
  };
const scores =
  (text: string) =>
  (folder: string): void =>
    writeFileSync(join(folder, 'scores.csv'), text);
const without = (...keys: (keyof RunEntry)[]): readonly RunEntry[] =>
  STEADY.map(
    (entry) => Object.fromEntries(Object.entries(entry).filter(([key]) => !keys.includes(key as keyof RunEntry))) as unknown as RunEntry,
  );
const changed = (index: number, change: Partial<RunEntry>): readonly RunEntry[] =>
  STEADY.map((entry, i) => (i === index ? { ...entry, ...change } : entry));
const file =
  (name: string, content: string) =>
  (folder: string): void =>
    writeFileSync(join(folder, name), content);
const curve = (content: string) => file('lr.csv', content);
const truncateAll = (folder: string): void => {
  for (const { name } of STEADY) truncateSync(join(folder, 'run', name, 'model.safetensors'), 40);
};

/** Command lines over a run `run`. */
const RUNS: readonly Row[] = [
  ['E_NO_RUN', 3, 'ls: empty folder', ['ls', 'empty'], 'empty', (folder) => void writeTree(join(folder, 'empty'), { 'x/': '' })],
  ['E_NOT_FOUND', 3, 'ls: no folder', ['ls', 'nothing'], 'nothing'],
  ['E_NO_RUN', 3, 'average: no complete checkpoint', average('--last', '3'), 'byte 40', truncateAll],
  [
    'E_NO_RUN',
    3,
    'ls: a run in another format',
    ['ls', 'orbax'],
    'convert',
    (folder) => void writeTree(join(folder, 'orbax'), { 'step-10/_CHECKPOINT_METADATA': '{}', 'step-10/manifest.ocdbt': 'x' }),
  ],
  [
    'E_NO_RUN',
    3,
    'ls: a run whose metadata is damaged',
    ['ls', 'dcp'],
    '.metadata',
    (folder) => void writeTree(join(folder, 'dcp'), { 'step-10/.metadata': 'x', 'step-10/__0_0.distcp': 'x' }),
  ],
  ['E_NO_MEMBERS', 3, 'selection: --steps that are not there', average('--steps', '100,250'), '200'],
  ['E_NO_MEMBERS', 3, 'selection: --from after the end', average('--from', '900'), '500'],
  ['E_NO_MEMBERS', 3, 'selection: --before the beginning', average('--before', '50'), '100'],
  ['E_NO_MEMBERS', 3, 'selection: --stage that is not there', average('--stage', '7'), '7'],
  ['E_TOO_FEW_MEMBERS', 3, 'selection: --min-members', average('--last', '6', '--min-members', '6'), '5'],
  [
    'E_TOO_FEW_MEMBERS',
    3,
    'selection: --min-members after --min-interval',
    average('--min-interval', '300steps', '--min-members', '3'),
    '2',
  ],
  ['E_NO_TOKENS', 2, 'selection: --every tokens without a source', average('--every', '1M'), '--tokens-per-step', run(without('tokens'))],
  ['E_NO_TOKENS', 2, 'selection: --from tokens without a source', average('--from', '1M'), 'tokens', run(without('tokens'))],
  ['E_NO_TOKENS', 2, 'preset: pma without tokens', average('--preset', 'pma'), 'tokens', run(without('tokens'))],
  ['E_OPTION', 2, 'selection: --steps with --last', average('--steps', '100', '--last', '2'), 'last'],
  ['E_OPTION', 2, 'selection: --every with --min-interval', average('--every', '100', '--min-interval', '100'), 'min'],
  ['E_OPTION', 2, 'selection: --from after --to', average('--from', '400', '--to', '200'), '400'],
  ['E_OPTION', 2, 'selection: --last 0', average('--last', '0'), '--last'],
  ['E_OPTION', 2, 'selection: --every nonsense', average('--every', '8X'), '8B'],
  ['E_OPTION', 2, 'selection: --every 0', average('--every', '0'), '0'],
  ['E_OPTION', 2, 'selection: --every negative', average('--every=-5steps'), '-5steps'],
  ['E_OPTION', 2, 'selection: --steps text', average('--steps', '100,x'), "'x'"],
  ['E_OPTION', 2, 'selection: --margin without a spike', average('--margin', '100'), 'margin'],
  ['E_NO_SPIKE', 3, 'selection: --before-spike auto, none in the log', average('--before-spike', 'auto'), 'no loss spike'],
  ['E_NO_MEMBERS', 3, 'selection: --before-spike earlier than all', average('--before-spike', '50'), '100'],
  [
    'E_OPTION',
    2,
    'tokens: two sources',
    average('--tokens-per-step', '1M', '--batch-schedule', '0:1M'),
    'batch-schedule',
    run(without('tokens')),
  ],
  [
    'E_OPTION',
    2,
    'tokens: --batch-schedule that goes back',
    average('--batch-schedule', '0:1M,500:2M,100:3M'),
    '100',
    run(without('tokens')),
  ],
  ['E_OPTION', 2, 'tokens: --tokens-per-step 0', average('--tokens-per-step', '0'), 'tokens', run(without('tokens'))],
  ['E_NOT_FOUND', 3, 'tokens: --tokens-file that is not there', average('--tokens-file', 'no.csv'), 'no.csv', run(without('tokens'))],
  [
    'E_STAGES',
    3,
    'members of two stages',
    average(),
    'stage',
    run([{ name: 'stage1-step100-tokens1B' }, { name: 'stage2-step50-tokens2B' }]),
  ],
  [
    'E_SIBLINGS',
    2,
    'ingredients as if they were moments',
    average(),
    'each-ingredient',
    run([{ name: 'stage2-ingredient1-step100-tokens1B' }, { name: 'stage2-ingredient2-step100-tokens1B' }]),
  ],
  [
    'E_ORDER',
    2,
    'an ordered schedule over siblings',
    average('--each-ingredient', 'last', '--method', 'wma'),
    'wma',
    run([{ name: 'stage2-ingredient1-step100-tokens1B' }, { name: 'stage2-ingredient2-step100-tokens1B' }]),
  ],
  [
    'E_CONFIG_DIFFERS',
    3,
    'configs that differ',
    average(),
    'rope_theta',
    run(changed(2, { config: { model_type: 'llama', dtype: 'bfloat16', rope_theta: 5 } })),
  ],
  [
    'E_CONFIG_DIFFERS',
    3,
    'architectures that differ',
    average(),
    'architectures',
    // What some do not say is no difference.
    run(STEADY.map((entry, i) => ({ ...entry, config: { model_type: 'llama', dtype: 'bfloat16', architectures: [i === 1 ? 'X' : 'Y'] } }))),
  ],
  ['E_OPTION', 2, 'inputs: runs and checkpoints mixed', ['average', 'run', 'run/checkpoint-100', '-o', 'out'], 'run/checkpoint-100'],
  ['E_OPTION', 2, 'schedule: unknown', average('--method', 'emma'), 'ema'],
  ['E_OPTION', 2, 'schedule: a parameter of another method', average('--method', 'wma', '--gamma', '1'), 'extrapolate'],
  ['E_OPTION', 2, 'schedule: alpha and half-life', average('--method', 'ema', '--alpha', '0.1', '--half-life', '100steps'), 'half-life'],
  ['E_OPTION', 2, 'schedule: --half-life 0', average('--method', 'ema', '--half-life', '0steps'), 'half-life'],
  [
    'E_OPTION',
    2,
    'schedule: a half-life as a share, beside one',
    average('--method', 'ema', '--half-life', '9steps', '--half-life-fraction', '0.05'),
    '--half-life-fraction cannot be used together',
  ],
  [
    'E_OPTION',
    2,
    'schedule: members before the origin',
    average('--method', 'ema', '--half-life-fraction', '0.05', '--origin', '1M'),
    '--origin',
    run(STEADY),
  ],
  ['E_OPTION', 2, 'schedule: --origin alone', average('--method', 'ema', '--origin', '1B'), 'half-life-fraction'],
  ['E_OPTION', 2, 'members by score: no scores', average('--members', 'top:3'), '--scores'],
  [
    'E_OPTION',
    2,
    'members by score: windows that slide',
    ['average', 'run', '-o', 'w-{step}', '--sliding', '--last', '2', '--members', 'top:2', '--scores', 'scores.csv'],
    '--members',
  ],
  [
    'E_GOAL',
    2,
    'members by score: which way is better',
    average('--members', 'top:3', '--scores', 'scores.csv'),
    '--goal',
    scores('100,1\n'),
  ],
  [
    'E_SCORES',
    3,
    'members by score: scores of other steps',
    average('--members', 'top:3', '--scores', 'scores.csv', '--goal', 'maximize'),
    'no score of any checkpoint',
    scores('7,1\n'),
  ],
  [
    'E_SCORES',
    3,
    'members by score: a word',
    average('--members', 'top:3', '--scores', 'scores.csv', '--goal', 'maximize'),
    'line 1',
    scores('100,x\n'),
  ],
  [
    'E_METRIC',
    2,
    'members by score: two columns',
    average('--members', 'top:3', '--scores', 'scores.csv', '--goal', 'maximize'),
    '--metric',
    scores('step,a,b\n100,1,2\n'),
  ],
  ['E_NOT_FOUND', 3, 'members by score: no such file', average('--members', 'top:3', '--scores', 'none.csv'), 'none.csv'],
  ['E_OPTION', 2, 'schedule: --decay-floor 1', average('--method', 'wsm', '--decay-floor', '1'), '--decay-floor'],
  [
    'E_DECAY',
    2,
    'schedule: a decay file that rises',
    average('--method', 'wsm', '--decay-file', 'd.txt'),
    'rise',
    file('d.txt', '0.9 0.5 0.6 0.1'),
  ],
  [
    'E_DECAY',
    2,
    'schedule: a decay file beyond 1',
    average('--method', 'wsm', '--decay-file', 'd.txt'),
    '1.2',
    file('d.txt', '1.2 0.5 0.4 0.1'),
  ],
  [
    'E_DECAY',
    2,
    'schedule: a decay file of another length',
    average('--method', 'wsm', '--decay-file', 'd.txt'),
    '4',
    file('d.txt', '0.9 0.5'),
  ],
  [
    'E_DECAY',
    2,
    'schedule: NaN in a rate curve',
    average('--method', 'lr-curve', '--lr-curve', 'lr.csv'),
    'nan',
    curve('step,lr\n100,3e-4\n500,nan\n'),
  ],
  [
    'E_DECAY',
    2,
    'schedule: a rate curve above the run',
    average('--method', 'lr-curve', '--lr-curve', 'lr.csv'),
    'above',
    curve('step,lr\n100,3e-4\n500,9e-4\n'),
  ],
  [
    'E_DECAY',
    2,
    'schedule: a rate curve that ends too soon',
    average('--method', 'lr-curve', '--lr-curve', 'lr.csv'),
    '300',
    curve('step,lr\n100,3e-4\n300,1e-4\n'),
  ],
  [
    'E_NO_POSITION',
    2,
    'schedule: half-life in tokens without tokens',
    average('--method', 'ema', '--half-life', '1M'),
    'tokens',
    run(without('tokens')),
  ],
  [
    'E_WEIGHTS',
    2,
    'schedule: extrapolate over too few',
    average('--last', '2', '--method', 'extrapolate', '--gamma', '1', '--window', '2'),
    '3',
  ],
  ['E_OPTION', 2, 'purpose: --optimizer without --for resume', average('--optimizer', 'newest'), 'resume'],
  ['E_NO_OPTIMIZER', 3, 'purpose: no optimizer state to copy', average('--for', 'resume', '--optimizer', 'newest'), 'checkpoint-500'],
  ['E_OPTION', 2, 'card: --base-model-id that is no id', average('--base-model-id', '/home/me/model'), 'org/name'],
];

/** Recipes that must be refused: code, place, the text and a piece of the message. */
const RECIPES: readonly (readonly [code: ErrorCode, exit: number, place: string, text: string, says: string])[] = [
  ['E_RECIPE', 2, 'recipe: empty', '', 'r.yaml'],
  ['E_RECIPE', 2, 'recipe: not a map', '- a\n- b\n', 'r.yaml'],
  ['E_RECIPE', 2, 'recipe: unknown key', 'inputs: run\noutputs:\n  - path: out\n    metod: sma\n', 'method'],
  ['E_RECIPE', 2, 'recipe: duplicate key', 'inputs: run\ninputs: run\noutputs:\n  - path: out\n', '2:1'],
  ['E_RECIPE', 2, 'recipe: no outputs', 'inputs: run\n', 'outputs'],
  ['E_RECIPE', 2, 'recipe: a value of the wrong type', 'inputs: run\noutputs:\n  - path: out\n    select: { last: ten }\n', '4:21'],
  ['E_RECIPE', 2, 'recipe: broken YAML', 'inputs: [run\noutputs: x\n', 'r.yaml'],
  ['E_RECIPE', 2, 'recipe: a tab', 'inputs: run\noutputs:\n\t- path: out\n', '3:1'],
  ['E_RECIPE', 2, 'recipe: infinity as a weight', 'inputs: [run/checkpoint-100]\noutputs:\n  - path: out\n    weights: [.inf]\n', '4:15'],
  ['E_RECIPE', 2, 'recipe: two documents', 'inputs: run\noutputs: [{ path: out }]\n---\nx: 1\n', 'document'],
  ['E_RECIPE', 2, 'recipe: optimizer without for', 'inputs: run\noutputs:\n  - { path: out, optimizer: newest }\n', 'optimizer'],
  ['E_OUTPUTS_OVERLAP', 2, 'recipe: the same output twice', 'inputs: run\noutputs:\n  - path: out\n  - path: out\n', 'out'],
  ['E_OUTPUTS_OVERLAP', 2, 'recipe: an output inside another', 'inputs: run\noutputs:\n  - path: out\n  - path: out/inner\n', 'inner'],
  ['E_OUTPUT_OVERLAPS_INPUT', 2, 'recipe: an output inside the run', 'inputs: run\noutputs:\n  - path: run/checkpoint-100/merged\n', 'run'],
  [
    'E_NO_MEMBERS',
    3,
    'recipe: a selection of one output',
    'inputs: run\noutputs:\n  - path: a\n  - path: b\n    select: { steps: [150] }\n',
    '150',
  ],
  ['E_NOT_FOUND', 3, 'recipe: inputs that are not there', 'inputs: gone\noutputs:\n  - path: out\n', 'gone'],
];

const prepared = (folder: string, change?: (folder: string) => void): void => {
  writeRun(join(folder, 'run'), STEADY);
  change?.(folder);
};

/** Runs, selections, schedules and recipes that must be refused. */
export const HOSTILE_RUNS: readonly HostileCase[] = [
  ...RUNS.map(
    ([code, exit, place, args, says, change]): HostileCase => ({
      code,
      exit,
      place,
      what: args.join(' '),
      make: (folder) => {
        prepared(folder, change);
        return { args, says };
      },
    }),
  ),
  ...RECIPES.map(
    ([code, exit, place, text, says]): HostileCase => ({
      code,
      exit,
      place,
      what: text.replace(/\s+/g, ' '),
      make: (folder) => {
        prepared(folder, file('r.yaml', text));
        return { args: ['run', 'r.yaml'], says };
      },
    }),
  ),
  {
    code: 'E_NOT_FOUND',
    exit: 3,
    place: 'recipe file that is not there',
    what: 'run gone.yaml',
    make: (folder) => {
      prepared(folder);
      return { args: ['run', 'gone.yaml'], says: 'gone.yaml' };
    },
  },
];
