/** A size that a table speaks of: a number, or the name of one that a configuration or the table's `sizes` has. */
export type SizeWord = number | string;

/** A part of a dimension, with a name. */
export interface NamedAxis {
  readonly name: string;
  /** Absent where it follows from the dimension and the other axes in it. */
  readonly size?: SizeWord;
}

/** How the dimensions of a tensor are made of axes, outermost first: `(head pair half=2) in`. */
export type Axes = readonly (readonly NamedAxis[])[];

/** A range of an axis, as Python writes it, or one index of it. Negative ones are counted from the end. */
export interface TakenRange {
  readonly from: SizeWord | null;
  readonly to: SizeWord | null;
  /** One index: the axis is gone then. */
  readonly single: boolean;
}

/** A tensor that a rule makes. */
export interface NamedTarget {
  /** With holes, which `from` has, or which are axes of the source that the target has not. */
  readonly name: string;
  /** Axes of the source in their new order; absent where they stay as they are, without those that are gone. */
  readonly axes?: Axes | undefined;
  /** By axis of the source. */
  readonly take: ReadonlyMap<string, TakenRange>;
}

/** A rule of a table: what becomes of tensors of a name. */
export interface NameRule {
  /** Names with holes, as `layers.{layer}.norm.weight`: spellings of one thing, as versions of a trainer have them. */
  readonly from: readonly string[];
  /** Absent where tensors are as they were. */
  readonly axes?: Axes | undefined;
  /** Nothing where the tensor belongs to no model there. */
  readonly to: readonly NamedTarget[];
  /** Whether a checkpoint may lack it: `tied`, where the configuration says that the embeddings are one. */
  readonly optional: boolean | 'tied';
  /** Types of models that have it; absent where all do. */
  readonly models?: readonly string[] | undefined;
}

/** Names of one framework in the words of another: what a names file says. */
export interface NamesTable {
  /** The file's name without its folder, or that of a built-in table. */
  readonly name: string;
  /** `model_type` of the configurations that the names are right for; absent where any will do. */
  readonly models?: readonly string[] | undefined;
  /** Numbers that the rules speak of. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly rules: readonly NameRule[];
  /** SHA-256 of the file, in hex, and what it says, without its comments. */
  readonly digest: string;
  readonly content: unknown;
}
