import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { GridOptions } from '../../src/merge/grid/types.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from './checkpoints.ts';

const TENSORS: FixtureTensor[] = [
  { name: 'model.embed_tokens.weight', dtype: 'BF16', shape: [64, 32] },
  { name: 'model.layers.0.mlp.up_proj.weight', dtype: 'BF16', shape: [128, 32] },
  { name: 'model.norm.weight', dtype: 'F32', shape: [32] },
];

/** A new folder with a run, of which a grid is made in it. */
export function gridRun() {
  const folder = temporaryFolder();
  const at = (...parts: string[]) => join(folder.path, ...parts);
  return {
    remove: () => folder.remove(),
    at,
    /** Saves i to j, 1,000 steps of 25M tokens apart: 25B tokens each. @param seed of other values */
    save(first: number, last: number, seed = 0): void {
      for (let i = first; i <= last; i++) {
        const state = JSON.stringify({ global_step: i * 1000, num_input_tokens_seen: i * 25e9, log_history: [] });
        writeCheckpoint(at('run', `checkpoint-${i * 1000}`), [TENSORS.slice(0, 1), TENSORS.slice(1)], i + seed, {
          'trainer_state.json': state,
        });
      }
    },
    options: (more: Partial<GridOptions> = {}): GridOptions => ({
      run: at('run'),
      windows: ['100B', '200B'],
      decay: ['linear', 'minus-sqrt'],
      strides: [1, 2],
      controls: ['reverse', 'scramble-seeds:1-2'],
      endpoints: 'every:200B',
      output: at('grid'),
      threads: 2,
      ...more,
    }),
    names: (path = at('grid')) => readdirSync(path).sort(),
  };
}
