import { type DtypeName, dtypeByCode, dtypeByName } from '../../base/dtype.ts';
import { type Conflict, MergeError, type Warning } from '../../base/errors.ts';
import { sectionOf } from '../../checkpoints/tensors/section.ts';
import { elementCount } from '../../checkpoints/tensors/table.ts';
import type { GramRange } from '../../merge/engine/passes/gram.ts';
import type { EqualTensor } from '../../merge/plan/tensors/equal.ts';
import { tensorName } from '../../model/roles/checkpoint-roles.ts';
import { stackedLayers } from '../../model/roles/stacked-layers.ts';
import type { TensorRole } from '../../model/roles/types.ts';
import { ROLE_NAMES } from '../../recipe/policy/roles.ts';
import { extentOf, selectorTest } from '../../recipe/policy/selector.ts';
import type { PolicyTensor } from '../../recipe/policy/types.ts';
import { bytesOf, type ElementRun, Finder, type Named, rangesOf } from './sources.ts';
import type { DiffRole, DiffUncompared } from './types.ts';

/**
 * Numbers that count: a word of a name of their own, or glued to its last word. Not those of `w1` and `fc2`.
 */
const COUNTED = /(?<=^|[._])\d+(?=\.|$)|(?<=\.(?:weight|bias))\d+$/g;

/**
 * What is compared on its own: a tensor, or the part of one layer or expert of a tensor that holds all of
 * them.
 */
export interface DiffUnit {
  readonly name: string;
  /** The name with the numbers of layers and experts replaced: what is alike in all of them. */
  readonly kind: string;
  readonly role: DiffRole;
  readonly layer: number | null;
  readonly expert: number | null;
  /** Two axes or more, as it is stored: a bias or norm has one. */
  readonly matrix: boolean;
  readonly elements: number;
  /** Where its elements are: one range, and more where some checkpoint holds them in several places. */
  readonly ranges: readonly GramRange[];
}

export interface DiffFilter {
  /** Roles and groups of them, as policies name them. */
  readonly roles?: readonly string[] | undefined;
  /**
   * Both ends included; -1 is the last. As in policies, those of multi-token prediction are counted apart,
   * and meant where `roles` names `mtp`.
   */
  readonly layers?: readonly { readonly from: number; readonly to: number }[] | undefined;
}

export interface Paired {
  readonly units: readonly DiffUnit[];
  /** Tensors compared as numbers. */
  readonly tensors: number;
  /** `copies` is null where the dtypes differ, and with them the bytes. */
  readonly uncompared: readonly (Omit<DiffUncompared, 'equal'> & { readonly copies: readonly EqualTensor[] | null })[];
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly Warning[];
}

/**
 * Finds every tensor of the first checkpoint that the filter lets through in all others, which may hold it in
 * another layout.
 *
 * @throws MergeError E_OPTION for a role that there is none of
 */
export function pairUp(all: readonly Named[], filter: DiffFilter): Paired {
  const [first] = all as readonly [Named, ...Named[]];
  const { shards } = first.checkpoint;
  const units: DiffUnit[] = [];
  const uncompared: Paired['uncompared'][number][] = [];
  const finders = all.map((other) => new Finder(first, other));
  const stacked = stackedLayers(first.checkpoint, first.roles);
  const described = shards.map(({ tensors }, shard) => Array.from({ length: tensors.count }, (_, row) => policyTensor(first, shard, row)));
  const passes = passing(filter, described.flat());
  const named = filter.roles !== undefined;
  let compared = 0;
  for (const [shard, { tensors }] of shards.entries()) {
    for (const [row, tensor] of described[shard]!.entries()) {
      // What a trainer keeps beside the model is compared where it is asked for.
      if (!passes(tensor) || (!named && sectionOf(tensors, row) !== 'model')) continue;
      const copies = finders.map((finder) => finder.find(shard, row)).filter((runs) => runs !== null);
      if (copies.length < all.length) continue;
      const { name, role } = tensor;
      const shape = tensors.shapes[row]!;
      const dtypes = copies.flatMap((runs) => runs.map(({ dtype }) => dtype));
      const reason = uncomparable(dtypes);
      if (reason === null) {
        compared++;
        units.push(...unitsOf(name, role, shape, copies, stacked.of(shard, row)?.layers ?? null));
      } else {
        uncompared.push({ name, reason, copies: dtypes.every((dtype) => dtype === dtypes[0]) ? equalRanges(name, shape, copies) : null });
      }
    }
  }
  const conflicts = finders.flatMap((finder) => finder.conflicts);
  // Which role a tensor has that the first checkpoint lacks is not known: a filter that it might not pass
  // lets it go.
  if (filter.roles === undefined && filter.layers === undefined) conflicts.push(...finders.slice(1).flatMap((finder) => finder.extras()));
  const warnings = finders.flatMap(({ arranged }, i): Warning[] => {
    if (arranged === 0) return [];
    const held = `${arranged} tensor${arranged === 1 ? '' : 's'} of ${first.checkpoint.path} under other names, or as parts of others`;
    return [{ code: 'W_OTHER_LAYOUT', message: `${all[i]!.checkpoint.path} holds ${held}; the same elements were compared` }];
  });
  return { units, tensors: compared, uncompared, conflicts, warnings };
}

function policyTensor({ checkpoint, roles }: Named, shard: number, row: number): PolicyTensor {
  const { bytes, dtypes } = checkpoint.shards[shard]!.tensors;
  const { name: dtype } = dtypeByCode(dtypes[row]!);
  return { name: tensorName(checkpoint, shard, row), dtype, bytes: bytes[row]!, role: roles.of(shard, row) };
}

function equalRanges(name: string, shape: readonly number[], copies: readonly (readonly ElementRun[])[]): EqualTensor[] {
  const elements = elementCount(shape);
  const bits = dtypeByName(copies[0]![0]!.dtype)!.bits;
  return bytesOf(copies, elements).map((range) => {
    return { name, bytes: (range.elements * bits) / 8, copies: range.copies, code: 'E_INTEGERS_DIFFER' };
  });
}

/**
 * Why tensors of these dtypes are not compared as numbers; null where they are. Codes of eight bits mean
 * little without their scales.
 */
function uncomparable(dtypes: readonly DtypeName[]): DiffUncompared['reason'] | null {
  for (const name of dtypes) {
    if (/^F[864]_|^F4$/.test(name)) return 'quantised';
    if (name === 'C64') return 'complex';
    if (!/^B?F\d+$/.test(name)) return 'integer';
  }
  return null;
}

/** @param layers that the tensor holds, as its first axis; null where it holds one, or none */
function unitsOf(
  name: string,
  role: TensorRole,
  shape: readonly number[],
  copies: readonly (readonly ElementRun[])[],
  layers: number | null,
): DiffUnit[] {
  const elements = elementCount(shape);
  const own = layers === null ? shape : shape.slice(1);
  const [experts = 0] = own;
  const stacked = role.expert === 'all' && (role.layer !== 'all' || layers !== null) && own.length > 1 && experts > 1;
  const inLayer = stacked ? experts : 1;
  const each = elements / (inLayer * (layers ?? 1));
  return rangesOf(copies, elements, each).map((ranges, part) => ({
    name,
    kind: name.replaceAll(COUNTED, '#'),
    role: roleOf(role),
    layer: layers !== null ? Math.floor(part / inLayer) : typeof role.layer === 'number' ? role.layer : null,
    expert: stacked ? part % inLayer : typeof role.expert === 'number' ? role.expert : null,
    matrix: own.length > (stacked ? 2 : 1),
    elements: each,
    ranges,
  }));
}

/** The column of the map that a tensor counts in. */
function roleOf({ role, mtp }: TensorRole): DiffRole {
  return mtp ? 'mtp' : (role ?? 'unknown');
}

/** Whether a tensor passes the filter. @throws MergeError E_OPTION for a role that there is none of */
function passing({ roles, layers }: DiffFilter, tensors: readonly PolicyTensor[]): (tensor: PolicyTensor) => boolean {
  const unknown = roles?.find((name) => !ROLE_NAMES.includes(name));
  if (unknown !== undefined) throw new MergeError('E_OPTION', `there is no role ${unknown}; there are ${ROLE_NAMES.join(', ')}`);
  return selectorTest({ role: roles, layers: layers?.map(({ from, to }) => `${from}-${to}`) }, extentOf(tensors));
}
