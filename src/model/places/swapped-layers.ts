import { type Dtype, dtypeByCode, type FloatDtypeName } from '../../base/dtype.ts';
import type { Conflict } from '../../base/errors.ts';
import { decodeFloats } from '../../base/numbers/decode.ts';
import { ByteReader } from '../../base/store/byte-reader.ts';
import { readTensor } from '../../checkpoints/tensors/extents.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { CheckpointRoles } from '../roles/checkpoint-roles.ts';

/** Elements of each layer that are looked at. */
const SAMPLE = 2048;
/**
 * A layer that changed places is as far from itself as from any other: about √2 of its norm. Training moves
 * far less between two checkpoints.
 */
const SUSPICIOUS = 0.5;
/** Another layer explains it where it is so many times nearer. */
const MENDED = 4;

/** The tensor by which a layer is compared with the others of its kind. */
interface Probe {
  readonly layer: number;
  readonly name: string;
  /** The name without the layer's number: only tensors of one kind are compared. */
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
      for (const { name } of probes) now.push(await sampleOf(reader, checkpoint, name));
      if (before !== null) conflicts.push(...exchanged(probes, before, now, checkpoints[m - 1]!, checkpoint));
      before = now;
    }
  } finally {
    await reader.close();
  }
  return conflicts;
}

/** One matrix for each layer, of the kind that most layers have. */
function probesOf(layout: Checkpoint, roles: CheckpointRoles): Probe[] {
  const kinds = new Map<string, Map<number, string>>();
  for (const [shard, { tensors }] of layout.shards.entries()) {
    const { names, shapes, dtypes } = tensors;
    for (const [row, name] of names.entries()) {
      const { role, layer, mtp, tower } = roles.of(shard, row);
      const matrix = shapes[row]!.length === 2 && dtypeByCode(dtypes[row]!).bits >= 16 && dtypeByCode(dtypes[row]!).kind === 'float';
      if (typeof layer !== 'number' || mtp || tower !== null || !matrix || (role !== 'attn' && role !== 'mlp' && role !== 'ssm')) continue;
      const kind = name.replace(`.${layer}.`, '.#.');
      const layers = kinds.get(kind) ?? new Map<number, string>();
      kinds.set(kind, layers.set(layer, name));
    }
  }
  const probes = new Map<number, Probe>();
  for (const [kind, layers] of [...kinds].sort(([, a], [, b]) => b.size - a.size)) {
    for (const [layer, name] of layers) if (!probes.has(layer)) probes.set(layer, { layer, name, kind });
  }
  return [...probes.values()].sort((a, b) => a.layer - b.layer);
}

async function sampleOf(reader: ByteReader, checkpoint: Checkpoint, name: string): Promise<Float64Array | null> {
  const place = checkpoint.locate(name);
  if (place === undefined) return null;
  const { dtypes, bytes } = checkpoint.shards[place.shard]!.tensors;
  const dtype: Dtype = dtypeByCode(dtypes[place.row]!);
  const length = Math.min((SAMPLE * dtype.bits) / 8, bytes[place.row]!);
  return decodeFloats(dtype.name as FloatDtypeName, await readTensor(reader, checkpoint, place, 0, length));
}

function exchanged(
  probes: readonly Probe[],
  before: readonly (Float64Array | null)[],
  now: readonly (Float64Array | null)[],
  older: Checkpoint,
  newer: Checkpoint,
): Conflict[] {
  const far = probes.flatMap((_, i) => (distance(before[i]!, now[i]!) > SUSPICIOUS ? [i] : []));
  const cameFrom = new Map<number, number>();
  for (const i of far) {
    const others = far.filter((j) => j !== i && probes[j]!.kind === probes[i]!.kind);
    const nearest = others.reduce(
      (best, j) => (distance(before[j]!, now[i]!) < distance(before[best]!, now[i]!) ? j : best),
      others[0] ?? i,
    );
    if (nearest !== i && distance(before[nearest]!, now[i]!) * MENDED < distance(before[i]!, now[i]!)) cameFrom.set(i, nearest);
  }
  // Only places that are exchanged among themselves: a layer that became like another one is no exchange.
  const moved = [...cameFrom].filter(([i, from]) => cameFrom.has(from) && [...cameFrom.values()].includes(i));
  if (moved.length < 2) return [];
  const places = moved.map(([i, from]) => `layer ${probes[i]!.layer} is where layer ${probes[from]!.layer} was`).join(', ');
  const tensor = probes[moved[0]![0]]!.name;
  const message = `layers have changed places between ${older.path} and ${newer.path}: ${places} (by ${tensor} and the like)`;
  return [{ code: 'E_LAYERS_SWAPPED', message, file: newer.path, tensor }];
}

/** ‖a − b‖ / ‖a‖; 0 where either is not there, or not comparable: that is told elsewhere. */
function distance(a: Float64Array | null, b: Float64Array | null): number {
  if (a === null || b === null || a.length !== b.length) return 0;
  let [difference, norm] = [0, 0];
  for (const [i, x] of a.entries()) {
    difference += (x - b[i]!) ** 2;
    norm += x ** 2;
  }
  return norm === 0 || !Number.isFinite(difference) ? 0 : Math.sqrt(difference / norm);
}
