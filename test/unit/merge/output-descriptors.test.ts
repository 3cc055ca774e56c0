import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { beginPublication } from '../../../src/merge/output/publication.ts';
import { descriptorsIn } from '../../support/descriptors.ts';
import {
  errorOf,
  failingRename,
  flaggedRename,
  interceptedFs,
  quickFs,
  request,
  temporaryFolder,
  writeAndJournal,
} from '../../support/publication.ts';

const openAround = (output: string) => descriptorsIn(dirname(output));
const there = existsSync('/proc/self/fd');

test.skipIf(!there)('an output on its way takes two descriptors, and gives them back', async () => {
  const output = join(temporaryFolder(), 'out');
  const publication = await beginPublication(request(output), { rename: flaggedRename, fs: quickFs });
  expect(openAround(output)).toBe(2);
  await writeAndJournal(publication, { 'model.safetensors': 'new' });
  await publication.finish();
  expect(openAround(output)).toBe(0);
});

test.skipIf(!there).each([
  ['new', false, flaggedRename],
  ['replaced', true, flaggedRename],
  ['replaced, where names cannot be exchanged', true, failingRename('EINVAL')],
])('%s: whichever call finds no descriptor left, none stays open', async (_, force, rename) => {
  for (let fails = 1; fails < 100; fails++) {
    const output = join(temporaryFolder(), 'out');
    const whole = await beginPublication(request(output), { rename: flaggedRename, fs: quickFs });
    await writeAndJournal(whole, { 'model.safetensors': 'old' });
    if (force) await whole.finish();
    else await whole.abandon({ keep: false });
    let calls = 0;
    const fs = interceptedFs((call) => {
      if (call === 'open' && ++calls === fails) throw Object.assign(new Error('EMFILE'), { errno: -24, code: 'EMFILE', syscall: 'open' });
    });
    const merge = async (): Promise<void> => {
      const publication = await beginPublication(request(output, { force }), { rename, fs });
      try {
        await writeAndJournal(publication, { 'model.safetensors': 'new' });
        await publication.finish();
      } catch (error) {
        await publication.abandon({ keep: false });
        throw error;
      }
    };
    const ended = await merge().then(
      () => null,
      (error: unknown) => error,
    );
    if (ended !== null) expect(await errorOf(Promise.reject(ended))).toMatchObject({ code: 'E_TOO_MANY_FILES' });
    expect(openAround(output)).toBe(0);
    if (ended !== null) expect(readdirSync(dirname(output))).toEqual(force ? ['out'] : []);
    if (calls < fails) return;
  }
  throw new Error('it never ended');
});
