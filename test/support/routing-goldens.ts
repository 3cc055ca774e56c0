import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, '../golden/routing');

/** One tiny model, as `test/golden/routing/make.py` saved and watched it. */
export interface Golden {
  readonly config: Readonly<Record<string, unknown>>;
  /** The tensors of the layer that was watched: dtype, then shape. */
  readonly tensors: Readonly<Record<string, readonly [string, ...number[]]>>;
  readonly router: string;
  readonly bias: string | null;
  readonly correction: string | null;
  readonly norm: string | null;
}

export function routingGoldens(): { readonly transformers: string; readonly cases: Readonly<Record<string, Golden>> } {
  const { transformers, ...cases } = JSON.parse(readFileSync(join(FOLDER, 'golden.json'), 'utf8'));
  return { transformers, cases };
}

const file = readFileSync(join(FOLDER, 'golden.safetensors'));
const jsonLength = Number(file.readBigUInt64LE(0));
const header = JSON.parse(file.subarray(8, 8 + jsonLength).toString());

/** Reads it with nothing of the project, so that the two cannot err together. */
export function goldenTensor(name: string): { readonly shape: readonly number[]; readonly data: Float64Array } | null {
  const entry = header[name];
  if (entry === undefined) return null;
  const start = 8 + jsonLength + entry.data_offsets[0];
  const count = (entry.data_offsets[1] - entry.data_offsets[0]) / 4;
  const read = entry.dtype === 'I32' ? (at: number) => file.readInt32LE(at) : (at: number) => file.readFloatLE(at);
  return { shape: entry.shape, data: Float64Array.from({ length: count }, (_, i) => read(start + 4 * i)) };
}
