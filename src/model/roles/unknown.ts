import { type DtypeName, dtypeByCode } from '../../base/dtype.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { Role } from './types.ts';

/** Dtypes of weights as they are trained. */
const PLAIN: ReadonlySet<DtypeName> = new Set(['F64', 'F32', 'F16', 'BF16']);
/** Dtypes of indices and flags, which are no codes whatever they are called. */
const COUNTED: ReadonlySet<DtypeName> = new Set(['I64', 'U64', 'BOOL']);
/** Integers of any width that count, number or mark something, and blobs of bytes. */
const NO_CODES = /(?:^|[._])(?:_?extra_state\d*|\w*ids?|\w*idx|\w*ind(?:ex|ices)|\w*mask|\w*counts?|steps?|num_\w+|tid2eid|rng_state\w*)$/;

/** Endings that only the scales and zero points of quantised weights have. */
const QUANTISED =
  /(?:^|[._])(?:\w*scale_inv|weight_scale(?:_\d)?|\w*global_scale|qscale_\w+|zero_points?|\w+_zero_point|qzeros|absmax|amax|amax_history\w*|scale(?:_inv)?_(?:fwd|bwd)|(?:activation_post_process|\w*fake_quant)\.[\w.]+|quant_map|SCB)$/;
/** And those that, as one number, are those of activations. */
const OF_ACTIVATIONS = /(?:^|[._])(?:(?:input|activation)_scale(?:_\d)?|[kvq]_scale)$/;
/**
 * What ends so in a block: `mlp.gate_scale`. A module's own `scale` is learned, and so are those of some
 * names (Swin's `logit_scale`, Gemma's `per_dim_scale`, RT-DETR's `n_points_scale`).
 */
const SCALE_OF_A_BLOCK = /(?<!logits?|_dim|points|layer|residual)_(?:scales?|zeros?)$/;
/** The parts of a layer, whose rules take all that lies below them. */
const BLOCKS: ReadonlySet<Role> = new Set(['attn', 'mlp', 'ssm', 'expert', 'shared_expert', 'router', 'vision', 'audio', 'projector']);
const OF_TOWERS: ReadonlySet<Role> = new Set(['vision', 'audio', 'projector']);

/**
 * Whether a float of a block is by its own name none of the block's weights, but a scale or zero point of
 * quantised ones.
 * @param codes whether the checkpoint holds codes: beside none, a scale is learned
 */
export function isScaleInBlock(name: string, role: Role, codes: boolean): boolean {
  if (!BLOCKS.has(role)) return false;
  return QUANTISED.test(name) || (codes && !OF_TOWERS.has(role) && SCALE_OF_A_BLOCK.test(name));
}

/** Endings of those too, and of what is learned. */
const SCALE = /(?:^|[._])(?:scales?|zeros?)$/;
/** What lies beside a tensor `X` of codes. */
const SCALES_OF = ['_scale', '_scales', '_scale_inv', '_zero_point', '_zeros', '.scale', '.scales'] as const;
/** What lies beside scales `X.scale`, `X.scales` or `X_scales`. */
const CODES_OF = ['', '.weight', '.qweight', '.weight_packed', '.blocks', '_blocks'] as const;

/** Whether a tensor holds codes, by dtype and name: neither floats as they are trained nor indices. */
function isCodes(name: string, dtype: DtypeName): boolean {
  return !PLAIN.has(dtype) && !COUNTED.has(dtype) && dtype !== 'C64' && !NO_CODES.test(name);
}

/** Whether a checkpoint holds any codes of quantised weights. */
export function holdsCodes({ shards }: Pick<Checkpoint, 'shards'>): boolean {
  return shards.some(({ tensors: { dtypes, names } }) => {
    const others = new Set([...new Set(dtypes)].filter((code) => !PLAIN.has(dtypeByCode(code).name)));
    return others.size > 0 && dtypes.some((code, row) => others.has(code) && isCodes(names[row]!, dtypeByCode(code).name));
  });
}

/** Whether the codes that a tensor called like a scale would belong to are there. */
export function hasCodesBeside(checkpoint: Pick<Checkpoint, 'locate' | 'shards'>, name: string, file: string): boolean {
  const base = name.replace(/[._]scales?$/, '');
  return CODES_OF.some((ending) => {
    const place = checkpoint.locate(`${base}${ending}`, file);
    if (place === undefined) return false;
    const { dtypes, names } = checkpoint.shards[place.shard]!.tensors;
    return isCodes(names[place.row]!, dtypeByCode(dtypes[place.row]!).name);
  });
}

/**
 * What name and neighbours of a float tensor that no rule knows say against averaging it, as half a sentence;
 * null where they say nothing.
 * @param codes whether the checkpoint holds codes at all
 */
export function doubtByName(
  checkpoint: Pick<Checkpoint, 'locate' | 'shards'>,
  { name, dtype, file }: { readonly name: string; readonly dtype: DtypeName; readonly file: string },
  codes: boolean,
): string | null {
  if (!PLAIN.has(dtype)) return `${dtype} holds codes, which are never averaged one by one`;
  if (QUANTISED.test(name) || OF_ACTIVATIONS.test(name)) return 'its name is that of a scale or zero point of a quantised weight';
  if (!codes) return null;
  if (SCALE.test(name)) return 'its name ends like a scale or zero point, and the checkpoint holds quantised weights';
  const scales = SCALES_OF.find((ending) => checkpoint.locate(`${name}${ending}`, file) !== undefined);
  return scales === undefined ? null : `${name}${scales} beside it looks like the scales of codes`;
}

/** Numbers that dtypes of few bits cannot tell from their neighbours by a fraction. */
const WHOLE_FROM: Partial<Record<DtypeName, number>> = { BF16: 2 ** 7, F16: 2 ** 10, F32: 2 ** 23, F64: 2 ** 52 };
/** By how much steps or ratios of a sequence may differ, where rounding to the dtype is all that differs. */
const ROUNDING: Partial<Record<DtypeName, number>> = { BF16: 2 ** -6, F16: 2 ** -9, F32: 2 ** -16, F64: 2 ** -40 };
/** Fewer values that differ between members are whole numbers or even steps by chance. */
const FEW = 8;

/**
 * What the values of a tensor that no rule knows say against averaging it; null where they say nothing.
 * Training leaves neither whole numbers nor even steps, nor infinities.
 * @param members samples of the same elements in each, in the order of the elements
 * @param whole whether the samples are all of the tensor
 */
export function doubtByValues(dtype: DtypeName, members: readonly Float64Array[], whole: boolean): string | null {
  if (members.some((values) => values.length === 0)) return null;
  if (isTable(members, WHOLE_FROM[dtype] ?? 0)) return 'its values are whole numbers or infinite in every member, as in a table or a mask';
  if (whole && members.every((values) => isSequence(values, ROUNDING[dtype] ?? 0))) {
    return 'its values rise or fall in even steps in every member, as those of a constant do';
  }
  return null;
}

/**
 * Infinities, or whole numbers of several values, of which one could have had a fraction: what is 0 or 1 all
 * over is untrained.
 */
function isTable(members: readonly Float64Array[], wholeFrom: number): boolean {
  const seen = new Set<number>();
  let told = false;
  let infinite = false;
  for (const values of members) {
    for (const value of values) {
      if (Number.isNaN(value) || (Number.isFinite(value) && !Number.isInteger(value))) return false;
      infinite ||= !Number.isFinite(value);
      told ||= value !== 0 && Math.abs(value) < wholeFrom;
      if (seen.size < 2) seen.add(value);
    }
  }
  return infinite || (told && seen.size > 1 && (members.every(({ length }) => length >= FEW) || areEqual(members)));
}

/**
 * What is the same in all members is copied, and nothing is refused by that: of those a few numbers tell
 * enough.
 */
function areEqual([first, ...others]: readonly Float64Array[]): boolean {
  return others.every((other) => other.every((value, i) => value === first![i]));
}

function isSequence(values: Float64Array, tolerance: number): boolean {
  if (values.length < FEW) return false;
  const span = Math.abs(values.at(-1)! - values[0]!);
  const step = (values.at(-1)! - values[0]!) / (values.length - 1);
  if (step === 0 || !Number.isFinite(step)) return false;
  const even = values.every((value, i) => Math.abs(value - (values[0]! + i * step)) <= tolerance * span);
  if (even) return true;
  if (values[0]! * values.at(-1)! <= 0) return false;
  const ratio = (values.at(-1)! / values[0]!) ** (1 / (values.length - 1));
  return values.every((value, i) => Math.abs(value / (values[0]! * ratio ** i) - 1) <= tolerance);
}
