import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AverageOptions, average } from '../../src/merge/average.ts';

/**
 * What a golden `torch-out-VERSION` has: the prefix of its two members, the name of what torch saved, and how
 * it is merged.
 */
export type TorchCase = readonly [prefix: string, want: string, options: Partial<AverageOptions>];

/** Of every version. */
export const TORCH_CASES: readonly TorchCase[] = [
  ['', 'merged', {}],
  ['', 'bf16', { dtype: 'BF16' }],
  ['train-', 'model-only', {}],
];

/** Of 2.15: more entries than Python's pickler writes at once. */
export const MANY_CASES: readonly TorchCase[] = [
  ['many-', 'many', {}],
  ['many-', 'many-f16', { dtype: 'F16' }],
  ['many-', 'fewer', { policies: [{ name: 'layers.*0.weight', use: 'drop' }] }],
];

/** Merges as torch was told to, and compares with what it saved. */
export async function differenceFromTorch(home: string, [prefix, want, options]: TorchCase, output: string): Promise<unknown> {
  const inputs = [1, 2].map((step) => join(home, `${prefix}${step}.pt`));
  await average({ inputs, output, weights: [0.25, 0.75], allowUnknown: true, format: 'torch', ...options });
  return difference(output, join(home, 'want', `${want}.pt`));
}

/** Whether two files have the same bytes: 'none', or sizes and the first byte that differs. */
export function difference(a: string, b: string): unknown {
  const [x, y] = [readFileSync(a), readFileSync(b)];
  return x.equals(y) ? 'none' : { sizes: [x.length, y.length], first: x.findIndex((byte, i) => byte !== y[i]) };
}
