import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { HeldFolder } from '../../../src/base/disk/held-folder.ts';
import { SYSTEM } from '../../../src/base/disk/system.ts';
import { digestOf, removeMade, sweep } from '../../../src/upkeep/watch/made.ts';
import { makeWatchFolder, newState, readWatchState, StateWriter } from '../../../src/upkeep/watch/state.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';

const temporary = temporaryFolder();
const held: HeldFolder[] = [];
afterAll(async () => {
  for (const folder of held) await folder.close();
  temporary.remove();
});
let count = 0;
const folder = async (): Promise<{ path: string; own: HeldFolder }> => {
  const path = join(temporary.path, `merges-${++count}`);
  const own = await HeldFolder.open(SYSTEM, await makeWatchFolder(path));
  held.push(own);
  return { path, own };
};
const FILE = join('.merge-watch', 'state.json');

describe('the state of a watch', () => {
  it('comes back as it was', async () => {
    const { path, own } = await folder();
    expect(await readWatchState(own, '../run')).toBeNull();
    const state = newState('../run');
    state.done.set('__proto__', 'a').set('checkpoint-1', 'b');
    state.pins.add('checkpoint-1');
    state.merges.push({ output: 'merged-checkpoint-1', digest: 'd' });
    state.accumulator = { output: 'accumulator-checkpoint-1', digest: 'd', fingerprint: 'f', step: 1, tokens: null };
    await new StateWriter(own).save(state);
    expect(await readWatchState(own, '../run')).toEqual(state);
    expect(readdirSync(join(path, '.merge-watch'))).toEqual(['state.json']);
  });

  it('leaves nothing of a watch that was killed while writing it', async () => {
    const { path, own } = await folder();
    const draft = join(path, `${FILE}.draft`);
    writeFileSync(draft, '{"half":');
    expect(await readWatchState(own, '../run')).toBeNull();
    expect(existsSync(draft)).toBe(false);
  });

  it('is written in the order of the calls', async () => {
    const { own } = await folder();
    const writer = new StateWriter(own);
    const state = newState('../run');
    const saves = [];
    for (let i = 0; i < 20; i++) {
      state.done.set('last', String(i));
      saves.push(writer.save(state));
    }
    await Promise.all(saves);
    expect((await readWatchState(own, '../run'))!.done.get('last')).toBe('19');
  });

  it.each([
    ['text that is no JSON', '{', 'is not the state of a watch'],
    ['another version', '{"schema":"ckpt-merge/watch-state","version":2}', 'is not the state of a watch'],
  ])('is refused where it is %s', async (_, text, message) => {
    const { path, own } = await folder();
    writeFileSync(join(path, FILE), text);
    await expect(readWatchState(own, '../run')).rejects.toMatchObject({
      code: 'E_WATCH_STATE',
      message: expect.stringContaining(message),
    });
  });

  it('is refused for another run, naming both', async () => {
    const { own } = await folder();
    await new StateWriter(own).save(newState('../run-a'));
    await expect(readWatchState(own, '../run-b')).rejects.toMatchObject({
      code: 'E_WATCH_STATE',
      message: expect.stringMatching(/\.\.\/run-a.*\.\.\/run-b/),
    });
  });
});

describe('removing', () => {
  const provenance = (digest: string) =>
    JSON.stringify({
      schema: 'ckpt-merge/provenance',
      version: 1,
      tool: { name: 'ckpt-merge', version: '0' },
      recipe: {
        method: 'sma',
        alpha: null,
        parameters: {},
        normalized: false,
        dtype: null,
        allowMixedDtypes: false,
        like: null,
        for: 'inference',
        purpose: 'inference',
        optimizer: null,
        members: [{ name: 'a', path: null, step: 1, tokens: null, weight: 1, bytes: 4, fingerprint: 'f' }],
      },
      planDigest: digest,
      files: [],
      dtypeChanges: [],
      warnings: [],
      timings: null,
    });

  it('takes what is on record and nothing that has its name by chance', async () => {
    const { path, own } = await folder();
    for (const [name, digest] of [
      ['merged-1', 'one'],
      ['merged-2', 'another'],
    ] as const) {
      mkdirSync(join(path, name));
      writeFileSync(join(path, name, 'merge_provenance.json'), provenance(digest));
    }
    mkdirSync(join(path, 'merged-3'));
    const made = [1, 2, 3, 4].map((i) => ({ output: `merged-${i}`, digest: i === 1 ? 'one' : 'two' }));
    expect(await removeMade(path, own, made)).toEqual([join(path, 'merged-1')]);
    expect(readdirSync(path).sort()).toEqual(['.merge-watch', 'merged-2', 'merged-3']);
    expect(readdirSync(join(path, '.merge-watch'))).toEqual([]);
    expect(await digestOf(join(path, 'merged-2'))).toBe('another');
    expect(await digestOf(join(path, 'merged-3'))).toBeNull();
    expect(await digestOf(join(path, 'merged-4'))).toBeUndefined();
  });

  it('that was interrupted is ended by the next start', async () => {
    const { path, own } = await folder();
    mkdirSync(join(path, '.merge-watch', 'removed-0123456789ab', 'deep'), { recursive: true });
    writeFileSync(join(path, FILE), 'kept');
    await sweep(own);
    expect(existsSync(join(path, '.merge-watch', 'removed-0123456789ab'))).toBe(false);
    expect(readFileSync(join(path, FILE), 'utf8')).toBe('kept');
  });
});
