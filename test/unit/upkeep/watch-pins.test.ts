import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { sideFiles } from '../../../src/checkpoints/side-files.ts';
import { pin, unpin } from '../../../src/upkeep/watch/pins.ts';
import { signatureOf } from '../../../src/upkeep/watch/settle.ts';
import { temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
let count = 0;

/** A run folder with one checkpoint of two shards, and an empty place for pins. */
function made(): { checkpoint: string; pins: string } {
  const base = join(temporary.path, String(++count));
  const shards = ['a', 'b'].map((name) => [{ name, dtype: 'F32' as const, shape: [8] }]);
  const sides = { 'trainer_state.json': '{"global_step":7}', 'optimizer.pt': 'large', 'tokenizer.json': '{}', 'notes.txt': 'x' };
  return { checkpoint: writeCheckpoint(join(base, 'run', 'checkpoint-7'), shards, count, sides), pins: join(base, 'pins') };
}
const tensorsOf = async (path: string) => (await signatureOf(path))!.tensors;

describe('a pin', () => {
  it('is the model and where it stands, by hard links that outlive the checkpoint', async () => {
    const { checkpoint, pins } = made();
    const tensors = await tensorsOf(checkpoint);
    const shard = 'model-00001-of-00002.safetensors';
    const bytes = readFileSync(join(checkpoint, shard));
    const path = await pin(checkpoint, pins, tensors, false);
    expect(path).toBe(join(pins, 'checkpoint-7'));
    expect(readdirSync(path).sort()).toEqual([
      'config.json',
      shard,
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
      'tokenizer.json',
      'trainer_state.json',
    ]);
    expect(statSync(join(path, shard)).ino).toBe(statSync(join(checkpoint, shard)).ino);
    rmSync(checkpoint, { recursive: true });
    expect(readFileSync(join(path, shard))).toEqual(bytes);
    expect(await tensorsOf(path)).toBe(tensors);
    await unpin(path);
    expect(existsSync(path)).toBe(false);
  });

  it('is made once', async () => {
    const { checkpoint, pins } = made();
    const tensors = await tensorsOf(checkpoint);
    const path = await pin(checkpoint, pins, tensors, false);
    writeFileSync(join(path, 'mark'), '');
    expect(await pin(checkpoint, pins, tensors, true)).toBe(path);
    expect(existsSync(join(path, 'mark'))).toBe(true);
  });

  it('holds the file behind a link, which is what would be lost', async () => {
    const { checkpoint, pins } = made();
    const snapshot = join(temporary.path, String(count), 'snapshot');
    mkdirSync(snapshot);
    for (const name of readdirSync(checkpoint)) symlinkSync(join(checkpoint, name), join(snapshot, name));
    const path = await pin(snapshot, pins, await tensorsOf(snapshot), false);
    const file = 'model-00002-of-00002.safetensors';
    expect(statSync(join(path, file)).ino).toBe(statSync(join(checkpoint, file)).ino);
    rmSync(checkpoint, { recursive: true });
    expect(readFileSync(join(path, file)).length).toBeGreaterThan(32);
  });

  it('keeps a link that leads outside as one, and makes files of those within the run', async () => {
    const { checkpoint, pins } = made();
    writeCheckpoint(join(checkpoint, '../checkpoint-8'), [[{ name: 'a', dtype: 'F32', shape: [8] }]], 1, { 'vocab.json': 'vocab' });
    const secret = join(temporary.path, String(count), 'secret');
    writeFileSync(secret, 'secret');
    symlinkSync('../checkpoint-8/vocab.json', join(checkpoint, 'vocab.json'));
    for (const name of ['tokenizer.json', 'trainer_state.json']) {
      rmSync(join(checkpoint, name));
      symlinkSync('../../secret', join(checkpoint, name));
    }
    const tensors = await tensorsOf(checkpoint);
    const path = await pin(checkpoint, pins, tensors, false);
    for (const name of ['tokenizer.json', 'trainer_state.json']) expect(readlinkSync(join(path, name))).toBe(realpathSync(secret));
    expect(lstatSync(join(path, 'vocab.json')).isFile()).toBe(true);
    // A merge of the pin leaves out what a merge of the checkpoint would.
    expect((await sideFiles(await openCheckpoint(path))).left.map(({ name, leadsTo }) => [name, leadsTo])).toContainEqual([
      'tokenizer.json',
      realpathSync(secret),
    ]);
    await unpin(path);
    expect(readFileSync(secret, 'utf8')).toBe('secret');
    const followed = await pin(checkpoint, pins, tensors, false, { followLinks: true });
    expect(lstatSync(join(followed, 'tokenizer.json')).ino).toBe(statSync(secret).ino);
  });

  it('is not made without a file that belongs with the model', async () => {
    const { checkpoint, pins } = made();
    rmSync(join(checkpoint, 'tokenizer.json'));
    symlinkSync('gone', join(checkpoint, 'tokenizer.json'));
    const error = { code: 'E_NOT_READABLE', details: { file: join(checkpoint, 'tokenizer.json') } };
    await expect(pin(checkpoint, pins, await tensorsOf(checkpoint), false)).rejects.toMatchObject(error);
    expect(readdirSync(pins)).toEqual([]);
  });

  it('is a copy on another file system, and keeps its signature', async ({ skip }) => {
    const { checkpoint } = made();
    const other = '/dev/shm';
    if (!existsSync(other) || statSync(other).dev === statSync(checkpoint).dev) return skip();
    const pins = join(other, `ckpt-merge-pins-${process.pid}`);
    try {
      const path = await pin(checkpoint, pins, await tensorsOf(checkpoint), false);
      expect(await tensorsOf(path)).toBe(await tensorsOf(checkpoint));
      expect(readFileSync(join(path, 'trainer_state.json'), 'utf8')).toBe('{"global_step":7}');
    } finally {
      rmSync(pins, { recursive: true, force: true });
    }
  });

  it('leaves nothing of a checkpoint that is not the one that was seen, or is gone', async () => {
    const { checkpoint, pins } = made();
    await expect(pin(checkpoint, pins, 'another', false)).rejects.toMatchObject({ code: 'E_INPUT_CHANGED' });
    rmSync(join(checkpoint, 'model-00002-of-00002.safetensors'));
    await expect(pin(checkpoint, pins, 'another', false)).rejects.toMatchObject({ code: 'E_SHARD_MISSING' });
    rmSync(checkpoint, { recursive: true });
    await expect(pin(checkpoint, pins, 'another', false)).rejects.toMatchObject({ code: 'E_INPUT_CHANGED' });
    expect(readdirSync(pins)).toEqual([]);
  });

  it('does not take over what it did not make, not even the same', async () => {
    const { checkpoint, pins } = made();
    const tensors = await tensorsOf(checkpoint);
    await pin(checkpoint, pins, tensors, false);
    await expect(pin(checkpoint, pins, tensors, false)).rejects.toMatchObject({ code: 'E_OUTPUT_EXISTS' });
  });

  it('takes the place of an older pin of its name, and of nothing else', async () => {
    const { checkpoint, pins } = made();
    const before = await pin(checkpoint, pins, await tensorsOf(checkpoint), false);
    rmSync(checkpoint, { recursive: true });
    writeCheckpoint(checkpoint, [[{ name: 'a', dtype: 'F32', shape: [9] }]], 5);
    const tensors = await tensorsOf(checkpoint);
    await expect(pin(checkpoint, pins, tensors, false)).rejects.toMatchObject({ code: 'E_OUTPUT_EXISTS' });
    expect(readdirSync(before)).toContain('model.safetensors.index.json');
    expect(await tensorsOf(await pin(checkpoint, pins, tensors, true))).toBe(tensors);
    expect(readdirSync(before)).not.toContain('model.safetensors.index.json');
  });
});
