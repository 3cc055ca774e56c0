import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DtypeName } from '../../src/base/dtype.ts';

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

function* leaves(tree: Tree, prefix: string): Generator<[string, { dtype: DtypeName; shape: number[] }]> {
  for (const [part, value] of Object.entries(tree)) {
    if (!Array.isArray(value)) yield* leaves(value as Tree, `${prefix}${part}.`);
    else {
      const dtype = (value.find((entry) => typeof entry === 'string') as DtypeName | undefined) ?? 'BF16';
      yield [`${prefix}${part}`, { dtype, shape: value.filter((entry) => typeof entry === 'number') }];
    }
  }
}
