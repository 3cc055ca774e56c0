import { isDeepStrictEqual } from 'node:util';
import { type DtypeName, dtypeByCode } from '../../base/dtype.ts';
import { sectionOf } from '../../checkpoints/tensors/section.ts';
import { haveSameTensors } from '../../checkpoints/tensors/table.ts';
import type { TensorPlace, TensorTable } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { classifier } from './classify.ts';
import { namingContext, numbersMatter } from './context.ts';
import { type ModelConfig, readModelConfig } from './model-config.ts';
import { kindsOfNames } from './name-kinds.ts';
import type { NamingContext, Role, TensorRole } from './types.ts';
import { hasCodesBeside, holdsCodes, isScaleInBlock } from './unknown.ts';

/** What the tensors of a checkpoint are for. */
export interface CheckpointRoles {
  readonly context: NamingContext;
  /** config.json, parsed; null where there is none that can be read. */
  readonly config: ModelConfig | null;
  /** @param shard index into the checkpoint's shards @param row of the shard's tensor table */
  of(shard: number, row: number): TensorRole;
  /** Places of the tensors of one role, in their order; of null those that no rule knows. */
  placesOf(role: Role | null): readonly TensorPlace[];
  /** Whether layers are an axis of any tensor. */
  readonly stacked: boolean;
}

/**
 * Roles of whole checkpoints, by the names of their first table: the steps of a run are alike in the tensors of
 * all tables and in config.json.
 */
const shared = new WeakMap<
  TensorTable['names'],
  readonly { readonly tables: readonly TensorTable[]; readonly config: ModelConfig | null; readonly roles: CheckpointRoles }[]
>();

/** Roles of the tables seen, by their names: the steps of a run share these, so they share this too. */
const known = new WeakMap<
  TensorTable['names'],
  { readonly table: TensorTable; readonly context: string; readonly roles: readonly TensorRole[] }[]
>();

/**
 * The role of every tensor of a checkpoint. Reads config.json; the tensors of headers that are equal are
 * classified once.
 */
export async function checkpointRoles(checkpoint: Checkpoint): Promise<CheckpointRoles> {
  const config = await readModelConfig(checkpoint);
  const tables = checkpoint.shards.map((shard) => shard.tensors);
  const like = checkpoint.namesPerFile ? [] : (shared.get(tables[0]!.names) ?? []);
  const same = like.find(
    (other) => isDeepStrictEqual(other.config, config) && tables.every((table, s) => haveSameTensors(table, other.tables[s])),
  );
  if (same !== undefined) return same.roles;
  const kinds = checkpoint.namesPerFile ? null : kindsOfNames(checkpoint);
  const names = kinds === null || numbersMatter(kinds) ? { [Symbol.iterator]: () => tensorNames(checkpoint) } : kinds;
  const codes = !checkpoint.namesPerFile && holdsCodes(checkpoint);
  const context = namingContext(config, names, codes);
  const classify = checkpointClassifier(checkpoint, context);
  const shards = checkpoint.shards.map(({ name, tensors }) =>
    checkpoint.namesPerFile ? [classifyRow(classify, tensors, 0, nameOfFile(name), name)] : rolesOf(tensors, context, classify, name),
  );
  const roles = heldRoles({ context, config }, shards);
  if (!checkpoint.namesPerFile) shared.set(tables[0]!.names, [...like, { tables, config, roles }]);
  return roles;
}

/** @param shards [shards] by row */
export function heldRoles(about: Pick<CheckpointRoles, 'context' | 'config'>, shards: readonly (readonly TensorRole[])[]): CheckpointRoles {
  let found: RoleRows | undefined;
  const rows = () => {
    found ??= rowsByRole(shards);
    return found;
  };
  return {
    ...about,
    of: (shard, row) => shards[shard]![row]!,
    placesOf: (role) => placesOf(rows(), role),
    get stacked() {
      return rows().stacked;
    },
  };
}

/** Which tensors have which role: there are few of most, and looking at half a million for each question takes long. */
interface RoleRows {
  /** [shards] */
  readonly byRole: readonly ReadonlyMap<Role | null, readonly number[]>[];
  readonly stacked: boolean;
}

function rowsByRole(shards: readonly (readonly TensorRole[])[]): RoleRows {
  let stacked = false;
  const byRole = shards.map((roles) => {
    const found = new Map<Role | null, number[]>();
    for (const [row, { role, layer }] of roles.entries()) {
      stacked ||= layer === 'all';
      const rows = found.get(role);
      if (rows === undefined) found.set(role, [row]);
      else rows.push(row);
    }
    return found;
  });
  return { byRole, stacked };
}

function placesOf({ byRole }: RoleRows, role: Role | null): TensorPlace[] {
  return byRole.flatMap((rows, shard) => (rows.get(role) ?? []).map((row) => ({ shard, row })));
}

/**
 * The name by which a tensor is known in its model; the path of its file where files and not names tell
 * tensors apart (nanotron).
 */
export function tensorName({ shards, namesPerFile }: Pick<Checkpoint, 'shards' | 'namesPerFile'>, shard: number, row: number): string {
  const { name, tensors } = shards[shard]!;
  return namesPerFile ? nameOfFile(name) : tensors.names[row]!;
}

function* tensorNames(checkpoint: Checkpoint): Generator<string> {
  for (const [s, { tensors }] of checkpoint.shards.entries()) {
    for (let row = 0; row < tensors.count; row++) yield tensorName(checkpoint, s, row);
  }
}

/** @param file the shard that the tensor lies in */
type ClassifyIn = (name: string, dtype: DtypeName, shape: readonly number[], file: string) => TensorRole;

/** A `.scale` belongs to codes where these are there; else it is what the rest of its name says. */
function checkpointClassifier(checkpoint: Checkpoint, context: NamingContext): ClassifyIn {
  const classify = classifier(context);
  if (context.codes === false) return classify;
  const learned = classifier({ ...context, codes: false });
  return (name, dtype, shape, file) => {
    const role = classify(name, dtype, shape);
    const maybe = role.role === 'quant_scale' && /[._]scales?$/.test(name) && !hasCodesBeside(checkpoint, name, file);
    if (!maybe) return role;
    const other = learned(name, dtype, shape);
    return other.role !== null && isScaleInBlock(name, other.role, true) ? { ...other, role: null } : other;
  };
}

function rolesOf(table: TensorTable, context: NamingContext, classify: ClassifyIn, file: string): readonly TensorRole[] {
  const key = JSON.stringify(context);
  const alike = known.get(table.names) ?? [];
  known.set(table.names, alike);
  const found = alike.find((other) => other.context === key && haveSameTensors(table, other.table));
  if (found !== undefined) return found.roles;
  const roles = table.names.map((name, row) => classifyRow(classify, table, row, name, file));
  alike.push({ table, context: key, roles });
  return roles;
}

function classifyRow(classify: ClassifyIn, table: TensorTable, row: number, name: string, file: string): TensorRole {
  const named = classify(name, dtypeByCode(table.dtypes[row]!).name, table.shapes[row]!, file);
  // What a container keeps apart from the model is none of it, whatever it is called.
  return sectionOf(table, row) === 'model' ? named : { ...named, role: 'optimizer' };
}

/**
 * `model/model/decoder/3/pp_block/attn/qkv_proj/model_weight_pp-rank-0-of-1_tp-rank-0-of-2.safetensors` holds
 * `model.decoder.3.pp_block.attn.qkv_proj.weight`.
 */
function nameOfFile(path: string): string {
  const parts = path.replace(/^model\//, '').split('/');
  const leaf = parts
    .pop()!
    .replace(/^model_/, '')
    .replace(/(?:_(?:pp|tp|exp)-rank-[^/]*)?\.safetensors$/, '');
  return [...parts, leaf].join('.');
}
