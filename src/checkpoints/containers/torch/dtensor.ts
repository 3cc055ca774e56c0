import { MAX_DIMENSIONS } from '../pickle/limits.ts';
import { Call, type Value } from '../pickle/values.ts';
import { countOf, isCallOf, itemsOf, sizesOf, under } from '../pickle/walk.ts';
import { type NoTensor, type TorchTensor, tensorOf } from './tensor.ts';

/** One rank's part of a tensor that is sharded over ranks. */
export interface DTensorPart {
  /** Of the whole tensor. */
  readonly shape: readonly number[];
  /** Where the part begins, in each dimension. */
  readonly start: readonly number[];
  readonly local: TorchTensor;
  /** Whether other ranks hold the same part. */
  readonly replicated: boolean;
  /** Of its mesh: each has a part of it. */
  readonly ranks: number;
}

/**
 * The part of a DTensor that torch.save wrote from one rank; null for what is none.
 *
 * A dimension of the mesh with `Shard(d)` cuts dimension d into pieces of ceil(length / ranks), the last ones
 * shorter or empty; dimensions of the mesh apply in their order, or in that of `shard_order` where it is told
 * (torch 2.10).
 * @see torch/distributed/tensor/placement_types.py: Shard.local_shard_size_and_offset
 */
export function dtensorOf(value: Value): DTensorPart | NoTensor | null {
  if (!isCallOf(value, '_rebuild_from_type_v2')) return null;
  const [make, type, , attributes] = value.args;
  if (!isNamed(make, '_rebuild_wrapper_subclass') || !isNamed(type, 'DTensor')) return null;
  // The attributes of the class come as (None, {name: value}) or as the dict alone.
  const slots = itemsOf(attributes)?.[1] ?? attributes;
  const [inner, spec] = [under(slots, '_local_tensor'), under(slots, '_spec')];
  const local = inner === undefined ? null : tensorOf(inner);
  if (local === null || !(spec instanceof Call)) return { refused: 'is a DTensor that is described as none is' };
  if ('refused' in local) return local;
  const placements = itemsOf(under(spec.state, 'placements'));
  const meta = under(spec.state, 'tensor_meta');
  const shape = isCallOf(meta, 'TensorMeta') ? sizesOf(meta.args[0] ?? under(meta.state, 'shape')) : null;
  const mesh = meshOf(under(spec.state, 'mesh'));
  if (placements === null || shape === null || mesh === null || placements.length !== mesh.length) {
    return { refused: 'is a DTensor of a form that is not known' };
  }
  const dims: (number | null)[] = [];
  for (const placement of placements) {
    if (isCallOf(placement, 'Replicate')) {
      dims.push(null);
      continue;
    }
    const dim = isCallOf(placement, 'Shard') ? countOf(under(placement.state, 'dim')) : null;
    if (dim === null || dim >= shape.length) {
      return { refused: `is a DTensor that is ${placement instanceof Call ? placement.callee.name : 'placed'} in a way that is not read` };
    }
    dims.push(dim);
  }
  const axes = inOrder(dims, under(spec.state, 'shard_order') ?? null);
  if (axes === null) return { refused: 'is cut in an order that does not fit its placement' };
  const start = shape.map(() => 0);
  const size = [...shape];
  for (const axis of axes) {
    const dim = dims[axis]!;
    const { ranks, coordinate } = mesh[axis]!;
    const piece = Math.ceil(size[dim]! / ranks);
    const begin = Math.min(piece * coordinate, size[dim]!);
    start[dim]! += begin;
    size[dim] = Math.min(piece, size[dim]! - begin);
  }
  const replicated = dims.some((dim, axis) => dim === null && mesh[axis]!.ranks > 1);
  if (local.shape.length !== size.length || local.shape.some((length, axis) => length !== size[axis])) {
    return {
      refused: `is cut in a way that is not read: this rank's part is [${local.shape.join(', ')}], and [${size.join(', ')}] by its placement`,
    };
  }
  return { shape, start, local, replicated, ranks: mesh.reduce((product, axis) => product * axis.ranks, 1) };
}

/**
 * The axes of a mesh that cut, in the order in which they do.
 * @param dims [axes] the dimension that each cuts; null for none
 * @param order for dimensions, the axes that cut them in turn; null where it is from the first to the last
 * @returns null where the order is none of these axes
 */
function inOrder(dims: readonly (number | null)[], order: Value): number[] | null {
  const told = order === null ? [] : itemsOf(order);
  if (told === null) return null;
  const axes: number[] = [];
  for (const entry of told) {
    const [dimValue, cut] = (isCallOf(entry, 'ShardOrderEntry') ? entry.args : itemsOf(entry)) ?? [];
    const [dim, these] = [countOf(dimValue), sizesOf(cut)];
    if (dim === null || these === null) return null;
    const all = dims.flatMap((of, axis) => (of === dim ? [axis] : []));
    const fits = these.length === all.length && new Set(these).size === all.length && all.every((axis) => these.includes(axis));
    if (!fits || these.some((axis) => axes.includes(axis))) return null;
    axes.push(...these);
  }
  return [...axes, ...dims.flatMap((dim, axis) => (dim === null || axes.includes(axis) ? [] : [axis]))];
}

function isNamed(value: Value | undefined, name: string): boolean {
  return typeof value === 'object' && value !== null && 'name' in value && value.name === name;
}

/**
 * Ranks along each dimension of a mesh, and where the rank that saved stands; null where that is not told.
 */
function meshOf(mesh: Value | undefined): { ranks: number; coordinate: number }[] | null {
  if (!isCallOf(mesh, 'DeviceMesh')) return null;
  const coordinates = sizesOf(under(mesh.state, '_coordinate_on_dim'));
  const ranks = ranksOf(mesh.state);
  if (coordinates === null || ranks === null || ranks.length !== coordinates.length) return null;
  if (ranks.some((count, axis) => coordinates[axis]! >= count)) return null;
  return ranks.map((count, axis) => ({ ranks: count, coordinate: coordinates[axis]! }));
}

/** The shape of a mesh: of its layout, and before there was one (torch 2.9) of the tensor of its ranks. */
function ranksOf(state: Value | undefined): readonly number[] | null {
  const layout = under(state, '_layout');
  if (layout === undefined) {
    const ranks = tensorOf(under(state, 'mesh') ?? null);
    return ranks === null || 'refused' in ranks ? null : ranks.shape;
  }
  const axes = isCallOf(layout, '_MeshLayout') ? itemsOf(under(layout.state, 'axes')) : null;
  if (axes === null || axes.length > MAX_DIMENSIONS) return null;
  const shapes = axes.map((axis) => (isCallOf(axis, '_FlatLayout') ? sizesOf(under(axis.state, 'shape')) : null));
  if (shapes.includes(null)) return null;
  return shapes.map((shape) => shape!.reduce((product, length) => product * length, 1));
}
