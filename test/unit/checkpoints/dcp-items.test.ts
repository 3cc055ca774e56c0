import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ByteReader } from '../../../src/base/store/byte-reader.ts';
import { OpenCache } from '../../../src/checkpoints/containers/open-cache.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { readTensor } from '../../../src/checkpoints/tensors/extents.ts';
import { along, both, type CutTensor, writeCut } from '../../support/dcp-cuts.ts';
import { object, type Part, sizeOf, writeDcp } from '../../support/dcp-files.ts';
import { mergeError, temporaryFolder } from '../../support/safetensors.ts';
import { dictOf, op } from '../../support/torch-files.ts';

it('values lie where they lie, of many items that are alike and some that are not', async () => {
  const tensors = Array.from({ length: 150 }, (_, i): CutTensor => {
    const shape = i % 5 === 0 ? [7, 3] : i % 5 === 1 ? [12] : [8, 6];
    const elements = shape.reduce((product, length) => product * length, 1);
    return {
      name: `layers.${i}.w`,
      dtype: 'F32',
      shape,
      data: Buffer.from(Float32Array.from({ length: elements }, () => Math.random()).buffer),
    };
  });
  const path = writeCut(join(temporaryFolder(), 'step-1'), tensors, both(along(0, 2), along(1, 3)));
  const checkpoint = await openCheckpoint(path);
  const reader = new ByteReader();
  const wrong: string[] = [];
  for (const { name, data } of tensors)
    if (!(await readTensor(reader, checkpoint, checkpoint.locate(name)!)).equals(data)) wrong.push(name);
  await reader.close();
  expect(wrong).toEqual([]);
});

it('an item that is as long as others and says something else is refused by name', async () => {
  const part = (rank: number): Part => ({ start: [2 * rank, 0], size: [2, 3] });
  const parts = Array.from({ length: 20 }, (_, rank) => part(rank));
  const path = join(temporaryFolder(), 'step-1');
  writeDcp(path, { tensors: { w: { shape: [40, 3], parts: parts.with(17, { ...part(17), stored: { shape: [3, 2] } }) } } });
  const { code, message } = await mergeError(() => openCheckpoint(path));
  expect([code, message]).toEqual(['E_DCP', `${join(path, '__0_0.distcp')}: w has a part of [3, 2] here, which .metadata says is [2, 3]`]);
});

it('steps of a run whose items are alike have one table, and any that is not has its own', async () => {
  const folder = temporaryFolder();
  // The same values in all: these archives have their checksums before them.
  const bytes = Buffer.from(Float32Array.from({ length: 9 }, (_, i) => i + 0.5).buffer);
  const sized = (stored?: Part['stored']): Part => ({ start: [0, 0], size: [3, 3], stored: { bytes, ...stored } });
  const step = (name: string, v: Part): string => {
    writeDcp(join(folder, name), { tensors: { w: { shape: [3, 3], parts: [sized()] }, v: { shape: [3, 3], parts: [v] } } });
    return join(folder, name);
  };
  const paths = {
    first: step('step-1', sized()),
    like: step('step-2', sized()),
    turned: step('step-3', sized({ stride: [1, 3] })),
    last: step('step-4', sized()),
    other: step('step-5', sized({ class: 'IntStorage' })),
    short: step('step-6', sized()),
  };
  const cache = new OpenCache();
  const [first, like, turned, last] = [
    await openCheckpoint(paths.first, { cache }),
    await openCheckpoint(paths.like, { cache }),
    await openCheckpoint(paths.turned, { cache }),
    await openCheckpoint(paths.last, { cache }),
  ];
  expect(like.shards[0]!.tensors).toBe(first.shards[0]!.tensors);
  expect(like.files[0]!.path).toBe(join(paths.like, '__0_0.distcp'));
  for (const [path, shared] of [
    [paths.like, like],
    [paths.turned, turned],
    [paths.last, last],
  ] as const) {
    const alone = await openCheckpoint(path);
    const reader = new ByteReader();
    for (const name of ['w', 'v']) {
      const own = await readTensor(reader, alone, alone.locate(name)!);
      expect((await readTensor(reader, shared, shared.locate(name)!)).equals(own)).toBe(true);
    }
    await reader.close();
  }
  const reader = new ByteReader();
  const crossed = await readTensor(reader, turned, turned.locate('v')!);
  await reader.close();
  expect([...new Float32Array(new Uint8Array(crossed).buffer)]).toEqual([0.5, 3.5, 6.5, 1.5, 4.5, 7.5, 2.5, 5.5, 8.5]);

  const refusal = async (path: string) => mergeError(() => openCheckpoint(path, { cache }));
  expect(await refusal(paths.other)).toMatchObject({ code: 'E_DCP', details: { file: join(paths.other, '__0_0.distcp'), tensor: 'v' } });
  truncateSync(join(paths.short, '__0_0.distcp'), 500);
  expect(await refusal(paths.short)).toMatchObject({ code: 'E_FILE_TRUNCATED', details: { file: join(paths.short, '__0_0.distcp') } });
});

it('metadata whose plans come first, and speak of the same indices', async () => {
  const path = join(temporaryFolder(), 'step-1');
  const index = object('torch.distributed.checkpoint.metadata', 'MetadataIndex', {
    fqn: op.text('w'),
    offset: sizeOf([0, 0]),
    index: op.none,
  });
  writeDcp(path, {
    tensors: { w: { shape: [2, 3], parts: [{ start: [0, 0], size: [2, 3] }] } },
    state: ({ state_dict_metadata, storage_data }) => {
      const plans = Buffer.concat([op.emptyList, index, op.put(7), op.append]);
      const [head, rest] = [Buffer.concat([op.emptyDict, op.mark]), Buffer.from(storage_data!)];
      expect(rest.indexOf(index)).toBe(head.length);
      const stored = Buffer.concat([head, op.get(7), rest.subarray(head.length + index.length)]);
      return { state_dict_metadata: state_dict_metadata!, planner_data: dictOf({ plans }), storage_data: stored };
    },
  });
  expect((await openCheckpoint(path)).tensorCount).toBe(1);
});
