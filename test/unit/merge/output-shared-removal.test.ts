import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SYSTEM, type System } from '../../../src/base/disk/system.ts';
import { holdShared, removeShared } from '../../../src/merge/output/shared-publication.ts';
import { sharedPlace } from '../../../src/merge/ranks/board-place.ts';
import { temporaryFolder } from '../../support/publication.ts';

/** A system in which something happens right before the partial itself is to go, the first time. */
function beforeItGoes(happens: (partial: string) => void): System {
  let isFirst = true;
  const rmdir = async (path: string): Promise<void> => {
    if (isFirst && path.includes('.partial-') && dirname(path).endsWith('out-folder')) {
      isFirst = false;
      happens(path);
    }
    return SYSTEM.fs.rmdir(path);
  };
  return { ...SYSTEM, fs: { ...SYSTEM.fs, rmdir } as System['fs'] };
}

describe('what ranks leave behind', () => {
  it.each([
    ['a sign of life that was on its way', (partial: string) => writeFileSync(join(partial, 'heartbeat'), '')],
    [
      'the last word of another rank',
      (partial: string) => {
        mkdirSync(join(partial, 'beats'), { recursive: true });
        writeFileSync(join(partial, 'beats', 'another'), '');
      },
    ],
  ])('goes, also where %s comes while it is removed', async (_, happens) => {
    const folder = join(temporaryFolder(), 'out-folder');
    mkdirSync(folder);
    const shared = await holdShared(SYSTEM, await sharedPlace(join(folder, 'out'), 'f'.repeat(64)));
    expect(readdirSync(folder)).toHaveLength(1);
    await removeShared(beforeItGoes(happens), shared, false);
    await shared.folder.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('stays with what is no part of a merge', async () => {
    const folder = join(temporaryFolder(), 'out-folder');
    mkdirSync(folder);
    const shared = await holdShared(SYSTEM, await sharedPlace(join(folder, 'out'), 'f'.repeat(64)));
    const own = join(shared.folder.path, 'notes of mine.txt');
    writeFileSync(own, '');
    await removeShared(SYSTEM, shared, false);
    await shared.folder.close();
    expect(existsSync(own)).toBe(true);
  });
});
