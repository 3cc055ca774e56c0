import type { FloatDtypeName } from '../../base/dtype.ts';
import type { Warning } from '../../base/errors.ts';
import type { LeftFile, SideFile } from '../../checkpoints/side-files.ts';
import type { BoxedMatrix } from '../../checkpoints/tensors/matrix.ts';
import type { TensorTable } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint, LogEntry, Moment } from '../../checkpoints/types.ts';
import type { RecordedWeightsFile } from '../../recipe/file/weights-file.ts';
import type { CHECKS } from '../../recipe/options.ts';
import type { OutsidePath } from '../../recipe/outside.ts';
import type { OptimizerUse } from '../../recipe/policy/resumed.ts';
import type { TreatmentRow } from '../../recipe/policy/table.ts';
import type { ResolvedWeights } from '../../recipe/schedule/types.ts';
import type { MemberReport, Selected } from '../../recipe/select/types.ts';
import type { ExtraStateUse, OutputFormat, Purpose, Recipe, RecipeOutput, WeightSource } from '../../recipe/types.ts';
import type { RecordedNames } from '../record/provenance.ts';
import type { KeptState } from './inputs/merged-start.ts';
import type { ComposedFile, FileFrame, OutputContainer } from './outputs/container.ts';
import type { QuantisedWork } from './quantised/types.ts';
import type { AskedMerge } from './request-digest.ts';

export interface MergedMember extends Moment {
  readonly weight: number;
  /** Where members were chosen by scores. */
  readonly score?: number;
}

/** A checkpoint of a run, of which more is known than its path. */
export interface PlanInput {
  readonly path: string;
  /** Believed as given; read from the checkpoint where absent. */
  readonly step?: number | null | undefined;
  readonly tokens?: number | null | undefined;
  readonly stage?: number | null | undefined;
  readonly epoch?: number | undefined;
}

/** What is to be made: inputs once, any number of outputs from one read of them. */
export interface PlanRequest extends Pick<Recipe, 'like' | 'format' | 'shardSize' | 'files' | 'names' | 'config' | keyof typeof CHECKS> {
  /** What asked for this, as written, where it is to be known by that. */
  readonly recipe?: AskedMerge | undefined;
  readonly inputs: readonly (string | PlanInput)[];
  /**
   * The inputs are in the order of their run, oldest first, and stay in it; otherwise they are sorted by
   * step.
   */
  readonly ordered?: boolean | undefined;
  readonly outputs: readonly OutputRequest[];
  /** Nobody has said yet where outputs are to be: their paths stand for a name, and nothing is asked of that place. */
  readonly unplaced?: boolean | undefined;
  /** Bound of native buffers, bytes. */
  readonly memory?: number | undefined;
  readonly force?: boolean | undefined;
  readonly resume?: boolean | undefined;
  /** Side files are copied wherever their links lead. */
  readonly followLinks?: boolean | undefined;
  /** What another process found out that planned the same before: not looked for again. */
  readonly adopted?: AdoptedPlan | undefined;
}

/** What of a plan costs reads beyond headers. */
export interface AdoptedPlan {
  /** By path of the member. */
  readonly fingerprints: ReadonlyMap<string, string>;
  /** [K] all that there is to say of each output. */
  readonly warnings: readonly (readonly Warning[])[];
}

export interface OutputRequest extends Omit<RecipeOutput, 'select' | 'sliding' | 'preset' | 'weightsFile'> {
  /** The file of weights whose entries are the last of the policies. */
  readonly weightsFile?: RecordedWeightsFile | undefined;
  /** Which inputs, as ascending indices; all when absent. Weights and schedules are about these alone. */
  readonly members?: readonly number[] | undefined;
  /** How many of the members asked for there are, where that was found out before: of a study's merges. */
  readonly report?: FoundMembers | undefined;
  /** What the selection found out, for the plan. */
  readonly selection?: SelectionReport | undefined;
  readonly baseModelId?: string | undefined;
}

/** A report, and what there is to say of it. */
export interface FoundMembers extends MemberReport {
  readonly warnings: readonly Warning[];
}

/** How the members of an output came to be chosen. */
export interface SelectionReport extends Omit<Selected, 'members'> {
  /** The training log that the selection looked at. */
  readonly log: readonly LogEntry[];
}

/** One input in its place: oldest first. */
export interface PlanMember extends Moment {
  readonly stage: number | null;
  /** Bytes of data of the model's tensors, as `merge ls` has it: without those of an optimizer or a trainer. */
  readonly bytes: number;
  /** SHA-256 of sizes, headers and sampled blocks (`checkpoints/fingerprint.ts`). */
  readonly fingerprint: string;
  /** What was opened. The engine's own: it may change with any version. */
  readonly checkpoint: Checkpoint;
  /** Whether any output gives it a weight other than 0; a member without is not read. */
  readonly participates: boolean;
}

/** A tensor file of a participating member that will be opened. */
export interface PlanInputFile {
  readonly member: number;
  /** Index into the member's files. */
  readonly file: number;
  readonly path: string;
}

/** A part of a tensor that a member has in boxes, in elements whatever becomes of it. */
export interface GatheredInput {
  /** Files are indices into `Plan.files`. */
  readonly matrix: BoxedMatrix;
  /** The element of the matrix that is the first of the segment. */
  readonly start: number;
}

/**
 * The work of one layout shard as columns: S segments of neighbouring tensors with equal treatment, N
 * members, K outputs. The rows are what `CombineJob` takes, for whole segments.
 */
export interface SegmentTable {
  readonly count: number;
  /** [S] elements (bytes, where copied). */
  readonly elements: Float64Array;
  /**
   * [S x N] index into `Plan.files`, -1 where the member takes no part; of one in boxes that of the first.
   */
  readonly file: Int32Array;
  /** [S x N] byte offset in that file. */
  readonly offset: Float64Array;
  /** [S x N] dtype codes. */
  readonly dtype: Uint8Array;
  /** By s x N + n: inputs that are gathered from boxes. */
  readonly gathered: ReadonlyMap<number, GatheredInput>;
  /** [S x K] byte offset in the output file, header included. */
  readonly outOffset: Float64Array;
  /** [S x K] dtype codes. */
  readonly outDtype: Uint8Array;
  /** [S] index into `Plan.weights`' tables, or -1-i to copy the bytes of member i; -1-N of zeros. */
  readonly table: Int32Array;
  /** [S+1] first cell of each segment. */
  readonly cell: Int32Array;
  /** [cells] element within its segment at which the tensor ends. */
  readonly cellEnd: Float64Array;
  /** [cells] row of the tensor in the shard, as the outputs hold it (`Plan.tables`). */
  readonly cellRow: Int32Array;
}

/** One tensor file, in all outputs. */
export interface PlanShard {
  /** Index into `Plan.tables`, and into the files of each output. */
  readonly shard: number;
  readonly segments: SegmentTable;
  /** Quantised weights of which this shard holds codes or scales. */
  readonly quantised: readonly PlanQuantised[];
}

/** A quantised weight, and where the outputs have its codes and scales. */
export interface PlanQuantised {
  readonly work: QuantisedWork;
  /**
   * Rows of the shard's tensors in the outputs; null where another shard holds them, or (scales) none does.
   */
  readonly codesRow: number | null;
  readonly scalesRow: number | null;
  /** [K] byte offsets in the output's file; null as above. */
  readonly codesOffset: readonly number[] | null;
  readonly scalesOffset: readonly number[] | null;
}

export interface PlanOutputFile extends FileFrame {
  readonly name: string;
  /** Whole file, header included. */
  readonly bytes: number;
}

export interface PlanOutput {
  readonly path: string;
  readonly kind: 'folder' | 'file';
  readonly dtype: FloatDtypeName | 'same' | null;
  /** The file of weights that the last of the policies are from; null where none was named. */
  readonly weightsFile: RecordedWeightsFile | null;
  /** As they were asked for, `router` among them as the first. */
  readonly policies: readonly PlanPolicy[];
  /** What was done with tensors of which role. */
  readonly treatments: readonly TreatmentRow[];
  /** Its members, oldest first: ascending indices into `Plan.members`. */
  readonly members: readonly number[];
  /** [members] whether any tensor is made from it: by its weight, or by a policy. */
  readonly used: readonly boolean[];
  /** Schedule, parameters and effective weights, one for each of `members`. */
  readonly schedule: ResolvedWeights;
  /** How its members came to be chosen; null where they were named one by one. */
  readonly selection: SelectionReport | null;
  /** How many of the members asked for there are, and what is left out. */
  readonly report: MemberReport;
  /** Recipe of this output alone, to be written into its folder; null where the output is a single file. */
  readonly recipe: string | null;
  readonly baseModelId: string | null;
  /** What it was made for, and what became of optimizer state; null where nothing was said. */
  readonly purpose: Purpose | null;
  readonly optimizer: OptimizerUse | null;
  readonly extraState: ExtraStateUse | null;
  readonly weightsFrom: WeightSource | null;
  /** What it has of the trainer's state, where its container holds that and training is to go on from it. */
  readonly kept: KeptState | null;
  /** What could be done beforehand for its files to be written faster; absent where there is nothing to say. */
  readonly hint?: string;
  /** Where its record lies that a file cannot hold; null where it is in the output. */
  readonly recordBeside: string | null;
  /** One for each of `Plan.tables`, in the same order. */
  readonly files: readonly PlanOutputFile[];
  /** Of what kind they are. */
  readonly container: OutputContainer;
  /** Written when all of these are there, in this order; none where the tensors' files are all. */
  readonly composed: readonly ComposedFile[];
  /** Index file name and content for sharded layouts. */
  readonly index: { readonly name: string; readonly bytes: Uint8Array } | null;
  /**
   * Configuration, tokenizer and the like, and training state where it was asked for: copied from the newest
   * of its members.
   */
  readonly sideFiles: readonly SideFile[];
  /** What stays behind of its newest member, links that lead elsewhere among it. Sorted by name. */
  readonly left: readonly LeftFile[];
  /** Of the side files those that are not copied as they are. */
  readonly edited: readonly EditedFile[];
  /** Written beside them, of the configuration that its tensors' names ask for; null where it is as a side file. */
  readonly config: string | null;
  /** The beginning of the newest member's README.md; null where there is none, or none that can be read. */
  readonly sourceReadme: string | null;
  readonly bytes: number;
  /**
   * SHA-256 of all that decides the bytes of this output: members by fingerprint, weights, layout, dtype,
   * arithmetic version.
   */
  readonly digest: string;
  /** Digest of the recipe as written and of this output's name; null where no recipe asked for it. */
  readonly request: string | null;
  /** Tensors whose dtype differs from the layout's, as `BF16 to F32: 120 tensors`. */
  readonly dtypeChanges: readonly string[];
  /** What there is to say of this output: the same as where it is made alone. */
  readonly warnings: readonly Warning[];
}

/** A side file of which something is written otherwise. */
export interface EditedFile {
  readonly name: string;
  readonly text: string;
  /** What was changed in it. */
  readonly changes: readonly string[];
}

/** A policy of an output. */
export interface PlanPolicy {
  /** In the spelling of the command line. */
  readonly text: string;
  /** Where it has a schedule of its own: its weights, one for each of the output's members. */
  readonly weights: Float64Array | null;
}

/** Exactly what will be read, computed and written. Made without a write; executing it is mechanical. */
export interface Plan {
  readonly members: readonly PlanMember[];
  /** The checkpoint whose tensors, in their order, all outputs have. */
  readonly layout: Checkpoint;
  /**
   * `layout` as it was asked for; null where each output follows the newest of its members, which then agree
   * in their tensors.
   */
  readonly like: string | null;
  /** Container of the outputs. */
  readonly format: OutputFormat;
  /** Bytes of tensors in a file at most, where that was asked for. */
  readonly shardSize: number | null;
  /** Files of tensors, where a number was asked for. */
  readonly filesAsked: number | null;
  /** The names that tensors have instead of those of the members; null where they have these. */
  readonly names: RecordedNames | null;
  readonly allowMixedDtypes: boolean;
  readonly allowUnknown: boolean;
  /** What is to be made: nothing where a resume finds all of it `finished`. */
  readonly outputs: readonly PlanOutput[];
  /** Outputs asked for that are there already as this plan makes them; none unless resuming. */
  readonly finished: readonly string[];
  readonly files: readonly PlanInputFile[];
  readonly shards: readonly PlanShard[];
  /** By shard, the tensors of the outputs: names and rows of segments' cells. */
  readonly tables: readonly TensorTable[];
  /** By shard, rows of these that nobody wrote, so that no number in them is worth a word; absent where all were. */
  readonly padding?: readonly ReadonlySet<number>[] | undefined;
  /** [tables x K x N] */
  readonly weights: Float64Array;
  readonly tensors: number;
  /** No tensor of the outputs is quantised, or of a dtype that quantised ones have. */
  readonly floats: boolean;
  /** The outputs hold plain floats where a member is quantised: their config.json loses that entry. */
  readonly dequantised: boolean;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly peakMemoryBytes: number;
  readonly memory: number;
  readonly freeBytesNeeded: number;
  readonly freeBytesAvailable: number;
  /** What there is to say of outputs only because they are made together. */
  readonly together?: readonly Warning[] | undefined;
  /** Those of all outputs, each once, and of all together. */
  readonly warnings: readonly Warning[];
  /** Nobody has said where outputs are to be; absent otherwise. */
  readonly unplaced?: boolean;
  /** What a recipe file names outside the folder that it lies in; absent where that is nothing. */
  readonly outside?: readonly OutsidePath[];
}

/** What `resume` would do with an output. */
export interface Resumption {
  readonly output: string;
  /**
   * `begin`: there is nothing to go on with; `continue`: with what an interrupted run left; `wait`: the merge
   * runs, or may run; `finished`: the output is there as this plan makes it.
   */
  readonly what: 'begin' | 'continue' | 'wait' | 'finished';
  /** Of `continue`, where it lies, and its finished parts and their bytes; else null and 0. */
  readonly partial: string | null;
  readonly parts: number;
  readonly bytes: number;
  /** Other unfinished merges to this output, which are left alone, and why. */
  readonly left: readonly { readonly path: string; readonly why: string }[];
  /** Unfinished merges of this very output without a finished part, which are removed. */
  readonly removes: readonly string[];
}
