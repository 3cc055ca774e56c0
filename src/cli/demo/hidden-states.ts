import type { TensorData } from '../../checkpoints/containers/safetensors/write-file.ts';
import { WINDOW_BYTES } from './held-out-loss.ts';
import { loadModel } from './model.ts';

/**
 * What goes into the routers of a demo model when it reads `text`, as `merge routers --hidden` takes it:
 * `layers.{l}.hidden`, F32 [T, hidden]. The text is cut into windows of {@link WINDOW_BYTES} bytes (a shorter
 * rest is dropped), each read on its own.
 *
 * @param path checkpoint folder of a model of `demo/runs/moe`, or of a merge of them
 * @throws MergeError E_MODEL when it is not a model that the demo's forward pass knows; RangeError for a text
 *   shorter than a window
 */
export async function demoHiddenStates(path: string, text: Uint8Array): Promise<TensorData[]> {
  const windows = Math.floor(text.length / WINDOW_BYTES);
  if (windows === 0) throw new RangeError(`the text has ${text.length} bytes, fewer than one window of ${WINDOW_BYTES}`);
  const { config, logits } = await loadModel(path);
  const tokens = windows * WINDOW_BYTES;
  const layers = Array.from({ length: config.layers }, () => new Float32Array(tokens * config.hidden));
  for (let start = 0; start < tokens; start += WINDOW_BYTES) {
    logits(text.subarray(start, start + WINDOW_BYTES), (layer, hidden) => layers[layer]!.set(hidden, start * config.hidden));
  }
  return layers.map((values, layer) => ({
    name: `layers.${layer}.hidden`,
    dtype: 'F32',
    shape: [tokens, config.hidden],
    data: new Uint8Array(values.buffer),
  }));
}
