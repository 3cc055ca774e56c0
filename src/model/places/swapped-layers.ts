import { type Dtype, dtypeByCode, type FloatDtypeName } from '../../base/dtype.ts';
import type { Conflict } from '../../base/errors.ts';
import { decodeFloats } from '../../base/numbers/decode.ts';
import { FLOAT_BYTES } from '../../base/numbers/float.ts';
import { dot } from '../../base/numbers/matrix.ts';
import { readPieces, refuseShort } from '../../base/store/pieces.ts';
import { extentsOf } from '../../checkpoints/tensors/extents.ts';
import { elementCount } from '../../checkpoints/tensors/table.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { arrange } from '../layout/arrange.ts';
import type { Arrangement, Piece } from '../layout/types.ts';
import { type CheckpointRoles, checkpointRoles } from '../roles/checkpoint-roles.ts';
import { stackedLayers } from '../roles/stacked-layers.ts';
import type { Role } from '../roles/types.ts';

/** Elements of each layer that are looked at. */
const SAMPLE = 2048;
/**
 * A layer that changed places is as far from itself as from any other: about √2, of samples of length 1.
 * Training moves far less between two checkpoints.
 */
const SUSPICIOUS = 0.5;
/** Another layer explains it where it is so many times nearer. */
const MENDED = 4;

const OF_A_LAYER: ReadonlySet<Role | null> = new Set<Role>(['attn', 'mlp', 'ssm']);

/** The tensor by which a layer is compared with the others of its kind. */
interface Probe {
  readonly layer: number;
  readonly name: string;
  /** In the layout. */
  readonly shard: number;
  readonly row: number;
  /** Of a tensor that holds many layers, the elements of its own. */
  readonly part: { readonly from: number; readonly elements: number } | null;
  /** The name without the layer's number, and the shape: only tensors of one kind can have changed places. */
  readonly kind: string;
}

/**
 * Layers that lie in each other's places in the next checkpoint, by a sample of one matrix of each: averaging
 * them would give neither. Reads a few kilobytes a layer.
 *
 * @param roles of the layout, which names the layers
 * @param checkpoints oldest first
 */
export async function swappedLayers(
  layout: Checkpoint,
  roles: CheckpointRoles,
  checkpoints: readonly Checkpoint[],
  signal?: AbortSignal,
): Promise<Conflict[]> {
  if (checkpoints.length < 2) return [];
  const probes = probesOf(layout, roles);
  const wanted: WantedSamples[] = [];
  for (const checkpoint of checkpoints) wanted.push(await wantedOf(checkpoint, probes, finder(layout, roles, checkpoint)));
  const conflicts: Conflict[] = [];
  let before: Samples | null = null;
  let m = 0;
  for await (const now of samplesOf(wanted, signal)) {
    if (before !== null) conflicts.push(...exchanged(probes, before, now, checkpoints[m - 1]!, checkpoints[m]!));
    before = now;
    m++;
  }
  return conflicts;
}

/** One matrix for each layer, of the largest kind that it is of. */
function probesOf(layout: Checkpoint, roles: CheckpointRoles): Probe[] {
  const kinds = new Map<string, Map<number, Probe>>();
  const stacked = stackedLayers(layout, roles);
  const add = (probe: Probe) => {
    const layers = kinds.get(probe.kind) ?? new Map<number, Probe>();
    kinds.set(probe.kind, layers.set(probe.layer, probe));
  };
  for (const [shard, { tensors }] of layout.shards.entries()) {
    const { names, shapes, dtypes } = tensors;
    for (const [row, name] of names.entries()) {
      const { role, layer, mtp, tower } = roles.of(shard, row);
      const stack = tower === null && !mtp && OF_A_LAYER.has(role) ? stacked.of(shard, row) : null;
      if (stack !== null && shapes[row]!.length === 3) {
        const elements = elementCount(shapes[row]!) / stack.layers;
        const kind = `${name} ${shapes[row]!.slice(1).join('x')}`;
        for (let l = 0; l < stack.layers; l++) add({ layer: l, name, shard, row, part: { from: l * elements, elements }, kind });
        continue;
      }
      const matrix = shapes[row]!.length === 2 && dtypeByCode(dtypes[row]!).kind === 'float';
      if (typeof layer !== 'number' || mtp || tower !== null || !matrix || !OF_A_LAYER.has(role)) continue;
      const kind = `${name.replace(`.${layer}.`, '.#.')} ${shapes[row]!.join('x')}`;
      add({ layer, name, shard, row, part: null, kind });
    }
  }
  const probes = new Map<number, Probe>();
  for (const [, layers] of [...kinds].sort(([, a], [, b]) => b.size - a.size)) {
    for (const [layer, probe] of layers) if (!probes.has(layer)) probes.set(layer, probe);
  }
  return [...probes.values()].sort((a, b) => a.layer - b.layer);
}

/** Where a checkpoint holds a tensor of the layout: by its name, or as parts of others. */
function finder(
  layout: Checkpoint,
  roles: CheckpointRoles,
  checkpoint: Checkpoint,
): (probe: Probe) => Promise<readonly Pick<Piece, 'shard' | 'row' | 'sourceFrom' | 'elements'>[]> {
  let arrangement: Arrangement | undefined;
  return async ({ name, shard, row, part }) => {
    const place = checkpoint.locate(name);
    if (place !== undefined && part !== null) return [{ ...place, sourceFrom: part.from, elements: part.elements }];
    if (place !== undefined) {
      return [{ ...place, sourceFrom: 0, elements: elementCount(checkpoint.shards[place.shard]!.tensors.shapes[place.row]!) }];
    }
    if (part !== null) return [];
    arrangement ??= arrange(layout, roles, checkpoint, await checkpointRoles(checkpoint));
    const arranged = arrangement.of(shard, row);
    return arranged !== undefined && 'pieces' in arranged ? arranged.pieces : [];
  };
}

/** One a probe: elements brought to length 1, for scales of FP8 codes are not looked at; null where there is no length. */
type Samples = readonly (Float64Array | null)[];

/** Elements that follow one another in a file, and where they belong in the sample of a probe. */
interface Part {
  readonly probe: number;
  readonly place: number;
  readonly dtype: FloatDtypeName;
  /** In bytes. */
  readonly at: number;
  readonly length: number;
}

/** What is to be read of a checkpoint. */
interface WantedSamples {
  /** Elements, one a probe; 0 of a tensor that the checkpoint lacks. */
  readonly lengths: readonly number[];
  /** By path. */
  readonly files: ReadonlyMap<string, readonly Part[]>;
}

/** The first elements of what the pieces of each probe make up. */
async function wantedOf(checkpoint: Checkpoint, probes: readonly Probe[], piecesOf: ReturnType<typeof finder>): Promise<WantedSamples> {
  const files = new Map<string, Part[]>();
  const lengths: number[] = [];
  for (const [i, probe] of probes.entries()) {
    let place = 0;
    for (const { shard, row, sourceFrom, elements } of await piecesOf(probe)) {
      const { path: own, tensors } = checkpoint.shards[shard]!;
      const dtype: Dtype = dtypeByCode(tensors.dtypes[row]!);
      if (place === SAMPLE || dtype.kind !== 'float') break;
      for (const extent of extentsOf(checkpoint, { shard, row }, sourceFrom, Math.min(SAMPLE - place, elements))) {
        const path = tensors.boxes === null ? own : checkpoint.files[extent.file]!.path;
        const part = {
          probe: i,
          place,
          dtype: dtype.name as FloatDtypeName,
          at: extent.offset,
          length: (extent.elements * dtype.bits) / 8,
        };
        const parts = files.get(path);
        if (parts === undefined) files.set(path, [part]);
        else parts.push(part);
        place += extent.elements;
      }
    }
    lengths.push(place);
  }
  return { lengths, files };
}

/**
 * Samples of one checkpoint after the other, good until those of the one after the next are asked for. Those to come
 * are being read: a run has one for each layer of each of its checkpoints.
 */
async function* samplesOf(wanted: readonly WantedSamples[], signal: AbortSignal | undefined): AsyncGenerator<Samples, void> {
  const files = wanted.flatMap(({ files }, m) => [...files].map(([path, parts]) => ({ m, path, parts })));
  const found = readPieces(
    files.map(({ path, parts }) => ({ path, pieces: parts.map(({ at, length }) => [at, length] as const) })),
    signal,
  );
  // The samples of a checkpoint and those before it are in use.
  const room = [0, 1].map(() => new Float64Array(SAMPLE * (wanted[0]?.lengths.length ?? 0)));
  const ofLengths = (m: number) => wanted[m]?.lengths.map((length, i) => room[m % 2]!.subarray(i * SAMPLE, i * SAMPLE + length)) ?? [];
  let [m, next] = [0, 0];
  let samples = ofLengths(m);
  for await (const { file, pieces, last } of found) {
    const { m: own, path, parts } = files[file]!;
    for (; m < own; samples = ofLengths(++m)) yield samples.map(ofLengthOne);
    for (const piece of pieces) {
      refuseShort(path, piece);
      const { probe, place, dtype } = parts[next++]!;
      decodeFloats(dtype, piece.bytes, samples[probe]!.subarray(place, place + piece.length / FLOAT_BYTES[dtype]));
    }
    if (last) next = 0;
  }
  for (; m < wanted.length; samples = ofLengths(++m)) yield samples.map(ofLengthOne);
}

function ofLengthOne(sample: Float64Array): Float64Array | null {
  const length = Math.sqrt(dot(sample, sample));
  if (!(length > 0 && length < Number.POSITIVE_INFINITY)) return null;
  for (let i = 0; i < sample.length; i++) sample[i]! /= length;
  return sample;
}

function exchanged(probes: readonly Probe[], before: Samples, now: Samples, older: Checkpoint, newer: Checkpoint): Conflict[] {
  const own = probes.map((_, i) => distance(before[i]!, now[i]!));
  const far = probes.flatMap((_, i) => (own[i] !== null && own[i]! > SUSPICIOUS ? [i] : []));
  const cameFrom = new Map<number, number>();
  for (const i of far) {
    let [nearest, least] = [i, own[i]! / MENDED];
    for (const j of far) {
      if (j === i || probes[j]!.kind !== probes[i]!.kind) continue;
      const other = distance(before[j]!, now[i]!);
      if (other !== null && other < least) [nearest, least] = [j, other];
    }
    if (nearest !== i) cameFrom.set(i, nearest);
  }
  // Only places that are exchanged among themselves: a layer that became like another one is no exchange.
  const moved = [...cameFrom].filter(([i, from]) => cameFrom.has(from) && [...cameFrom.values()].includes(i));
  if (moved.length < 2) return [];
  const places = moved.map(([i, from]) => `layer ${probes[i]!.layer} is where layer ${probes[from]!.layer} was`).join(', ');
  const tensor = probes[moved[0]![0]]!.name;
  const message = `layers have changed places between ${older.path} and ${newer.path}: ${places} (by ${tensor} and the like)`;
  return [{ code: 'E_LAYERS_SWAPPED', message, file: newer.path, tensor }];
}

/**
 * ‖a − b‖ of samples of length 1; null where either is missing or they are not of one length: told elsewhere.
 */
function distance(a: Float64Array | null, b: Float64Array | null): number | null {
  if (a === null || b === null || a.length !== b.length) return null;
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return Math.sqrt(sum);
}
