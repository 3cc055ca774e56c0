import { type Dtype, dtypeByCode, type FloatDtypeName } from '../../base/dtype.ts';
import type { Conflict } from '../../base/errors.ts';
import { decodeFloats } from '../../base/numbers/decode.ts';
import { dot } from '../../base/numbers/matrix.ts';
import { ByteReader } from '../../base/store/byte-reader.ts';
import { readTensor } from '../../checkpoints/tensors/extents.ts';
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
  const probes = probesOf(layout, roles);
  const conflicts: Conflict[] = [];
  const reader = new ByteReader();
  try {
    let before: readonly (Float64Array | null)[] | null = null;
    for (const [m, checkpoint] of checkpoints.entries()) {
      signal?.throwIfAborted();
      const now: (Float64Array | null)[] = [];
      const pieces = finder(layout, roles, checkpoint);
      for (const probe of probes) now.push(await sampleOf(reader, checkpoint, await pieces(probe)));
      if (before !== null) conflicts.push(...exchanged(probes, before, now, checkpoints[m - 1]!, checkpoint));
      before = now;
    }
  } finally {
    await reader.close();
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

/**
 * The first elements of what pieces make up, brought to length 1, for scales of FP8 codes are not looked at.
 * Null where there is nothing, or no length.
 */
async function sampleOf(
  reader: ByteReader,
  checkpoint: Checkpoint,
  pieces: Awaited<ReturnType<ReturnType<typeof finder>>>,
): Promise<Float64Array | null> {
  const parts: Float64Array[] = [];
  let left = SAMPLE;
  for (const { shard, row, sourceFrom, elements } of pieces) {
    const dtype: Dtype = dtypeByCode(checkpoint.shards[shard]!.tensors.dtypes[row]!);
    if (left === 0 || dtype.kind !== 'float') break;
    const [size, count] = [dtype.bits / 8, Math.min(left, elements)];
    const bytes = await readTensor(reader, checkpoint, { shard, row }, sourceFrom * size, count * size);
    parts.push(decodeFloats(dtype.name as FloatDtypeName, bytes));
    left -= count;
  }
  const sample = Float64Array.from(parts.flatMap((part) => [...part]));
  const length = Math.sqrt(dot(sample, sample));
  return length > 0 && length < Number.POSITIVE_INFINITY ? sample.map((x) => x / length) : null;
}

function exchanged(
  probes: readonly Probe[],
  before: readonly (Float64Array | null)[],
  now: readonly (Float64Array | null)[],
  older: Checkpoint,
  newer: Checkpoint,
): Conflict[] {
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
  return Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0));
}
