import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DtypeName, dtypeByName } from '../../src/base/dtype.ts';
import { ColumnTable } from '../../src/checkpoints/tensors/table.ts';
import type { Checkpoint } from '../../src/checkpoints/types.ts';
import { type CheckpointRoles, heldRoles } from '../../src/model/roles/checkpoint-roles.ts';
import { classifier } from '../../src/model/roles/classify.ts';
import { namingContext } from '../../src/model/roles/context.ts';
import { holdsCodes } from '../../src/model/roles/unknown.ts';

/**
 * A tiny random model as transformers saves it: its configuration, and the shape (and dtype, where not BF16)
 * of each tensor.
 */
export interface TinyModel {
  readonly family: string;
  readonly config: Record<string, unknown>;
  readonly tensors: Record<string, { readonly dtype: DtypeName; readonly shape: readonly number[] }>;
}

type Tree = { readonly [part: string]: Tree | readonly (number | DtypeName)[] };

/**
 * The models of test/golden/tiny-models.json, which test/golden/make/tiny-models.py made. Each call gives
 * objects of its own, to be broken.
 */
export function tinyModels(): TinyModel[] {
  const file = join(import.meta.dirname, '../golden/tiny-models.json');
  const models = JSON.parse(readFileSync(file, 'utf8')) as Record<string, { config: Record<string, unknown>; tensors: Tree }>;
  return Object.entries(models).map(([family, { config, tensors }]) => ({
    family,
    config,
    tensors: Object.fromEntries(leaves(tensors, '')),
  }));
}

/** A model as a checkpoint of two shards, and its roles. */
export function opened({ config, tensors }: Pick<TinyModel, 'config' | 'tensors'>): [Checkpoint, CheckpointRoles] {
  const entries = Object.entries(tensors);
  const half = entries.length >> 1;
  const shards = [entries.slice(0, half), entries.slice(half)].map((part, i) => ({
    name: `${i}.safetensors`,
    path: `/m/${i}.safetensors`,
    tensors: new ColumnTable({
      names: part.map(([name]) => name),
      shapes: part.map(([, { shape }]) => shape),
      dtypes: Uint8Array.from(part, ([, { dtype }]) => dtypeByName(dtype)!.code),
      bytes: new Float64Array(part.length),
      offset: new Float64Array(part.length),
    }),
  }));
  const locate = (name: string) => {
    const shard = shards.findIndex(({ tensors: t }) => t.rowOf(name) >= 0);
    return shard < 0 ? undefined : { shard, row: shards[shard]!.tensors.rowOf(name) };
  };
  const checkpoint = { path: '/m', namesPerFile: false, shards, locate } as unknown as Checkpoint;
  const context = namingContext(config, Object.keys(tensors), holdsCodes({ shards } as unknown as Checkpoint));
  const classify = classifier(context);
  const roles = shards.map(({ tensors: t }) => t.names.map((name, row) => classify(name, t.info(row).dtype, t.shapes[row])));
  return [checkpoint, heldRoles({ context, config }, roles)];
}

function* leaves(tree: Tree, prefix: string): Generator<[string, { dtype: DtypeName; shape: number[] }]> {
  for (const [part, value] of Object.entries(tree)) {
    if (!Array.isArray(value)) yield* leaves(value as Tree, `${prefix}${part}.`);
    else {
      const dtype = (value.find((entry) => typeof entry === 'string') as DtypeName | undefined) ?? 'BF16';
      yield [`${prefix}${part}`, { dtype, shape: value.filter((entry) => typeof entry === 'number') }];
    }
  }
}
