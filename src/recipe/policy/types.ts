import type { DtypeName, FloatDtypeName } from '../../base/dtype.ts';
import type { ErrorCode } from '../../base/errors.ts';
import type { StateTensor } from '../../model/roles/optimizer-state.ts';
import type { TensorRole } from '../../model/roles/types.ts';
import type { WeightRequest } from '../schedule/types.ts';

export type DefaultName =
  | 'state'
  | 'converted'
  | 'scale'
  | 'training state'
  | 'partial buffer'
  | 'activation state'
  | 'statistics'
  | 'integer'
  | 'rounded buffer'
  | 'buffer'
  | 'packed'
  | 'correction bias'
  | 'unknown'
  | 'weight';

/** One of several, as a list or in one text: `router|norms`, `0-3|7|-1`. */
export type Several<T> = T | string | readonly (T | string)[];

/** Which tensors a policy is about: everything that is given must hold. */
export interface Selector {
  /** Roles, or groups of them (`ROLE_GROUPS`). */
  readonly role?: Several<string> | undefined;
  /**
   * Layers of the model: numbers and ranges, -1 the last; with the role `mtp` those of multi-token
   * prediction.
   */
  readonly layers?: Several<number> | undefined;
  /** Experts of a layer: numbers and ranges, -1 the last. */
  readonly experts?: Several<number> | undefined;
  /** The whole name, `*` for any text and `?` for one character. */
  readonly name?: string | undefined;
  /** Dtypes in which the layout stores the tensors; on the command line also `dtype`, before the colon. */
  readonly stored?: Several<string> | undefined;
}

/**
 * Where a tensor's values come from: the weighted sum, one member (a number is a step), any member where all
 * are the same; or that it is left out.
 */
export type Use = 'average' | 'newest' | 'oldest' | 'equal' | 'drop' | number;

/**
 * What becomes of some tensors. A method, its parameters or weights mean `use: average` and go before the
 * output's own; `dtype` alone leaves the rest to the other policies' defaults. The first policy that fits a
 * tensor decides.
 */
export interface Policy extends Selector, WeightRequest {
  readonly use?: Use | undefined;
  /** Dtype of the float tensors among them. */
  readonly dtype?: FloatDtypeName | undefined;
}

/** The policies of an output, as requests and recipes hold them. */
export interface PolicyRequest {
  readonly policies?: readonly Policy[] | undefined;
  /** Everything that decides routing together: `{ role: 'routers', use }` before the other policies. */
  readonly router?: RouterUse | undefined;
}

export type RouterUse = Exclude<Use, 'equal' | 'drop'>;

/** What is known of a float tensor whose name no rule knows. */
export interface Unknown {
  /** What speaks against averaging it, as half a sentence; null where nothing does. */
  readonly doubt: string | null;
}

/** A tensor of the layout, as far as policies look at it. */
export interface PolicyTensor {
  readonly name: string;
  readonly dtype: DtypeName;
  readonly bytes: number;
  readonly role: TensorRole;
  /** Codes of a quantised weight that is averaged through its values, whatever the dtype of the codes. */
  readonly codes?: boolean | undefined;
  /** Of a float tensor without a role. */
  readonly unknown?: Unknown | undefined;
  /** A constant buffer that some members lack. */
  readonly partial?: boolean | undefined;
  /** A constant buffer that some member holds in another float dtype, and the same but for rounding. */
  readonly rounded?: boolean | undefined;
  /** A scalar that is infinite, of which there is no mean. */
  readonly bounds?: boolean | undefined;
  /** Of what describes activations: another in some member, or not there. */
  readonly differs?: boolean | undefined;
  /** State of the optimizer or the trainer that the container keeps apart from the model. */
  readonly apart?: boolean | undefined;
  /**
   * Of such state: what it is, and which tensor it is of, as an index into those that are looked at together.
   */
  readonly state?: (Pick<StateTensor, 'kind' | 'flat' | 'uniform'> & { readonly weight: number | null }) | undefined;
  /** A tensor of some member that the layout lacks: all that can be said of it is that it is left out. */
  readonly extra?: boolean | undefined;
}

/**
 * What is done with some tensors of one output. `average`: weighted sum; `member`: the values of one member,
 * or its bytes where they are no floats; `equal`: compared byte by byte in all members, then copied; `drop`:
 * not in the output; `with-weight`: a scale or zero point, which goes where its weight goes; `zero`: all
 * zeros.
 */
export interface Treatment {
  readonly kind: 'average' | 'member' | 'equal' | 'drop' | 'with-weight' | 'zero';
  /** `member`: index into the members of the output, oldest first; else null. */
  readonly member: number | null;
  /** `average`: weights of its own; null for those of the output. */
  readonly request: WeightRequest | null;
  /** `equal`: what it is when they differ; else null. */
  readonly unequal: ErrorCode | null;
  /**
   * Of float tensors: `stored` keeps the layout's, `stored-or-wider` too unless the output's is wider, null
   * follows the output's.
   */
  readonly dtype: FloatDtypeName | 'stored' | 'stored-or-wider' | null;
  /** Index of the policy that decided; null where the default did. */
  readonly policy: number | null;
  /** The row of the default table that fits these tensors, also where a policy goes before it. */
  readonly default: DefaultName;
}
