import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { rankGaps } from '../../../src/checkpoints/containers/safetensors/shard-names.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { safetensorsBytes, temporaryFolder } from '../../support/checkpoints.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());

const fileOf = (rank: number, part: number, count: number): string => `shard-0000${rank}-model-0000${part}-of-0000${count}.safetensors`;

/** A folder of two ranks, each with a row of two tensors, one a part of the model, but for some of the files. */
function written(name: string, ...lost: readonly string[]): string {
  const path = join(folder.path, name);
  mkdirSync(path);
  for (const rank of [1, 2]) {
    for (const part of [1, 2]) {
      const file = fileOf(rank, part, 2);
      if (lost.includes(file)) continue;
      const tensor = `layers.${part}.weight`;
      const places = JSON.stringify({ [tensor]: { saved_offsets: [rank - 1, 0] } });
      const metadata = { format: 'pt', DCP_VERSION: '1.0', DCP_SHARDING_INFO: places };
      writeFileSync(join(path, file), safetensorsBytes([{ name: tensor, dtype: 'F32', shape: [1, 4] }], rank, metadata));
    }
  }
  return path;
}

it('ranks that all have each part of a model are read without a word', async () => {
  const { warnings, shards } = await openCheckpoint(written('whole'));
  expect(warnings).toEqual([]);
  expect(shards.flatMap(({ tensors }) => tensors.shapes)).toEqual([
    [2, 4],
    [2, 4],
  ]);
});

it('a part of the model that no rank has is refused, since names of the others count it', async () => {
  const path = written('partless', fileOf(1, 2, 2), fileOf(2, 2, 2));
  await expect(openCheckpoint(path)).rejects.toMatchObject({
    code: 'E_SHARD_MISSING',
    message: expect.stringContaining('no rank has a file of model-00002-of-00002'),
  });
});

it("a file that the last rank has not, and another has, is named: it may be that it's lost", async () => {
  const { warnings } = await openCheckpoint(written('short', fileOf(2, 1, 2)));
  expect(warnings).toMatchObject([{ code: 'W_RANK_FILE', message: expect.stringContaining(fileOf(2, 1, 2)) }]);
});

it('files of several saves are judged by their parts alone', () => {
  expect(rankGaps([fileOf(1, 1, 2), fileOf(1, 1, 3)])).toEqual({ part: null, files: [] });
});
