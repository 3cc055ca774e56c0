import type { Checkpoint } from '../checkpoint/types.ts';
import { type DtypeName, dtypeByCode } from '../dtype.ts';
import type { GramRange } from '../engine/gram.ts';
import { type Conflict, MergeError } from '../errors.ts';
import { type CheckpointRoles, tensorName } from '../naming/checkpoint-roles.ts';
import type { TensorRole } from '../naming/types.ts';
import type { EqualTensor } from '../plan/equal.ts';
import { ROLE_NAMES, roleTest } from '../policy/roles.ts';
import { elementCount } from '../safetensors/tensor-table.ts';
import type { DiffRole, DiffUncompared } from './types.ts';

/** What is compared on its own: a tensor, or one expert's part of a tensor that holds all of them. */
export interface DiffUnit {
  readonly name: string;
  /** The name with its numbers replaced: what is alike in all layers and experts. */
  readonly kind: string;
  readonly role: DiffRole;
  readonly layer: number | null;
  readonly expert: number | null;
  /** Two axes or more, as it is stored: a bias or norm has one. */
  readonly matrix: boolean;
  readonly range: GramRange;
}

export interface DiffFilter {
  /** Roles and groups of them, as policies name them. */
  readonly roles?: readonly string[] | undefined;
  /** Both ends included. */
  readonly layers?: readonly { readonly from: number; readonly to: number }[] | undefined;
}

export interface Paired {
  readonly units: readonly DiffUnit[];
  /** Tensors compared as numbers. */
  readonly tensors: number;
  readonly uncompared: readonly (Omit<DiffUncompared, 'equal'> & { readonly copies: EqualTensor })[];
  readonly conflicts: readonly Conflict[];
}

/** Finds every tensor of the first checkpoint that the filter lets through in all others. */
export function pairUp(checkpoints: readonly Checkpoint[], roles: CheckpointRoles, filter: DiffFilter): Paired {
  const [first] = checkpoints as readonly [Checkpoint, ...Checkpoint[]];
  const units: DiffUnit[] = [];
  const uncompared: Paired['uncompared'][number][] = [];
  const conflicts: Conflict[] = [];
  const passes = passing(filter);
  let tensors = 0;
  for (const [shard, { header, name: file }] of first.shards.entries()) {
    const { tensors: table } = header;
    for (let row = 0; row < table.count; row++) {
      const role = roles.of(shard, row);
      if (!passes(role)) continue;
      const own = table.names[row]!;
      const copies = checkpoints.map((checkpoint) => copyOf(checkpoint, own, file, table.shapes[row]!, first, conflicts));
      const name = tensorName(first, shard, row);
      if (copies.some((copy) => copy === null)) continue;
      const sources = copies.map((copy) => copy!);
      const reason = uncomparable(sources.map(({ dtype }) => dtype));
      if (reason !== null) {
        const bytes = table.end[row]! - table.begin[row]!;
        const same = sources.every(({ dtype }) => dtype === sources[0]!.dtype);
        uncompared.push({ name, reason, copies: { name, bytes, copies: same ? sources : [], code: 'E_INTEGERS_DIFFER' } });
        continue;
      }
      tensors++;
      units.push(...unitsOf(name, role, table.shapes[row]!, sources));
    }
  }
  for (const checkpoint of checkpoints.slice(1)) conflicts.push(...extras(first, checkpoint, filter, roles));
  return { units, tensors, uncompared, conflicts };
}

type Source = GramRange['sources'][number];

/** Where a checkpoint holds a tensor; null, with a conflict, where it lacks it or holds it in another shape. */
function copyOf(
  checkpoint: Checkpoint,
  tensor: string,
  file: string,
  shape: readonly number[],
  first: Checkpoint,
  conflicts: Conflict[],
): Source | null {
  const place = checkpoint.locate(tensor, file);
  if (place === undefined) {
    const message = `tensor ${tensor} of ${first.path} is not in ${checkpoint.path}`;
    conflicts.push({ code: 'E_TENSOR_MISSING', message, file: checkpoint.path, tensor });
    return null;
  }
  const { path, header } = checkpoint.shards[place.shard]!;
  const found = header.tensors.shapes[place.row]!;
  if (found.length !== shape.length || found.some((size, axis) => size !== shape[axis])) {
    const message = `tensor ${tensor} is [${shape.join(', ')}] in ${first.path} and [${found.join(', ')}] in ${checkpoint.path}`;
    conflicts.push({ code: 'E_SHAPE', message, file: checkpoint.path, tensor });
    return null;
  }
  const dtype = dtypeByCode(header.tensors.dtypes[place.row]!).name;
  return { path, offset: header.dataStart + header.tensors.begin[place.row]!, dtype };
}

function extras(first: Checkpoint, checkpoint: Checkpoint, filter: DiffFilter, roles: CheckpointRoles): Conflict[] {
  if (checkpoint.shards.every((s, i) => s.header.tensors === first.shards[i]?.header.tensors)) return [];
  // Which role a tensor has that the first checkpoint lacks is not known: a filter that it might not pass lets it go.
  if (filter.roles !== undefined || filter.layers !== undefined) return [];
  return checkpoint.shards.flatMap(({ header, name: file }) =>
    header.tensors.names.flatMap((tensor): Conflict[] => {
      if (first.locate(tensor, file) !== undefined) return [];
      const message = `tensor ${tensor} of ${checkpoint.path} is not in ${first.path}${roles.recognised ? '' : ', whose names are of no known family'}`;
      return [{ code: 'E_TENSOR_EXTRA', message, file: checkpoint.path, tensor }];
    }),
  );
}

/** Why tensors of these dtypes are not compared as numbers; null where they are. Codes of eight bits mean little without their scales. */
function uncomparable(dtypes: readonly DtypeName[]): DiffUncompared['reason'] | null {
  for (const name of dtypes) {
    if (/^F[864]_|^F4$/.test(name)) return 'quantised';
    if (name === 'C64') return 'complex';
    if (!/^B?F\d+$/.test(name)) return 'integer';
  }
  return null;
}

function unitsOf(name: string, role: TensorRole, shape: readonly number[], sources: readonly Source[]): DiffUnit[] {
  const elements = elementCount(shape);
  const unit = {
    name,
    kind: name.replaceAll(/\d+/g, '#'),
    role: roleOf(role),
    layer: typeof role.layer === 'number' ? role.layer : null,
    expert: typeof role.expert === 'number' ? role.expert : null,
    matrix: shape.length > 1,
    range: { elements, sources },
  };
  const [experts = 0] = shape;
  if (role.expert !== 'all' || role.layer === 'all' || shape.length < 2 || experts < 2) return [unit];
  const each = elements / experts;
  return Array.from({ length: experts }, (_, expert) => ({
    ...unit,
    expert,
    matrix: shape.length > 2,
    range: { elements: each, sources: sources.map((s) => ({ ...s, offset: s.offset + expert * each * bytesOf(s.dtype) })) },
  }));
}

const BYTES: Partial<Record<DtypeName, number>> = { BF16: 2, F16: 2, F32: 4, F64: 8 };
const bytesOf = (dtype: DtypeName): number => BYTES[dtype]!;

/** The column of the map that a tensor counts in. */
export function roleOf({ role, mtp }: TensorRole): DiffRole {
  return mtp ? 'mtp' : (role ?? 'unknown');
}

/** Whether a tensor passes the filter. @throws MergeError E_OPTION for a role that there is none of */
function passing({ roles, layers }: DiffFilter): (role: TensorRole) => boolean {
  const unknown = roles?.find((name) => !ROLE_NAMES.includes(name));
  if (unknown !== undefined) throw new MergeError('E_OPTION', `there is no role ${unknown}; there are ${ROLE_NAMES.join(', ')}`);
  const hasRole = roles === undefined ? () => true : roleTest(roles);
  const inLayers = ({ layer }: TensorRole) =>
    layers === undefined || layers.some(({ from, to }) => Number(layer ?? -1) >= from && Number(layer ?? -1) <= to);
  return (role) => hasRole({ role }) && inLayers(role);
}
