import { fileURLToPath } from 'node:url';
import type { FixtureTensor } from './checkpoints.ts';
import { writeRun } from './run-trees.ts';

/** Evaluator for the checkpoints of {@link weightedRun}; the target's weights follow it. */
export const SCORE_WEIGHTS = `node ${fileURLToPath(new URL('./score-weights.js', import.meta.url))} {model}`;

/**
 * A run of `count` checkpoints, steps 100, 200 …; checkpoint i holds the unit vector e_i as
 * `model.norm.weight`, so that a merge holds its weights.
 */
export function weightedRun(folder: string, count: number): string {
  return writeRun(
    folder,
    Array.from({ length: count }, (_, i) => {
      const data = new Uint8Array(Float32Array.from({ length: count }, (_, k) => (k === i ? 1 : 0)).buffer);
      const norm: FixtureTensor = { name: 'model.norm.weight', dtype: 'F32', shape: [count], data };
      return {
        name: `checkpoint-${(i + 1) * 100}`,
        step: (i + 1) * 100,
        shards: [[norm]],
        config: { model_type: 'llama', dtype: 'float32' },
      };
    }),
  );
}
