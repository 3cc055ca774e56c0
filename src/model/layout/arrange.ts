import type { Checkpoint } from '../../checkpoints/types.ts';
import type { CheckpointRoles } from '../roles/checkpoint-roles.ts';
import { saidTie } from '../roles/tied.ts';
import type { Arranged, Arrangement, Piece } from './types.ts';
import { Units, type WeightUnit } from './units.ts';

/** Where a member holds a unit. */
interface Holder {
  readonly shard: number;
  readonly row: number;
  readonly from: number;
  readonly elements: number;
  readonly shape: readonly number[] | null;
  readonly refused: string | null;
}

/**
 * How a member holds the tensors of a layout that it has under other names, or fused or split: experts one by
 * one or in stacks, gate and up in one or two tensors, Hugging Face's or native names. Only where that is the
 * same elements in the same order; everything else says why not. Linear in the number of tensors, and so
 * asked for only where names differ.
 */
export function arrange(layout: Checkpoint, layoutRoles: CheckpointRoles, member: Checkpoint, memberRoles: CheckpointRoles): Arrangement {
  // Files of ranks hold slices that only their paths tell apart.
  if (layout.namesPerFile || member.namesPerFile) return { of: () => undefined, uses: () => false };
  const holders = new Map<string, Holder | null>();
  const units = new Units(member, memberRoles);
  for (const [shard, { tensors }] of member.shards.entries()) {
    for (let row = 0; row < tensors.count; row++) {
      const held = units.of(shard, row);
      for (const { key, from, elements, shape } of held.units) {
        // Two tensors of one meaning are told apart by their names alone.
        holders.set(key, holders.has(key) ? null : { shard, row, from, elements, shape, refused: held.refused });
      }
    }
  }
  const layoutUnits = new Units(layout, layoutRoles);
  const ties = [saidTie(layout, layoutRoles.config), saidTie(member, memberRoles.config)];
  const tied = ties.includes(true) && !ties.includes(false);
  const ourEnds = tied ? endsOf(layout, layoutRoles, layoutUnits) : [];
  const theirEnds = tied ? endsOf(member, memberRoles, units) : [];
  let wanted: ReadonlyMap<string, number> | undefined;
  const of = (shard: number, row: number): Arranged | undefined => {
    const held = layoutUnits.of(shard, row);
    const pieces: Piece[] = [];
    wanted ??= unitsOf(layout, layoutUnits);
    for (const { key, from, elements, shape } of held.units) {
      if (wanted.get(key)! > 1) return undefined;
      const holder = holders.get(key) ?? holders.get(otherEnd(key, ourEnds, theirEnds) ?? '');
      if (holder === undefined || holder === null || holder.elements !== elements) return undefined;
      const refused = held.refused ?? holder.refused ?? shapesDiffer(shape, holder.shape);
      if (refused !== null) return { refused };
      const last = pieces.at(-1);
      const follows =
        last !== undefined && last.shard === holder.shard && last.row === holder.row && last.sourceFrom + last.elements === holder.from;
      if (follows) pieces[pieces.length - 1] = { ...last, elements: last.elements + elements };
      else pieces.push({ from, elements, shard: holder.shard, row: holder.row, sourceFrom: holder.from });
    }
    return pieces.length === 0 ? undefined : { pieces };
  };

  const uses = (shard: number, row: number): boolean => {
    wanted ??= unitsOf(layout, layoutUnits);
    const has = (key: string): boolean => wanted!.has(key) || wanted!.has(otherEnd(key, theirEnds, ourEnds) ?? '');
    const held = units.of(shard, row);
    return held.units.length > 0 && held.units.every(({ key }) => has(key) && holders.get(key) !== null);
  };
  return { of, uses };
}

/** An embedding or an output head. */
interface End {
  readonly key: string;
  readonly head: boolean;
  readonly shape: string;
}

/** Those of a language model, outside of multi-token prediction. */
function endsOf({ shards }: Checkpoint, roles: CheckpointRoles, units: Units): End[] {
  return shards.flatMap(({ tensors }, shard) =>
    Array.from({ length: tensors.count }, (_, row): End[] => {
      const { role, mtp, tower } = roles.of(shard, row);
      const shape = tensors.shapes[row]!;
      if ((role !== 'embedding' && role !== 'lm_head') || mtp || tower !== null || shape.length !== 2) return [];
      return units.of(shard, row).units.map(({ key }) => ({ key, head: role === 'lm_head', shape: shape.join() }));
    }).flat(),
  );
}

/** Where embedding and head are one matrix, of which savers keep either name: what others call this one. */
function otherEnd(key: string, own: readonly End[], theirs: readonly End[]): string | null {
  const end = own.find((one) => one.key === key);
  if (end === undefined) return null;
  const [found, ...more] = theirs.filter(({ head, shape }) => head !== end.head && shape === end.shape);
  return found === undefined || more.length > 0 ? null : found.key;
}

/** Why matrices of as many elements are not the same elements in the same order. */
function shapesDiffer(ours: WeightUnit['shape'], theirs: WeightUnit['shape']): string | null {
  if (ours === null || theirs === null || (ours.length === theirs.length && ours.every((size, axis) => size === theirs[axis]))) return null;
  return `it is [${theirs.join(', ')}] there and [${ours.join(', ')}] in the layout`;
}

/**
 * How often a layout holds each unit: where that is more than once, something that it stands for is not
 * known, and nothing may take its place.
 */
function unitsOf(layout: Checkpoint, units: Units): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const [shard, { tensors }] of layout.shards.entries()) {
    for (let row = 0; row < tensors.count; row++)
      for (const { key } of units.of(shard, row).units) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
