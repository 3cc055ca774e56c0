import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { plan } from '../../../src/index.ts';
import { safetensorsBytes } from '../../support/checkpoints.ts';
import { temporaryFolder } from '../../support/safetensors.ts';

/** Files of two ranks, each with half the rows of a weight in FP8 and its scales. */
function writeRanks(folder: string, seed: number): string {
  mkdirSync(folder);
  writeFileSync(join(folder, 'config.json'), '{"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}');
  for (const rank of [0, 1]) {
    const tensors = [
      { name: 'model.layers.0.mlp.up_proj.weight', dtype: 'F8_E4M3', shape: [128, 256] },
      { name: 'model.layers.0.mlp.up_proj.weight_scale_inv', dtype: 'F32', shape: [1, 2] },
    ] as const;
    const offsets = Object.fromEntries(tensors.map(({ name, shape }) => [name, { saved_offsets: [rank * shape[0], 0] }]));
    const metadata = { format: 'pt', DCP_VERSION: '1.0', DCP_SHARDING_INFO: JSON.stringify(offsets) };
    writeFileSync(join(folder, `shard-0000${rank + 1}-model-00001-of-00001.safetensors`), safetensorsBytes(tensors, seed + rank, metadata));
  }
  return folder;
}

it('quantised weights that are stored in parts are refused by name, with what to do', async () => {
  const folder = temporaryFolder();
  const inputs = [100, 200].map((step) => writeRanks(join(folder, `checkpoint-${step}`), step));
  const refused = plan({ inputs, output: join(folder, 'out') });
  await expect(refused).rejects.toMatchObject({
    code: 'E_LAYOUT_FORM',
    details: {
      conflicts: inputs.map((file) => ({
        code: 'E_LAYOUT_FORM',
        file,
        tensor: 'model.layers.0.mlp.up_proj.weight',
        help: expect.stringMatching(/merge convert/),
      })),
    },
  });
});
