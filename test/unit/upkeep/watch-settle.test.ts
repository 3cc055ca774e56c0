import { mkdirSync, renameSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Settling, signatureOf } from '../../../src/upkeep/watch/settle.ts';
import { temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
let count = 0;
const checkpoint = () => writeCheckpoint(join(temporary.path, `checkpoint-${++count}`), [[{ name: 'a', dtype: 'F32', shape: [4] }]], 1);

describe('the signature of a checkpoint', () => {
  it('has a part for the weights that only weights and index change', async () => {
    const path = checkpoint();
    const before = (await signatureOf(path))!;
    writeFileSync(join(path, 'trainer_state.json'), '{}');
    const more = (await signatureOf(path))!;
    expect(more.tensors).toBe(before.tensors);
    expect(more.whole).not.toBe(before.whole);
    writeFileSync(join(path, 'model.safetensors.index.json'), '{}');
    expect((await signatureOf(path))!.tensors).not.toBe(before.tensors);
  });

  it('sees bytes that are written in place: the time of last change moves, the size does not', async () => {
    const path = checkpoint();
    const file = join(path, 'model.safetensors');
    utimesSync(file, 1000, 1000);
    const before = (await signatureOf(path))!;
    utimesSync(file, 1000, 1001);
    expect((await signatureOf(path))!.tensors).not.toBe(before.tensors);
  });

  it('is that of the files behind links, as in the cache of the Hub', async () => {
    const path = checkpoint();
    const linked = join(temporary.path, 'linked');
    mkdirSync(linked);
    for (const name of ['model.safetensors', 'config.json']) symlinkSync(join(path, name), join(linked, name));
    expect(await signatureOf(linked)).toEqual(await signatureOf(path));
  });

  it('is null where nothing is, or a link leads nowhere', async () => {
    expect(await signatureOf(join(temporary.path, 'nothing'))).toBeNull();
    const path = checkpoint();
    renameSync(join(path, 'model.safetensors'), join(path, 'gone'));
    symlinkSync('missing', join(path, 'model.safetensors'));
    expect(await signatureOf(path)).toBeNull();
  });
});

describe('settling', () => {
  it('takes two looks and all the seconds, from the last change on', () => {
    let now = 100;
    const settling = new Settling(10, () => now);
    const look = (whole: string, at: number) => {
      now = at;
      return settling.settled('a', { whole, tensors: '' });
    };
    expect(look('x', 100)).toBe(false);
    expect(look('x', 109.9)).toBe(false);
    expect(look('y', 110)).toBe(false);
    expect(look('y', 119)).toBe(false);
    expect(look('y', 120)).toBe(true);
    expect(look('x', 200)).toBe(false);
  });

  it('of no seconds still takes two looks', () => {
    const settling = new Settling(0, () => 0);
    expect(settling.settled('a', { whole: 'x', tensors: '' })).toBe(false);
    expect(settling.settled('a', { whole: 'x', tensors: '' })).toBe(true);
  });
});
