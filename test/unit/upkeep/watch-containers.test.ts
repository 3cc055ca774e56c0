import { cpSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { pin } from '../../../src/upkeep/watch/pins.ts';
import { signatureOf } from '../../../src/upkeep/watch/settle.ts';
import { watch } from '../../../src/upkeep/watch/watch.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { unpackGolden } from '../../support/containers.ts';
import { type DcpTensor, writeDcp } from '../../support/dcp-files.ts';
import { Watching } from '../../support/watching.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

it.each([
  ['torchtitan', 'checkpoint/step-100', '__0_0.distcp'],
  ['olmo-core', 'step100', 'model_and_optim/__0_0.distcp'],
  ['megatron', 'iter_0000100', '.metadata'],
  ['fsdp-rank-pt', 'global_step_100', 'actor/model_world_size_2_rank_1.pt'],
  ['deepspeed-zero1', 'global_step100', 'mp_rank_00_model_states.pt'],
  ['torch-bin-sharded', '200', 'pytorch_model.bin.index.json'],
])('a checkpoint of %s is pinned, and seen to change', async (golden, path, file) => {
  const checkpoint = join(unpackGolden(golden, folder.path), path);
  const { tensors } = (await signatureOf(checkpoint))!;
  const pinned = await pin(checkpoint, join(folder.path, 'pins'), tensors, false);
  const [own, other] = [await openCheckpoint(checkpoint), await openCheckpoint(pinned)];
  expect([other.step, other.tokens, other.tensorCount]).toEqual([own.step, own.tokens, own.tensorCount]);
  expect(own.files.length).toBeGreaterThan(0);
  writeFileSync(join(checkpoint, 'scores.json'), '{}');
  expect((await signatureOf(checkpoint))!.tensors).toBe(tensors);
  truncateSync(join(checkpoint, file), 10);
  expect((await signatureOf(checkpoint))!.tensors).not.toBe(tensors);
});

it('a pin of DeepSpeed has the state of its ranks where training is to go on from merges', async () => {
  const checkpoint = join(unpackGolden('deepspeed-zero1', folder.path), 'global_step100');
  const { tensors } = (await signatureOf(checkpoint))!;
  const held = async (withState: boolean): Promise<string[]> =>
    readdirSync(await pin(checkpoint, join(folder.path, `pins-${withState}`), tensors, false, { withState })).sort();
  expect(await held(false)).toEqual(['mp_rank_00_model_states.pt']);
  expect(await held(true)).toEqual(readdirSync(checkpoint).sort());
});

it('a file of torch.save is seen to change', async () => {
  const path = join(folder.path, 'step1.pt');
  writeFileSync(path, 'a');
  const before = await signatureOf(path);
  writeFileSync(path, 'ab');
  expect((await signatureOf(path))!.tensors).not.toBe(before!.tensors);
});

it('the folder around a run, or a file, is refused: nothing of it will ever be due', async () => {
  const w: DcpTensor = { shape: [2], parts: [{ start: [0], size: [2] }] };
  const [dump, output] = [join(folder.path, 'dump'), join(folder.path, 'merges')];
  for (const step of [100, 200]) writeDcp(join(dump, `checkpoint/step-${step}`), { tensors: { w } });
  writeFileSync(join(dump, 'config.toml'), '');
  for (const once of [true, false]) {
    const refused = watch({ run: dump, output, select: { last: 2 }, once });
    await expect(refused).rejects.toMatchObject({ code: 'E_NO_RUN', help: `Its folder checkpoint does: name ${join(dump, 'checkpoint')}` });
  }
  await expect(watch({ run: join(dump, 'config.toml'), output, select: { last: 2 }, once: true })).rejects.toMatchObject({
    code: 'E_NO_RUN',
  });
  mkdirSync(join(folder.path, 'begun/wandb'), { recursive: true });
  const begun = await watch({ run: join(folder.path, 'begun'), output: join(folder.path, 'others'), select: { last: 2 }, once: true });
  expect(begun.looked).toEqual({ checkpoints: 0, newest: null, unusable: 0 });
});

it('a step of torch.distributed is merged when its metadata is there, whole and stays', async () => {
  const w: DcpTensor = {
    shape: [4, 2],
    parts: [
      { start: [0, 0], size: [2, 2] },
      { start: [2, 0], size: [2, 2], file: '__1_0.distcp' },
    ],
  };
  const [run, saved] = [join(folder.path, 'run'), join(folder.path, 'saved')];
  writeDcp(join(run, 'step-100'), { tensors: { 'w.weight': w } });
  writeDcp(saved, { tensors: { 'w.weight': w } });
  const watching = new Watching({ run, output: join(folder.path, 'merges'), select: { last: 2 } });
  try {
    await watching.until('started');
    mkdirSync(join(run, 'step-200'));
    for (const name of ['__0_0.distcp', '__1_0.distcp']) cpSync(join(saved, name), join(run, 'step-200', name));
    const isOf200 = () => watching.of('waiting').find(({ step }) => step === 200);
    while (isOf200() === undefined) await watching.until('waiting', watching.of('waiting').length + 1);
    const waiting = isOf200();
    expect(waiting).toMatchObject({ step: 200, reason: 'incomplete: .metadata: is not there: the save goes on, or was broken off' });
    const metadata = readFileSync(join(saved, '.metadata'));
    writeFileSync(join(run, 'step-200/.metadata'), metadata.subarray(0, metadata.length - 40));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(watching.of('round')).toEqual([]);
    writeFileSync(join(run, 'step-200/.metadata'), metadata);
    const [merged] = await watching.until('merged');
    expect(merged!.record.members.map(({ step }) => step)).toEqual([100, 200]);
  } finally {
    await watching.stop();
  }
});
