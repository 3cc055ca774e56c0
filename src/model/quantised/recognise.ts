import { type DtypeName, dtypeByCode } from '../../base/dtype.ts';
import type { Conflict } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import type { TensorPlace } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { blocksOf, matricesOf } from './blocks.ts';
import { type QuantisationConfig, quantisationConfig } from './config.ts';
import { refusedFamilies } from './refused.ts';
import { type BlockShape, MXFP4, MXFP4_GROUP, type QuantisedTensors, type QuantisedWeight } from './types.ts';

const FP8: ReadonlySet<string> = new Set<DtypeName>(['F8_E4M3', 'F8_E5M2', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ']);
const SCALE_DTYPES: ReadonlySet<string> = new Set<DtypeName>(['F32', 'BF16', 'F16', 'F8_E8M0', 'U8']);
const BYTES: ReadonlySet<string> = new Set<DtypeName>(['U8', 'I8', 'F8_E8M0']);
const E8M0: ReadonlySet<string> = new Set<DtypeName>(['U8', 'F8_E8M0']);

/**
 * Names of the scales of FP8 codes, by the name of the codes. `weight_scale_inv` multiplies too, whatever it
 * is called.
 */
const SCALES_OF: readonly ((codes: string) => string)[] = [
  (n) => `${n}_scale_inv`,
  (n) => `${n}_scale`,
  (n) => n.replace(/weight$/, 'scale'),
  (n) => n.replace(/weight$/, 'qscale_weight'),
  (n) => n.replace(/weight$/, 'scale_weight'),
  (n) => `${n}.weight_scale`,
  (n) => `${n}.weight_scale_inv`,
  (n) => `${n}.scale`,
];
/** Packed FP4: the name of the codes, of their scales, and of the same weight as floats. */
const FP4_NAMES = [
  // gpt-oss as transformers saves it: the float form has each matrix transposed.
  { codes: /^(.+)_blocks$/, scales: '$1_scales', plain: '$1', blocked: true, transposed: true },
  { codes: /^(.+)\.blocks$/, scales: '$1.scales', plain: '$1', blocked: true, transposed: false },
  { codes: /^(.+)\.weight_packed$/, scales: '$1.weight_scale', plain: '$1.weight', blocked: false, transposed: false },
  { codes: /^(.+)\.weight$/, scales: '$1.scale', plain: '$1.weight', blocked: false, transposed: false },
  { codes: /^(.+)\.weight$/, scales: '$1.weight_scale', plain: '$1.weight', blocked: false, transposed: false },
] as const;
const ACTIVATION = /(?:^|[._])(?:input_scale(?:_ub)?|activation_scale|qscale_act|output_scale|prob_output_scale|[qkv]_scale|kv_scale)$/;
/** A scale by its name; `.scale` alone may be a norm's weight. */
const SCALE = /(?:[._]scale_inv|\.(?:weight_scale|qscale_weight|scale_weight))$/;

/**
 * The quantised weights of a checkpoint, by dtypes, names and shapes; the configuration decides what those
 * leave open. FP8 tensors of a checkpoint without any scales are plain floats and not listed. Reads no data.
 */
export function recogniseQuantised(checkpoint: Checkpoint, config: Readonly<Record<string, unknown>> | null): QuantisedTensors {
  const said = quantisationConfig(config);
  const refused = refusedFamilies(checkpoint, said);
  if (refused.length > 0) return { weights: [], activationScales: [], conflicts: refused };
  return new Recogniser(checkpoint, said).run();
}

class Recogniser {
  readonly #checkpoint: Checkpoint;
  readonly #config: QuantisationConfig | null;
  readonly #weights: QuantisedWeight[] = [];
  readonly #conflicts: Conflict[] = [];
  readonly #unscaled: TensorPlace[] = [];
  readonly #maybeScales: TensorPlace[] = [];
  readonly #activation: TensorPlace[] = [];
  readonly #used = new Set<string>();

  constructor(checkpoint: Checkpoint, config: QuantisationConfig | null) {
    this.#checkpoint = checkpoint;
    this.#config = config;
  }

  run(): QuantisedTensors {
    for (const [shard, { tensors }] of this.#checkpoint.shards.entries()) {
      const { count, names, dtypes } = tensors;
      for (let row = 0; row < count; row++) this.#look({ shard, row }, names[row]!, dtypeByCode(dtypes[row]!).name);
    }
    const quantised = this.#weights.length > 0 || this.#config?.stored === true;
    const orphans = this.#maybeScales.filter((p) => !this.#used.has(key(p)) && (quantised || this.#name(p).endsWith('scale_inv')));
    for (const place of orphans) this.#orphan(place);
    if (quantised) for (const place of this.#unscaled) this.#missing(place);
    if (this.#config?.block == null) this.#unlike();
    if (this.#config?.stored && this.#weights.length + this.#conflicts.length === 0) this.#contradiction(this.#config);
    return { weights: this.#weights, activationScales: quantised ? this.#activation : [], conflicts: this.#conflicts };
  }

  #look(place: TensorPlace, name: string, dtype: DtypeName): void {
    // Nearly all are called so, and neither of the two is.
    const scale = !name.endsWith('.weight');
    if (scale && ACTIVATION.test(name)) this.#activation.push(place);
    else if ((scale && SCALE.test(name)) || (name.endsWith('_scales') && E8M0.has(dtype))) this.#maybeScales.push(place);
    else if (FP8.has(dtype)) this.#fp8(place, name);
    else if (dtype === 'U8' || dtype === 'I8' || dtype === 'F4') this.#fp4(place, name, dtype);
  }

  #fp8(codes: TensorPlace, name: string): void {
    const scales = this.#first(codes, name);
    if (scales === undefined) {
      this.#unscaled.push(codes);
      return;
    }
    const scaleDtype = this.#dtype(scales);
    const [weight, scale] = [this.#shape(codes), this.#shape(scales)];
    // A vector or a scalar of scales says nothing of blocks, whatever the configuration says of other
    // weights, unless it is called as those of blocks are.
    const inverse = this.#name(scales).endsWith('_scale_inv');
    const configured = scale.length < 2 && !inverse ? null : (this.#config?.block ?? null);
    const only = configured !== null && this.#config!.blocksOnly;
    const blocks = blocksOf(weight, scale, configured, only);
    if (blocks === null || !SCALE_DTYPES.has(scaleDtype)) {
      const { rows, cols } = matricesOf(weight);
      const [r, c] = configured ?? [128, 128];
      const fit = `blocks of ${r} x ${c} need [${[...weight.slice(0, -2), Math.ceil(rows / r), Math.ceil(cols / c)].join(', ')}]`;
      const others = only
        ? ' (weight_block_size in config.json)'
        : `, a scale for each row [${rows}, 1], one for all [1]; F32, BF16, F16 or F8_E8M0`;
      this.#badScale(scales, `${this.#describe(scales)} does not fit ${this.#describe(codes)}: ${fit}${others}`);
      return;
    }
    const powerOfTwo = this.#config?.powerOfTwo === true || E8M0.has(scaleDtype);
    const plain = { name, shape: weight };
    this.#add({ scheme: 'fp8', name, codes, scales, encoding: this.#code(codes), powerOfTwo, plain, transposed: false, ...blocks });
  }

  #fp4(codes: TensorPlace, name: string, dtype: DtypeName): void {
    for (const form of FP4_NAMES) {
      if (!form.codes.test(name)) continue;
      const scales = this.#locate(codes, name.replace(form.codes, form.scales));
      if (scales === undefined) {
        // An integer tensor called `blocks` or `weight` may be anything; packed weights are not.
        if (form.transposed || name.endsWith('.weight_packed'))
          this.#conflict(
            'E_SCALE_MISSING',
            codes,
            `${this.#describe(codes)} has no scales: ${name.replace(form.codes, form.scales)} is missing`,
          );
        continue;
      }
      if (!BYTES.has(this.#dtype(scales))) continue;
      const stored = this.#shape(codes);
      const shape = form.blocked ? stored.slice(0, -1) : stored;
      const groups = form.blocked ? shape.at(-1)! : (shape.at(-1)! * (dtype === 'F4' ? 1 : 2)) / MXFP4_GROUP;
      const [scale, expected] = [this.#shape(scales), [...shape.slice(0, -1), groups]];
      const other = form.blocked ? otherBits(stored.at(-1)!, 1) : otherBits(stored.at(-1)!, scale.at(-1) ?? 0);
      if (other !== null && dtype !== 'F4') {
        this.#used.add(key(scales));
        const message = `${this.#describe(codes)} holds ${other} with a power of two for ${MXFP4_GROUP} of them (${this.#describe(scales)}), which cannot be averaged: use the checkpoint that was quantised, and merge that`;
        this.#conflict('E_QUANTISED_UNSUPPORTED', codes, message);
        return;
      }
      if ((form.blocked && stored.at(-1) !== MXFP4_GROUP / 2) || !equal(scale, expected)) {
        this.#badScale(
          scales,
          `${this.#describe(scales)} does not fit ${this.#describe(codes)}: MXFP4 has a scale for each ${MXFP4_GROUP} values, [${expected.join(', ')}] here`,
        );
        return;
      }
      const full = [...shape.slice(0, -1), groups * MXFP4_GROUP];
      const { matrices, rows, cols } = matricesOf(full);
      const plain = { name: name.replace(form.codes, form.plain), shape: form.transposed ? [...full.slice(0, -2), cols, rows] : full };
      const blocks: BlockShape = { matrices, rows, cols, blockRows: 1, blockCols: MXFP4_GROUP };
      this.#add({ scheme: 'mxfp4', name, codes, scales, encoding: MXFP4, powerOfTwo: true, plain, transposed: form.transposed, ...blocks });
      return;
    }
  }

  /**
   * Where no configuration names the blocks, those of a checkpoint are alike: the few weights that have others
   * have scales of the wrong size.
   */
  #unlike(): void {
    const told = new Set<QuantisedWeight>();
    for (const axis of ['blockRows', 'blockCols'] as const) {
      // A side that is one element or all of them says nothing of blocks.
      const inBlocks = this.#weights.filter((w) => w.scheme === 'fp8' && w[axis] > 1 && w[axis] < (axis === 'blockRows' ? w.rows : w.cols));
      const sides = [...groupBy(inBlocks, (w) => w[axis])].sort(([, a], [, b]) => b.length - a.length);
      const [usual, ...others] = sides;
      if (usual === undefined || usual[1].length < 2) continue;
      for (const weight of others.flatMap(([, of]) => of)) {
        if (told.has(weight)) continue;
        told.add(weight);
        const what = axis === 'blockRows' ? 'rows' : 'columns';
        const message = `${this.#describe(weight.scales)} is a scale for each ${weight[axis]} ${what} of ${this.#describe(weight.codes)}, and other weights have one for each ${usual[0]} (${this.#name(usual[1][0]!.scales)}); where both are right, weight_block_size in config.json says so`;
        this.#badScale(weight.scales, message);
      }
    }
  }

  #add(weight: Omit<QuantisedWeight, 'scaleDtype'>): void {
    this.#used.add(key(weight.scales));
    this.#weights.push({ ...weight, scaleDtype: this.#code(weight.scales) });
  }

  #badScale(scales: TensorPlace, message: string): void {
    this.#used.add(key(scales));
    this.#conflict('E_SCALE_SHAPE', scales, message);
  }

  #orphan(place: TensorPlace): void {
    const base = this.#name(place).replace(/(?:[._](?:qscale_weight|scale_weight|weight_scale|weight_scale_inv)|_scales|_scale_inv)$/, '');
    const weight = this.#locate(place, `${base}.weight`) ?? this.#locate(place, base);
    const why =
      weight === undefined ? 'the weight that it scales is missing' : `${this.#describe(weight)} beside it holds no FP8 or FP4 codes`;
    this.#conflict('E_SCALE_ORPHAN', place, `${this.#describe(place)} scales nothing: ${why}`);
  }

  #missing(place: TensorPlace): void {
    const { names } = this.#checkpoint.shards[place.shard]!.tensors;
    const others = this.#weights[0]?.scales;
    const like = others === undefined ? 'the configuration says that it is quantised' : `other weights have one, as ${this.#name(others)}`;
    this.#conflict(
      'E_SCALE_MISSING',
      place,
      `${this.#describe(place)} has no scale (${SCALES_OF[0]!(names[place.row]!)} or the like), though ${like}`,
    );
  }

  #contradiction({ method }: QuantisationConfig): void {
    const { path } = this.#checkpoint;
    const message = `the configuration of ${path} says that its weights are quantised (quant_method ${method}), but no tensor is`;
    this.#conflicts.push({ code: 'E_QUANTISATION_CONFIG', message, file: path });
  }

  #conflict(code: Conflict['code'], place: TensorPlace, message: string): void {
    this.#conflicts.push({ code, message, file: this.#checkpoint.shards[place.shard]!.path, tensor: this.#name(place) });
  }

  #first(codes: TensorPlace, name: string): TensorPlace | undefined {
    for (const scaleOf of SCALES_OF) {
      const other = scaleOf(name);
      const place = other === name ? undefined : this.#locate(codes, other);
      if (place !== undefined) return place;
    }
    return undefined;
  }

  #locate(beside: TensorPlace, name: string): TensorPlace | undefined {
    return this.#checkpoint.locate(name, this.#checkpoint.shards[beside.shard]!.name);
  }

  #name({ shard, row }: TensorPlace): string {
    return this.#checkpoint.shards[shard]!.tensors.names[row]!;
  }

  #shape({ shard, row }: TensorPlace): readonly number[] {
    return this.#checkpoint.shards[shard]!.tensors.shapes[row]!;
  }

  #code({ shard, row }: TensorPlace): number {
    return this.#checkpoint.shards[shard]!.tensors.dtypes[row]!;
  }

  #dtype(place: TensorPlace): DtypeName {
    return dtypeByCode(this.#code(place)).name;
  }

  /** As `X.weight (F8_E4M3 [256, 128]) of model.safetensors`. */
  #describe(place: TensorPlace): string {
    const { path } = this.#checkpoint.shards[place.shard]!;
    return `tensor ${this.#name(place)} (${this.#dtype(place)} [${this.#shape(place).join(', ')}]) of ${path}`;
  }
}

/** What is no FP4 by the bytes that share a scale: 24 and 32, not 16. */
function otherBits(bytes: number, scales: number): string | null {
  if (scales > 0 && bytes === 24 * scales) return 'MXFP6 (6-bit codes)';
  return scales > 0 && bytes === 32 * scales ? '8-bit codes as bytes (MXFP8 or MXINT8)' : null;
}

function key({ shard, row }: TensorPlace): string {
  return `${shard} ${row}`;
}

function equal(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}
