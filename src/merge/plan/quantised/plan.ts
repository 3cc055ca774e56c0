import { dtypeByCode, dtypeByName } from '../../../base/dtype.ts';
import type { Conflict, Warning } from '../../../base/errors.ts';
import { worded } from '../../../base/option-words.ts';
import { haveSameTensors } from '../../../checkpoints/tensors/table.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { recogniseQuantised } from '../../../model/quantised/recognise.ts';
import type { QuantisedTensors, QuantisedWeight } from '../../../model/quantised/types.ts';
import type { Replacement } from '../tensors/target.ts';
import { type SourcedPart, SourceFinder, type Wanted } from './sources.ts';
import type { CopiedScale, QuantisedPlan, QuantisedRequest, QuantisedTarget, QuantisedWork } from './types.ts';

/** Most tensors that a warning names. */
const NAMED = 3;

/**
 * What a merge must know of quantised weights: which rows of layout and members they are made of, what the
 * outputs hold in their place, and the work. A weight is quantised where the layout holds codes, or where it
 * holds floats and a member codes. Pure: headers and configurations decide.
 */
export function planQuantised(request: QuantisedRequest): QuantisedPlan {
  return new Planner(request).run();
}

class Planner {
  readonly #request: QuantisedRequest;
  readonly #layout: QuantisedTensors;
  /** [members] null where the member takes no part. */
  readonly #members: readonly (QuantisedTensors | null)[];
  readonly #handled: Set<number>[];
  readonly #dropped: Set<number>[];
  readonly #replaced: Map<number, Replacement>[];
  readonly #accounted: Set<number>[][];
  readonly #works: QuantisedWork[] = [];
  readonly #copies: CopiedScale[] = [];
  readonly #conflicts: Conflict[] = [];
  readonly #warnings: Warning[] = [];
  readonly #sources: SourceFinder;

  constructor(request: QuantisedRequest) {
    this.#request = request;
    const { layout, layoutConfig, members, memberConfigs, participates } = request;
    const seen: { checkpoint: Checkpoint; said: string; tensors: QuantisedTensors }[] = [];
    const recognise = (checkpoint: Checkpoint, config: QuantisedRequest['layoutConfig']): QuantisedTensors => {
      const said = JSON.stringify(config);
      const known = seen.find((s) => s.checkpoint === checkpoint || (s.said === said && shareTensors(s.checkpoint, checkpoint)));
      // What is wrong with one is said of each by its own path; what is right is the same.
      if (known !== undefined && (known.checkpoint === checkpoint || known.tensors.conflicts.length === 0)) return known.tensors;
      const tensors = recogniseQuantised(checkpoint, config);
      seen.push({ checkpoint, said, tensors });
      this.#conflicts.push(...tensors.conflicts);
      return tensors;
    };
    this.#members = members.map((member, m) => (participates[m] ? recognise(member, memberConfigs[m] ?? null) : null));
    this.#layout = recognise(layout, layoutConfig);
    const setsOf = (checkpoint: Checkpoint): Set<number>[] => checkpoint.shards.map(() => new Set());
    this.#handled = setsOf(layout);
    this.#dropped = setsOf(layout);
    this.#replaced = layout.shards.map(() => new Map());
    this.#accounted = members.map(setsOf);
    this.#sources = new SourceFinder(request, this.#members, this.#conflicts);
  }

  run(): QuantisedPlan {
    let dequantised = false;
    // A form that cannot be read has no weights to plan; everything else would be said twice. A scale that
    // scales nothing says nothing of the others.
    if (this.#conflicts.every(({ code }) => code === 'E_SCALE_ORPHAN' || code === 'E_QUANTISATION_CONFIG')) {
      dequantised = this.#dequantises();
      for (const weight of this.#layout.weights) this.#stored(weight, dequantised);
      for (const wanted of this.#elsewhere()) this.#floats(wanted);
      for (const place of this.#layout.activationScales) this.#activationScale(place, dequantised);
      this.#accountActivationScales(dequantised);
      this.#works.sort((a, b) => a.codes.shard - b.codes.shard || a.codes.row - b.codes.row || a.codes.from - b.codes.from);
      this.#warn(dequantised);
    }
    return {
      handled: this.#handled,
      accounted: this.#accounted,
      changes: { dropped: this.#dropped, replaced: this.#replaced },
      works: this.#works,
      copies: this.#copies,
      arranged: this.#sources.arranged,
      dequantised,
      conflicts: this.#conflicts,
      warnings: this.#warnings,
    };
  }

  /** Whether the outputs hold floats where the layout holds codes; says what stands against it. */
  #dequantises(): boolean {
    const { outputs, layout } = this.#request;
    const { weights } = this.#layout;
    if (weights.length === 0) return false;
    const floats = outputs.map(({ dtype }) => dtype !== null && dtype !== 'same');
    if (new Set(floats).size > 1) {
      const [plain, same] = [outputs[floats.indexOf(true)]!.path, outputs[floats.indexOf(false)]!.path];
      const message = `${plain} would hold floats and ${same} quantised weights, and one run makes outputs of the same tensors: make them one by one`;
      this.#conflicts.push({ code: 'E_LAYOUTS_DIFFER', message, file: layout.path });
    }
    const fp4 = weights.find((w) => w.scheme === 'mxfp4');
    const unsaid = outputs.find((o) => o.dtype === null);
    if (fp4 !== undefined && unsaid !== undefined) {
      const message = worded`${layout.path} holds MXFP4 weights (${fp4.name}), whose rounding is larger than what training moves between checkpoints: say with --dtype whether ${unsaid.path} is stored as bf16 or quantised anew (same)`;
      this.#conflicts.push({ code: 'E_DTYPE_NEEDED', message, file: layout.path, tensor: fp4.name });
    }
    return floats[0]!;
  }

  /** A weight of which the layout holds codes. */
  #stored(weight: QuantisedWeight, dequantised: boolean): void {
    const { outputs } = this.#request;
    const parts = this.#sources.of({ ...weight, place: weight.codes, blocks: weight, codes: true });
    this.#account(parts);
    const { codes, scales, plain, encoding, scaleDtype } = weight;
    this.#handled[codes.shard]!.add(codes.row);
    this.#handled[scales.shard]!.add(scales.row);
    if (this.#isDropped(codes)) {
      this.#dropped[scales.shard]!.add(scales.row);
      return;
    }
    const targets = outputs.map(({ dtype, path }, k): QuantisedTarget => {
      const own = this.#request.treatmentOf(k, codes.shard, codes.row).dtype;
      if (!dequantised && own !== null && own !== 'stored' && own !== 'stored-or-wider') {
        const message = worded`a policy wants ${weight.name} as ${own} in ${path}, whose other weights stay quantised, and config.json knows one form for all: use --dtype instead`;
        this.#conflicts.push({ code: 'E_POLICY', message, tensor: weight.name });
      }
      if (dtype === null || dtype === 'same') return { encoding, scaleDtype, transposed: false };
      return { encoding: dtypeByName(dtype)!.code, scaleDtype: null, transposed: weight.transposed };
    });
    if (dequantised) {
      this.#dropped[scales.shard]!.add(scales.row);
      this.#replaced[codes.shard]!.set(codes.row, { name: plain.name, dtypeCode: targets[0]!.encoding, shape: plain.shape });
    }
    this.#work(weight, codes, dequantised ? null : scales, parts, targets);
  }

  /** A weight that the layout holds as floats, and a member as codes. */
  #floats({ wanted, weight }: { wanted: Wanted; weight: QuantisedWeight }): void {
    const { layout, outputs } = this.#request;
    const { place } = wanted;
    const { dtypes, shapes } = layout.shards[place.shard]!.tensors;
    const stored = dtypes[place.row]!;
    if (shapes[place.row]!.join() !== wanted.plain.shape.join()) {
      const message = `tensor ${wanted.name} is [${shapes[place.row]!.join(', ')}] in the layout, and [${wanted.plain.shape.join(', ')}] as codes in an input`;
      this.#conflicts.push({ code: 'E_SHAPE', message, file: layout.path, tensor: wanted.name });
      return;
    }
    const parts = this.#sources.of(wanted);
    this.#account(parts);
    if (this.#isDropped(place)) return;
    this.#handled[place.shard]!.add(place.row);
    const targets = outputs.map(({ dtype }): QuantisedTarget => {
      const encoding = dtype === null || dtype === 'same' ? stored : dtypeByName(dtype)!.code;
      return { encoding, scaleDtype: null, transposed: wanted.transposed };
    });
    this.#work(weight, place, null, parts, targets);
  }

  #work(
    weight: Pick<QuantisedWeight, 'scheme' | 'powerOfTwo'>,
    codes: TensorPlace,
    scales: TensorPlace | null,
    parts: readonly SourcedPart[],
    targets: readonly QuantisedTarget[],
  ): void {
    const { scheme, powerOfTwo } = weight;
    const { names } = this.#request.layout.shards[codes.shard]!.tensors;
    const about = { name: names[codes.row]!, scheme, role: this.#request.roleOf(codes.shard, codes.row), powerOfTwo };
    for (const { from, scalesFrom, sources, ...shape } of parts) {
      this.#works.push({
        ...about,
        codes: { shard: codes.shard, row: codes.row, from },
        scales: scales === null ? null : { shard: scales.shard, row: scales.row, from: scalesFrom },
        ...{ sources, targets, table: 0, ...shape },
      });
    }
  }

  /** Weights that the layout holds as floats and members as codes, each once: by name, or in another layout. */
  *#elsewhere(): Generator<{ wanted: Wanted; weight: QuantisedWeight }> {
    const { layout, members, arrangement } = this.#request;
    const known = new Set(this.#layout.weights.map((w) => w.plain.name));
    const isFloat = ({ shard, row }: TensorPlace): boolean => dtypeByCode(layout.shards[shard]!.tensors.dtypes[row]!).kind === 'float';
    for (const [m, tensors] of this.#members.entries()) {
      if (tensors === null || tensors === this.#layout) continue;
      let unnamed = false;
      for (const weight of tensors.weights) {
        const { name } = weight.plain;
        const place = layout.locate(name);
        unnamed ||= place === undefined;
        // Codes that the layout knows nothing of are extra tensors like any other.
        if (place === undefined || known.has(name) || !isFloat(place)) continue;
        known.add(name);
        yield { wanted: { ...weight, place, blocks: weight, codes: false }, weight };
      }
      if (!unnamed) continue;
      for (const [shard, { tensors: table, name: file }] of layout.shards.entries()) {
        for (const [row, name] of table.names.entries()) {
          const place = { shard, row };
          if (known.has(name) || !isFloat(place) || this.#handled[shard]!.has(row) || members[m]!.locate(name, file) !== undefined)
            continue;
          const arranged = arrangement(m).of(shard, row);
          if (arranged === undefined || 'refused' in arranged) continue;
          const weight = arranged.pieces.map((piece) => this.#sources.weightAt(m, piece)).find((w) => w !== undefined);
          if (weight === undefined) continue;
          known.add(name);
          const plain = { name, shape: table.shapes[row]! };
          yield { wanted: { name, plain, place, transposed: false, encoding: weight.encoding, blocks: null, codes: false }, weight };
        }
      }
    }
  }

  #activationScale(place: TensorPlace, dequantised: boolean): void {
    const { layout, members, outputs } = this.#request;
    const { tensors, name: file } = layout.shards[place.shard]!;
    const name = tensors.names[place.row]!;
    if (dequantised) {
      this.#dropped[place.shard]!.add(place.row);
      return;
    }
    const member = this.#members.findLastIndex((tensors) => tensors !== null);
    const source = members[member]!.locate(name, file);
    const [{ path }, tensor] = [members[member]!, name];
    if (source === undefined) {
      this.#conflicts.push({ code: 'E_TENSOR_MISSING', message: `tensor ${name} is missing from ${path}`, file: path, tensor });
    } else if (describe(members[member]!, source) !== describe(layout, place)) {
      const message = `tensor ${name} is ${describe(layout, place)} in the layout and ${describe(members[member]!, source)} in ${path}`;
      this.#conflicts.push({ code: 'E_SHAPE', message, file: path, tensor });
    } else if (outputs.some(({ newest }) => newest !== member)) {
      const message = `the outputs want ${name} from different members: make the outputs one by one`;
      this.#conflicts.push({ code: 'E_LAYOUTS_DIFFER', message, file: path, tensor });
    } else this.#copies.push({ place, member, source });
  }

  /** All outputs drop the same tensors. */
  #isDropped({ shard, row }: TensorPlace): boolean {
    return this.#request.treatmentOf(0, shard, row).kind === 'drop';
  }

  #account(parts: readonly SourcedPart[]): void {
    for (const { sources } of parts) {
      for (const [m, source] of sources.entries()) {
        for (const place of [source?.codes, source?.scales]) if (place != null) this.#accounted[m]![place.shard]!.add(place.row);
      }
    }
  }

  /**
   * Those of members have no place in an output of floats, and where the layout has some, its newest ones
   * stand for all; in a layout of codes that has none they are extra tensors.
   */
  #accountActivationScales(dequantised: boolean): void {
    const { weights, activationScales } = this.#layout;
    if (!dequantised && weights.length > 0 && activationScales.length === 0) return;
    for (const [m, tensors] of this.#members.entries()) {
      for (const { shard, row } of tensors?.activationScales ?? []) this.#accounted[m]![shard]!.add(row);
    }
  }

  #warn(dequantised: boolean): void {
    const { layout, outputs } = this.#request;
    const { weights, activationScales } = this.#layout;
    if (weights.length > 0 && dequantised) {
      const dtypes = [...new Set(outputs.map((o) => o.dtype))].join(' and ');
      const message = `${weights.length} quantised weights are stored as ${dtypes}; config.json loses its quantisation entry`;
      this.#warnings.push({ code: 'W_DEQUANTISED', message });
    }
    if (this.#copies.length > 0) {
      const named = activationScales.slice(0, NAMED).map(({ shard, row }) => layout.shards[shard]!.tensors.names[row]!);
      const more = activationScales.length > NAMED ? ` and ${activationScales.length - NAMED} more` : '';
      const message = `scales of activations are those of the newest member and were measured on its weights: ${named.join(', ')}${more}; calibrate them anew where they matter`;
      this.#warnings.push({ code: 'W_ACTIVATION_SCALES', message });
    }
  }
}

function describe({ shards }: Checkpoint, { shard, row }: TensorPlace): string {
  const { dtypes, shapes } = shards[shard]!.tensors;
  return `${dtypeByCode(dtypes[row]!).name} [${shapes[row]!.join(', ')}]`;
}

function shareTensors(a: Checkpoint, b: Checkpoint): boolean {
  return a.shards.length === b.shards.length && a.shards.every((s, i) => haveSameTensors(s.tensors, b.shards[i]!.tensors));
}
