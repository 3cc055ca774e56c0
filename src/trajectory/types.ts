import type { DtypeName } from '../dtype.ts';
import type { Warning } from '../errors.ts';

/** Where a checkpoint stands. Within a run, checkpoints are ordered by (stage, ingredient, step) as integers; unknown counts as before everything. */
export interface Position {
  /** Stage of a training in several stages. */
  readonly stage: number | null;
  /** One of several trainings from one start that differ in data order or seed: siblings, not moments. */
  readonly ingredient: number | null;
  /** Optimizer step. */
  readonly step: number | null;
  /** Tokens seen since the start of the run. */
  readonly tokens: number | null;
}

/** A complete checkpoint of a run, known without its tensors' data. */
export interface RunCheckpoint extends Position {
  readonly path: string;
  /** Of the folder, or of the file without `.safetensors`. */
  readonly name: string;
  /** Where `tokens` comes from; null where it is null. */
  readonly tokensFrom: 'name' | 'state' | 'option' | null;
  /** Bytes of tensor data. */
  readonly bytes: number;
  /** Dtypes of its tensors, the one with the most bytes first. */
  readonly dtypes: readonly DtypeName[];
  /** Logged at this step, or at the last log before it; null where no state file has it. */
  readonly learningRate: number | null;
  readonly loss: number | null;
}

/** What of a run is not a member, and why, in words for people. */
export interface Excluded {
  readonly path: string;
  readonly step: number | null;
  readonly reason: string;
}

/** A line of the training log. */
export interface LogEntry {
  readonly step: number;
  /** Infinity where the trainer logged NaN or infinity. */
  readonly loss: number | null;
  readonly learningRate: number | null;
}

/** A training run as it lies on disk. */
export interface Run {
  readonly path: string;
  /** Complete ones, in order, no two at the same position. */
  readonly checkpoints: readonly RunCheckpoint[];
  readonly excluded: readonly Excluded[];
  /** By step; empty where no state file has a log. */
  readonly log: readonly LogEntry[];
  readonly warnings: readonly Warning[];
}

/** An amount of training: a count of tokens, of optimizer steps or of saved checkpoints. */
export interface Quantity {
  readonly value: number;
  readonly unit: 'tokens' | 'steps' | 'checkpoints';
}

/** A {@link Quantity} as users write it: `8B`, `1.5T`, `500M` (tokens), `1000steps`, `3ckpt`; a bare number is steps. */
export type QuantityText = string | number;

/** Where tokens come from when neither names nor state files say. At most one of the three. */
export interface TokenSource {
  /** Tokens of every step, as `4M` or a number. */
  readonly tokensPerStep?: string | number | undefined;
  /** `0:2M,50000:4M`: from step 0 on 2M tokens a step, from step 50,000 on 4M. */
  readonly batchSchedule?: string | undefined;
  /** CSV with the columns step,tokens. */
  readonly tokensFile?: string | undefined;
}

/** Which checkpoints of a run take part. All conditions hold together. Same names in the library, in recipes and (with dashes) on the command line. */
export interface Selection {
  /** The newest so many, after everything else. */
  readonly last?: number | undefined;
  /** Spacing, counted back from the newest: the nearest checkpoint within a quarter of it. */
  readonly every?: QuantityText | undefined;
  /** First and last step or token count, both included. */
  readonly from?: QuantityText | undefined;
  readonly to?: QuantityText | undefined;
  /** Exactly these. */
  readonly steps?: readonly number[] | undefined;
  /** Only checkpoints before this step or token count. */
  readonly before?: QuantityText | undefined;
  readonly stage?: number | undefined;
  /** Least distance between neighbours, walking back from the newest. */
  readonly minInterval?: QuantityText | undefined;
  /** Fewer members than this are an error. */
  readonly minMembers?: number | undefined;
  /** One member of every ingredient (or of every run): its last. */
  readonly eachIngredient?: 'last' | undefined;
  /** Only checkpoints before a loss spike: the one found in the log, or a given step. */
  readonly beforeSpike?: 'auto' | number | undefined;
  /** How long before the spike at least; default one save interval. */
  readonly margin?: QuantityText | undefined;
}

export type PhaseKind = 'warm-up' | 'constant' | 'decaying' | 'unknown';

/** The learning rate over a window of a run. */
export interface Phase {
  readonly kind: PhaseKind;
  /** Lowest and highest logged rate of the window; null where unknown. */
  readonly lowest: number | null;
  readonly highest: number | null;
  /** The finding in words, for the plan. */
  readonly text: string;
}

/** A loss spike found in a log, or given. */
export interface Spike {
  readonly step: number;
  /** Loss at the spike, and what it was measured against; null where the step was given. */
  readonly loss: number | null;
  readonly threshold: number | null;
}

/** What a selection chose. */
export interface Selected {
  /** In order, oldest first. At least one. */
  readonly members: readonly RunCheckpoint[];
  /** Everything else of the runs, with the reason. */
  readonly excluded: readonly Excluded[];
  /** Whether members are siblings, so that nothing may depend on their order. */
  readonly siblings: boolean;
  readonly phase: Phase;
  /** The loss spike that the members lie before; null where none was asked for. */
  readonly spike: Spike | null;
  /** Findings for the plan, a line each: spacing asked for and found, uneven spacing, fewer than asked for. */
  readonly notes: readonly string[];
  readonly warnings: readonly Warning[];
}
