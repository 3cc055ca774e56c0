import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { average } from '../../src/merge/average.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { writeTree } from '../support/run-trees.ts';
import { mergeError } from '../support/safetensors.ts';
import { op, pickle, tensor, torchFiles, tupleOf, zipOf } from '../support/torch-files.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (name: string) => join(folder.path, name);

/** `torch.save(torch.tensor([[…, …], […, …]]), path)`. */
function saveAlone(name: string, values: readonly number[], described: Uint8Array = tensor()): string {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  writeTree(folder.path, { [name]: zipOf(torchFiles(pickle(described), { 0: bytes })) });
  return at(name);
}

it('a tensor that was saved alone has a name, by which messages and policies speak of it, and is written alone', async () => {
  const inputs = [saveAlone('a_10.pt', [1, 2, 3, 4]), saveAlone('a_20.pt', [3, 2, 1, 0])];
  const result = await average({ inputs, output: at('mean.pt') });
  expect(result.warnings.map(({ message }) => message)).toEqual([expect.stringContaining('no rule knows the name: tensor.')]);
  const { shards } = await openCheckpoint(at('mean.pt'));
  const { tensors, path } = shards[0]!;
  expect([...tensors.names]).toEqual(['tensor']);
  expect([...new Float32Array(Uint8Array.from(readFileSync(path).subarray(tensors.offset[0], tensors.offset[0]! + 16)).buffer)]).toEqual([
    2, 2, 2, 2,
  ]);
  // No dict around it.
  expect(readFileSync(path).includes('tensor', 0, 'latin1') && !readFileSync(path).includes(op.text('tensor'))).toBe(true);

  await average({ inputs, output: at('newest.safetensors'), policies: [{ name: 'tensor', use: 'newest' }] });
  const { shards: newest } = await openCheckpoint(at('newest.safetensors'));
  expect([...newest[0]!.tensors.names]).toEqual(['tensor']);
});

it('what is wrong with one names it', async () => {
  const sparse = Buffer.concat([op.global('torch._utils', '_rebuild_sparse_tensor'), tupleOf(), op.reduce]);
  expect(await mergeError(() => openCheckpoint(saveAlone('sparse.pt', [1, 2, 3, 4], sparse)))).toMatchObject({
    code: 'E_TORCH_FILE',
    message: expect.stringContaining(': tensor is sparse'),
  });
  const inputs = [saveAlone('b_10.pt', [1, 2, 3, 4], tensor({ shape: [4], stride: [1] })), saveAlone('b_20.pt', [3, 2, 1, 0])];
  expect((await mergeError(() => average({ inputs, output: at('x.pt') }))).message).toContain('tensor tensor is [2, 2] in the layout');
});
