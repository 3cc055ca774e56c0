import { DTYPES } from '../base/dtype.ts';
import { MOST } from '../base/limits.ts';
import type { QuantityText, TokenSource } from '../checkpoints/run/types.ts';
import { OUTPUT_DTYPES, ROUTER_USES, USES } from './policy/keys.ts';
import { OPTIMIZER_USES } from './policy/resumed.ts';
import { ROLE_NAMES } from './policy/roles.ts';
import type { Policy, RouterUse, Several, Use } from './policy/types.ts';
import { METHODS } from './schedule/methods.ts';
import { PARAMETERS, type Parameter } from './schedule/parameters.ts';
import type { ScheduleName, WeightRequest } from './schedule/types.ts';
import type { ScoredSelection, Selection } from './select/types.ts';
import { EXTRA_STATE_USES, FORMATS, HF_NAMES, type Recipe, type RecipeOutput, WEIGHT_SOURCES } from './types.ts';

/**
 * What a value of each kind is in the library; how it is written is up to the command line and the schema.
 */
interface Values {
  readonly flag: boolean;
  readonly choice: string;
  readonly text: string;
  readonly path: string;
  /** A word, or else a path. */
  readonly names: string;
  /** A path, of parameters of schedules. */
  readonly file: string;
  readonly number: number;
  /** Seconds. */
  readonly time: number;
  readonly integer: number;
  /** Whole numbers, from 1 on and from 0 on. */
  readonly count: number;
  readonly index: number;
  readonly bytes: number;
  /** Bytes a second. */
  readonly rate: number;
  /** An amount of training over 0; a place in it, 0 included; either. */
  readonly distance: QuantityText;
  readonly point: QuantityText;
  readonly quantity: QuantityText;
  readonly tokens: string | number;
  /** Bytes, as a text with a unit or a number. */
  readonly size: string | number;
  readonly steps: readonly number[];
  readonly weights: readonly number[];
  /** A step, or `auto`. */
  readonly spike: 'auto' | number;
  readonly router: RouterUse;
  readonly use: Use;
  /** Words or patterns of them; numbers and ranges of them. */
  readonly words: Several<string>;
  readonly ranges: Several<number>;
  readonly policies: readonly Policy[];
}

/** What the command line, recipes, their schema and docs know of an option of a merge. */
export interface Option extends Omit<Parameter, 'kind'> {
  readonly kind: keyof Values;
  /** What a text must be, where not any will do. */
  readonly wanted?: string;
  /** On the command line: one letter for it, the word for its value, and examples of values. */
  readonly letter?: string;
  readonly value?: string;
  readonly typed?: string;
}

/** A row for every property, of a kind that its values are of. */
type Table<T> = {
  readonly [Name in keyof T]-?: Option & {
    readonly kind: { [Kind in keyof Values]: NonNullable<T[Name]> extends Values[Kind] ? Kind : never }[keyof Values];
  };
};

/** Which checkpoints of a run take part: an output's `select`. */
export const SELECT = {
  last: { kind: 'count', default: 'all that are complete', help: 'the newest so many, after everything else' },
  every: { kind: 'distance', help: 'spaced like this, counted back from the newest: 8B, 500M (tokens), 1000steps' },
  from: { kind: 'point', help: 'from this step or token count on: 12000, 500B' },
  to: { kind: 'point', help: 'up to this step or token count, included' },
  before: { kind: 'point', help: 'before this step or token count' },
  steps: { kind: 'steps', help: 'exactly these steps', typed: '1000,2000' },
  stage: { kind: 'index', help: 'only this stage of a training in several' },
  minInterval: { kind: 'distance', help: 'at least this far apart, walking back from the newest: 1000steps, 8B' },
  minMembers: { kind: 'count', help: 'fail when fewer are found' },
  eachIngredient: { kind: 'choice', choices: ['last'], value: 'which', help: 'one member of each ingredient, seed or run' },
  beforeSpike: { kind: 'spike', value: 'step', help: 'only from before a loss spike: auto finds it in the log' },
  margin: { kind: 'distance', default: 'one save interval', help: 'how long before the spike at least' },
} as const satisfies Table<Omit<Selection, keyof ScoredSelection>>;

/** Members by their scores, in `select` too; not where scores are those of an evaluator that is started. */
export const SCORED = {
  members: {
    kind: 'text',
    value: 'top:K',
    wanted: 'top:K, as top:32',
    help: 'the best so many by their scores, of those that all else leaves: top:32',
  },
  scores: {
    kind: 'path',
    value: 'path',
    help: 'scores by step: CSV or JSON, or a folder with results of lm-eval or lighteval for each step',
  },
  metrics: { kind: 'words', value: 'name', help: 'which of several scores, as task/metric,filter; with =WEIGHT for a weighted sum' },
  goal: {
    kind: 'choice',
    choices: ['maximize', 'minimize'],
    value: 'which',
    default: 'as the results say',
    help: 'better scores are the larger: maximize, or the smaller: minimize',
  },
} as const satisfies Table<ScoredSelection>;

/** Weights of an output, or of a policy. */
const WEIGHTS = {
  method: {
    kind: 'choice',
    choices: METHODS.map(({ name }): ScheduleName => name),
    default: 'sma',
    letter: 'm',
    help: 'schedule of the weights',
  },
  ...PARAMETERS,
  weights: {
    kind: 'weights',
    letter: 'w',
    help: 'explicit weights, one a member (of a run oldest first), used as given, negative ones too',
    typed: '0.2,0.3,0.5',
  },
  normalize: { kind: 'flag', help: 'divide explicit weights by their sum' },
} as const satisfies Table<WeightRequest>;

/** A policy, whose weights are as above. */
export const POLICY = {
  role: {
    kind: 'words',
    choices: ROLE_NAMES,
    help: 'roles or groups of roles: router, experts, norms; several as a list or with | between',
  },
  layers: { kind: 'ranges', help: 'layers from 0, as 0-3|7; -1 is the last one' },
  experts: { kind: 'ranges', help: 'experts of a layer from 0, as 0-3|7; -1 is the last one' },
  name: { kind: 'text', help: 'the whole name; * is any text, ? one character' },
  stored: { kind: 'words', choices: DTYPES.map(({ name }) => name), help: 'dtypes in which the tensors are stored' },
  use: {
    kind: 'use',
    choices: USES,
    help: "average, by these weights or the output's; the values of one member, by age or step; equal in all members; drop",
  },
  ...WEIGHTS,
  method: { kind: 'choice', choices: WEIGHTS.method.choices, help: 'schedule of these weights' },
  dtype: { kind: 'choice', choices: OUTPUT_DTYPES, help: 'dtype in which their floats are stored' },
} as const satisfies Table<Policy>;

/** An output, beside its path and selection. */
export const OUTPUT = {
  sliding: { kind: 'flag', help: 'one output for every window of `last` members, with {step} or {tokens} in its path' },
  preset: { kind: 'choice', choices: ['pma'], help: 'pma: number, spacing and method after the PMA paper, by model size' },
  ...WEIGHTS,
  convert: { kind: 'flag', help: 'instead of a merge the one member as it is, its bytes copied; the only output of its recipe' },
  policies: { kind: 'policies', help: 'tensors that are treated differently; the first policy that fits a tensor decides' },
  weightsFile: {
    kind: 'path',
    value: 'file',
    help: 'weights of single tensors, after the policies: JSON or YAML of names (* and ? in them), each with a list, one a member',
  },
  router: {
    kind: 'router',
    choices: ROUTER_USES,
    value: 'use',
    help: 'what decides routing, all together, before any policy',
  },
  dtype: {
    kind: 'choice',
    choices: [...OUTPUT_DTYPES, 'same'],
    default: 'as the newest member',
    help: 'store float tensors as BF16, F16, F32 or F64; same: each as it is, quantised too',
  },
  for: {
    kind: 'choice',
    choices: ['inference', 'resume'],
    default: 'inference',
    value: 'purpose',
    help: 'resume: a start for more training, in F32 (DCP, OUT.pt, DeepSpeed: as stored, with the state of the trainer)',
  },
  optimizer: {
    kind: 'choice',
    choices: OPTIMIZER_USES,
    default: 'newest for DCP, OUT.pt and DeepSpeed, else drop',
    value: 'what',
    help: "for resume, the optimizer's state: the newest member's, averaged (of these three), or dropped (there set to zeros)",
  },
  extraState: {
    kind: 'choice',
    choices: EXTRA_STATE_USES,
    default: 'newest',
    value: 'which',
    help: "whose _extra_state of TransformerEngine a checkpoint of DCP has: the newest member's, the oldest's, or none",
  },
  weightsFrom: {
    kind: 'choice',
    choices: WEIGHT_SOURCES,
    default: 'master for DCP, OUT.pt and DeepSpeed to resume from, else model',
    value: 'what',
    help: "make weights from the model's tensors, or from the float32 masters in the optimizer's state",
  },
} as const satisfies Table<Omit<RecipeOutput, 'path' | 'select'>>;

/** Where tokens come from when neither names nor state files tell. */
export const TOKENS = {
  tokensPerStep: { kind: 'tokens', value: 'tokens', help: 'tokens of every step, as 4M' },
  batchSchedule: {
    kind: 'text',
    value: 'list',
    wanted: 'text such as 0:2M,50000:4M',
    help: 'tokens a step from a step on, as 0:2M,50000:4M',
  },
  tokensFile: { kind: 'path', help: 'CSV with the columns step,tokens' },
} as const satisfies Table<TokenSource>;

/** What members may differ in. */
export const CHECKS = {
  allowMixedDtypes: { kind: 'flag', help: 'accept a tensor that is stored in different float dtypes' },
  allowUnknown: {
    kind: 'flag',
    help: 'average tensors of unknown names, and merge though names or config.json say what the tensors do not',
  },
  allowPermuted: { kind: 'flag', help: 'merge although experts or layers seem to have changed places' },
  allowStages: { kind: 'flag', help: 'accept members of different stages' },
  allowConfigs: { kind: 'flag', help: 'accept members whose config.json differs' },
} as const satisfies Table<Pick<Recipe, `allow${string}` & keyof Recipe>>;

/** A recipe, beside its inputs and outputs. */
export const RECIPE = {
  like: { kind: 'path', default: 'the newest member', help: 'take shards, order, names and dtypes from this checkpoint' },
  format: {
    kind: 'choice',
    choices: FORMATS,
    default: 'that of the newest member; safetensors of a conversion',
    help: 'container of the output: safetensors, of any members; dcp (torch.distributed) or torch (torch.save), where the newest (or --like) is such',
  },
  shardSize: {
    kind: 'size',
    value: 'size',
    typed: '5GB, 500MiB',
    default: 'the shards of the newest member; 5GB where it has none',
    help: 'bytes of tensors in a file of the output at most',
  },
  files: {
    kind: 'count',
    value: 'n',
    default: 'as the newest member, or by its size',
    help: 'files of tensors of the output, of about equal size',
  },
  names: {
    kind: 'names',
    choices: [HF_NAMES],
    value: 'hf|file',
    default: 'as the members have them',
    help: "other names for the tensors: hf, as Hugging Face's transformers has them (with config.json), or a names file",
  },
  config: {
    kind: 'path',
    default: 'what the newest member says',
    help: 'with names: the config.json of the output, which has the number of heads',
  },
  ...TOKENS,
  ...CHECKS,
  baseModelId: {
    kind: 'text',
    value: 'id',
    wanted: 'a Hub id such as org/name',
    help: "Hugging Face id for the model card's base_model, as org/name",
  },
} as const satisfies Table<Omit<Recipe, 'inputs' | 'outputs'>>;

/** How merges are carried out; nothing of it changes what they hold. */
export const MACHINE = {
  threads: {
    kind: 'count',
    range: { atMost: MOST.threads },
    letter: 't',
    default: 'CPUs allowed by affinity, cgroup and Slurm',
    help: 'compute threads',
  },
  memory: { kind: 'bytes', value: 'size', default: '256MiB', help: 'bound of buffers: bytes, 256M (10^6), 256MiB (2^20)' },
  io: {
    kind: 'choice',
    choices: ['auto', 'map', 'read'],
    value: 'mode',
    default: 'auto, by file system',
    help: 'how inputs are read: map, read',
  },
  ioDepth: {
    kind: 'count',
    range: { atMost: MOST.ioDepth },
    default: '32, or one a thread',
    help: 'requests in flight where inputs are read, not mapped: on network file systems, and with --io read',
  },
  maxRead: {
    kind: 'rate',
    value: 'rate',
    default: 'no bound',
    help: 'bytes a second that are read of the inputs at most, by all processes of the merge together: 40GB/s, 500MiB/s',
  },
  cache: {
    kind: 'choice',
    choices: ['auto', 'keep', 'drop'],
    value: 'mode',
    default: 'auto, by memory',
    help: 'page cache behind the work: keep, drop',
  },
  failNonfinite: { kind: 'flag', default: 'warn', help: 'fail when an input holds NaN or infinity, or a sum overflows' },
} as const satisfies Readonly<Record<string, Option>>;

/**
 * What is believed of checkpoints on this machine, and what is not put up with. Never part of a recipe, which
 * may come from somebody else: whoever runs it decides.
 */
export const TRUST = {
  strict: { kind: 'flag', help: 'refuse a merge whose members are not all that were asked for, or seem damaged', default: 'warn' },
  followLinks: { kind: 'flag', help: 'copy side files that are links to outside the checkpoint and its run, too' },
} as const satisfies Readonly<Record<string, Option>>;

/** What happens to an output that is there already, or in part. */
export const PUBLICATION = {
  force: { kind: 'flag', letter: 'f', help: 'replace an existing output, at once and only when the new one is complete' },
  resume: { kind: 'flag', help: 'go on with what an interrupted run of the same merge left' },
} as const satisfies Readonly<Record<string, Option>>;

/** How a process that makes merges has them made on other machines. */
export const LAUNCH = {
  launcher: {
    kind: 'words',
    value: 'command',
    default: 'this process makes the merge',
    help: "command that starts several processes, which make each merge together: 'srun -N 8', 'mpirun -n 8 --hostfile FILE'",
  },
} as const satisfies Readonly<Record<string, Option>>;

/** Several processes that were started with one command, and make its merge together. */
export const RANKS = {
  ranks: {
    kind: 'text',
    value: 'which',
    default: 'auto, by what the launcher says',
    help: 'which of several ranks this process is: auto, off, array (a task of a job array), 0/8',
  },
  rankTimeout: {
    kind: 'time',
    value: 'duration',
    default: '60s',
    help: 'after how long without a sign of life others take over the work of a rank',
  },
} as const satisfies Readonly<Record<string, Option>>;
