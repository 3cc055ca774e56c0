import { join } from 'node:path';
import { makeFolder } from '../../base/disk/make-folder.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { encodeHeader, type TensorSpec } from '../../checkpoints/containers/safetensors/encode-header.ts';

/**
 * Elements of the block of random weights that the data repeats: longer than any cache line pattern, short
 * enough to make in a blink.
 */
const BLOCK_ELEMENTS = 1 << 20;
const TENSOR_BYTES = 8 << 20;

/**
 * Writes a bf16 checkpoint folder of about `bytes` with plausible weights (normal, σ = 0.02), different for
 * each seed.
 * @returns bytes of its tensor file
 */
export async function writeSyntheticCheckpoint(folder: string, bytes: number, seed: number): Promise<number> {
  await makeFolder(folder);
  const count = Math.max(1, Math.round(bytes / TENSOR_BYTES));
  const tensors: TensorSpec[] = Array.from({ length: count }, (_, i) => ({
    name: `model.layers.${i}.mlp.down_proj.weight`,
    dtype: 'BF16',
    shape: [2048, TENSOR_BYTES / 2 / 2048],
  }));
  const header = encodeHeader(tensors, { format: 'pt' });
  const block = randomBf16(BLOCK_ELEMENTS, seed);
  const file = await SYSTEM.fs.open(join(folder, 'model.safetensors'), 'wx');
  try {
    await file.write(header);
    for (let at = 0; at < count * TENSOR_BYTES; at += block.length)
      await file.write(block, 0, Math.min(block.length, count * TENSOR_BYTES - at));
  } finally {
    await file.close();
  }
  return header.length + count * TENSOR_BYTES;
}

/** Normal variates by Box and Muller over a small congruential generator, as the upper halves of float32. */
function randomBf16(count: number, seed: number): Uint8Array {
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 1) / 2 ** 32;
  };
  const out = new Uint16Array(count);
  const float = new Float32Array(1);
  const shared = new Uint32Array(float.buffer);
  for (let i = 0; i < count; i++) {
    float[0] = 0.02 * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    out[i] = shared[0]! >>> 16;
  }
  return new Uint8Array(out.buffer);
}
