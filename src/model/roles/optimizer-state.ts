import { sectionOfName } from '../../checkpoints/tensors/section.ts';

/**
 * What a tensor of a trainer's state is: the weights as the optimizer keeps them (float32, or what a lower
 * dtype lacks of it), its moments, how many steps it took; `unknown`: what else it keeps of a weight, of which
 * nothing says what it begins with; `other`: what else the optimizer keeps, as its rate; `training`: what is
 * not the optimizer's, as the schedule, a counter or the place in the data.
 */
export type StateKind = 'master' | 'first moment' | 'second moment' | 'step' | 'unknown' | 'other' | 'training';

export interface StateTensor {
  readonly kind: StateKind;
  /**
   * Name of the weight that it belongs to, without what its model's names begin with; null where it is of
   * many, or of none.
   */
  readonly of: string | null;
  /**
   * It is of many weights together, one behind the other, and no name in the checkpoint says where each lies.
   */
  readonly flat: boolean;
  /** Of what is flat: all of it is of one kind, so that it can be set to zero as it lies. */
  readonly uniform: boolean;
}

/** What optimizers call their parts; moments are those that begin with 0, second ones never below it. */
const PARTS: Readonly<Record<string, StateKind>> = {
  param: 'master',
  fp32_param: 'master',
  master_param: 'master',
  master_weight: 'master',
  fp32_from_fp16: 'master',
  exp_avg: 'first moment',
  exp_avg_slow: 'first moment',
  momentum_buffer: 'first moment',
  grad_avg: 'first moment',
  exp_avg_sq: 'second moment',
  exp_avg_sq_row: 'second moment',
  exp_avg_sq_col: 'second moment',
  max_exp_avg_sq: 'second moment',
  exp_inf: 'second moment',
  square_avg: 'second moment',
  acc_delta: 'second moment',
  row_var: 'second moment',
  col_var: 'second moment',
  variance: 'second moment',
  sum: 'second moment',
  step: 'step',
};

/** Parts of a buffer of Megatron-core's distributed optimizer; of ZeRO. */
const OF_MANY =
  /(?:^|\.)(?:gbuf_idx_\d+|bucket_idx_\d+|\w*fp32_flat_groups|single_partition_of_fp32_groups|fp32_from_f(?:p|loat)16_\w+|flat_param\w*)(?:\.|$)/;
/**
 * A rank's part with DeepSpeed's ZeRO, by groups of parameters: `single_partition_of_fp32_groups.0` are masters, and
 * what the optimizer has beside them is as long (`base_optimizer_state.state.0.exp_avg`).
 */
const ZERO = /^optimizer\.zero_pp_rank_\d+\.(?:(single_partition_of_fp32_groups)|base_optimizer_state(?:\.state)?)\.\d+(?:\.(.+))?$/;
/**
 * `optimizer.state.exp_avg.<weight>` of Megatron-core; of torch and all others
 * `optim.state.<weight>.exp_avg`.
 */
const STATE = /^(?:.*?\.)??(?:opt|(?:\w+_)?optim(?:izer)?s?)(?:_states?)?(?:_dicts?)?(?:_\d+)?\.(?:optimizer\.)?state\.(.+)$/;

/** What a tensor is that its container keeps apart from the model, by its flat name. */
export function stateTensor(name: string): StateTensor {
  if (sectionOfName(name) !== 'optimizer') return { kind: 'training', of: null, flat: false, uniform: false };
  const ofRank = ZERO.exec(name);
  if (ofRank !== null) {
    const kind = ofRank[1] === undefined ? (partOf(ofRank[2] ?? '') ?? 'unknown') : 'master';
    return { kind, of: null, flat: kind !== 'step', uniform: true };
  }
  const other = { kind: 'other', of: null, flat: false, uniform: false } as const;
  if (OF_MANY.test(name)) return { kind: partOf(name.slice(name.lastIndexOf('.') + 1)) ?? 'other', of: null, flat: true, uniform: false };
  const rest = STATE.exec(name)?.[1] ?? '';
  const [first, last] = [rest.indexOf('.'), rest.lastIndexOf('.')];
  if (first < 0) return other;
  const before = partOf(rest.slice(0, first));
  if (before !== undefined) return { kind: before, of: rest.slice(first + 1), flat: false, uniform: false };
  return { kind: partOf(rest.slice(last + 1)) ?? 'unknown', of: rest.slice(0, last), flat: false, uniform: false };
}

function partOf(word: string): StateKind | undefined {
  return Object.hasOwn(PARTS, word) ? PARTS[word] : undefined;
}

/** What the model's own names may begin with, where its optimizer leaves it out. */
const MODEL_PREFIXES = ['', 'model.', 'module.', 'model.module.', 'app.model.', 'state.model.'] as const;

/** More than a state has models. */
const MOST_KEYS = 8;

/** The keys that the model's names begin with, where they are few: what a trainer of its own may call it. */
export function keysOfModel(names: Iterable<string>): readonly string[] {
  const keys = new Set<string>();
  for (const name of names) {
    keys.add(name.slice(0, name.indexOf('.') + 1));
    if (keys.size > MOST_KEYS) return [];
  }
  return [...keys];
}

/**
 * The weight that a tensor of the optimizer's belongs to.
 * @param find the number of a tensor of the model of that name
 * @param keys what names of this model may begin with besides; only what is one of a kind under them is found
 */
export function weightOf<T>(
  { of }: Pick<StateTensor, 'of'>,
  find: (name: string) => T | undefined,
  keys: readonly string[] = [],
): T | null {
  if (of === null) return null;
  for (const prefix of MODEL_PREFIXES) {
    const found = find(`${prefix}${of}`);
    if (found !== undefined) return found;
  }
  const others = keys.map((key) => find(`${key}${of}`)).filter((found) => found !== undefined);
  return others.length === 1 ? others[0]! : null;
}

/**
 * Whether the elements of a tensor of the optimizer's are in the order of its weight's. Megatron-core until
 * 0.13 cuts them into pieces and lays each out flat: `[L, pieces, 1, …, elements]`, which is that order where
 * the weight is cut along the first dimension behind those that both have.
 */
export function inOrderOf(weight: readonly number[], shape: readonly number[]): boolean {
  const count = (sizes: readonly number[]): number => sizes.reduce((product, size) => product * size, 1);
  if (count(weight) !== count(shape)) return false;
  if (weight.length === shape.length && weight.every((size, axis) => size === shape[axis])) return true;
  if (shape.length !== weight.length + 1) return false;
  let axis = 0;
  while (axis < weight.length && shape[axis] === weight[axis]) axis++;
  const [pieces, ...middle] = shape.slice(axis, -1);
  return pieces !== undefined && weight[axis]! % pieces === 0 && middle.every((size) => size === 1);
}
