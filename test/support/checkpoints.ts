import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type DtypeName, dtypeByName } from '../../src/base/dtype.ts';
import { encodeHeader } from '../../src/checkpoints/containers/safetensors/encode-header.ts';
import { encodeIndex } from '../../src/checkpoints/containers/safetensors/encode-index.ts';

/** A tensor of a fixture: bytes given, or pseudo-random ones that are ordinary finite numbers. */
export interface FixtureTensor {
  readonly name: string;
  readonly dtype: DtypeName;
  readonly shape: readonly number[];
  readonly data?: Uint8Array;
}

/**
 * A temporary folder and how to remove it.
 * @param parent memory, where hundreds of thousands of files are written one after another
 */
export function temporaryFolder(parent = tmpdir()): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(parent, 'ckpt-merge-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** The bytes of a safetensors file. Random data depends on `seed` and the tensor's name only. */
export function safetensorsBytes(
  tensors: readonly FixtureTensor[],
  seed: number,
  metadata: Record<string, string> | null = { format: 'pt' },
): Buffer {
  return Buffer.concat([encodeHeader(tensors, metadata), ...tensors.map((t) => t.data ?? randomData(t, seed))]);
}

/**
 * Writes a folder with one tensor file, or with several and an index when `shards` has more than one entry.
 */
export function writeCheckpoint(
  folder: string,
  shards: readonly (readonly FixtureTensor[])[],
  seed: number,
  sides: Record<string, string> = {},
): string {
  mkdirSync(folder, { recursive: true });
  const nameOf = (i: number) => `model-${String(i + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}.safetensors`;
  if (shards.length === 1) writeFileSync(join(folder, 'model.safetensors'), safetensorsBytes(shards[0]!, seed));
  else {
    for (const [i, tensors] of shards.entries()) writeFileSync(join(folder, nameOf(i)), safetensorsBytes(tensors, seed));
    const total = shards.flat().reduce((sum, t) => sum + byteLength(t), 0);
    const weightMap = shards.flatMap((tensors, i) => tensors.map((t): [string, string] => [t.name, nameOf(i)]));
    writeFileSync(join(folder, 'model.safetensors.index.json'), encodeIndex({ metadata: { total_size: total }, weightMap }));
  }
  for (const [name, text] of Object.entries({ 'config.json': '{\n  "dtype": "bfloat16"\n}\n', ...sides })) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

function byteLength({ dtype, shape }: FixtureTensor): number {
  return (shape.reduce((a, b) => a * b, 1) * dtypeByName(dtype)!.bits) / 8;
}

function randomData(tensor: FixtureTensor, seed: number): Uint8Array {
  const { kind, bits } = dtypeByName(tensor.dtype)!;
  const out = new Uint8Array(byteLength(tensor));
  const next = generator(seed * 7919 + [...tensor.name].reduce((h, c) => (h * 31 + c.charCodeAt(0)) | 0, 7));
  if (kind !== 'float') return out.map(() => next() & 255);
  // Without the highest bit of the exponent every FP8 is finite.
  if (bits === 8) return out.map(() => next() & 0xbb);
  const view = new DataView(out.buffer);
  for (let i = 0; i < out.length; i += bits / 8) {
    const value = (next() / 2 ** 32 - 0.5) * 0.1;
    if (bits === 64) view.setFloat64(i, value, true);
    else if (bits === 32) view.setFloat32(i, value, true);
    else if (tensor.dtype === 'F16') view.setUint16(i, (next() & 0x83ff) | (((next() >>> 8) % 20) << 10), true);
    else view.setUint16(i, bf16(value), true);
  }
  return out;
}

/** The upper half of a float32: rounding does not matter in made-up data. */
function bf16(value: number): number {
  return new Uint16Array(new Float32Array([value]).buffer)[1]!;
}

/** Numbers in [0, 2^32), the same for the same seed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}
