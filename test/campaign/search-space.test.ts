import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inOwnMounts, NO_MOUNTS, runShell } from '../support/faults-shell.ts';
import {
  FAST_SCORE,
  inTrial,
  removePlaces,
  runDisturbed,
  searchPlace,
  searchWords,
  trialsOf,
  wholeLines,
  worksIn,
} from '../support/searching.ts';

afterAll(removePlaces);

/** Mounts a small memory file system at `$small` in a mount namespace of the command's own. */
const onSmallDisk = (small: string, kib: number, line: string) => inOwnMounts(`mount -t tmpfs -o size=${kib}k none ${small} && ${line}`);

describe.concurrent('want of space', () => {
  it.skipIf(NO_MOUNTS !== null)('in the folder of the search: exit 6; what was scored is kept, and goes on with more room', async () => {
    const place = searchPlace();
    mkdirSync(place.dir);
    // Trials, logs and a page take more than 28 KiB. What is there is taken along before the mount goes.
    const saved = join(place.folder, 'saved');
    const line = onSmallDisk(place.dir, 28, `"$@"; r=$?; cp -a ${place.dir} ${saved}; exit $r`);
    const full = await runShell(line, searchWords(place));
    expect(full.code, full.stderr).toBe(6);
    expect(full.stderr).toContain('error[E_NO_SPACE]');
    expect(full.stderr).toContain(place.dir);
    const kept = wholeLines(join(saved, 'trials.jsonl'));
    expect(kept.length).toBeGreaterThan(0);
    rmSync(place.dir, { recursive: true });
    renameSync(saved, place.dir);
    const again = await runDisturbed([...searchWords(place), '--resume']);
    expect(again.code, again.stderr).toBe(0);
    expect(wholeLines(place.trials).slice(0, kept.length)).toEqual(kept);
    expect(worksIn(place)).toEqual([]);
  });

  it('for a line of the trials (a file size limit): exit 6, no torn line, and goes on without the limit', async () => {
    const place = searchPlace();
    // Of 1024 bytes: three of them hold about two trials; other files are smaller, or come later.
    const full = await runShell('ulimit -f 4; exec "$@"', searchWords(place));
    expect(full.code, full.stderr).toBe(6);
    const text = readFileSync(place.trials, 'utf8');
    expect(text.endsWith('\n')).toBe(true);
    expect(wholeLines(place.trials).length).toBeGreaterThan(0);
    const again = await runDisturbed([...searchWords(place), '--resume']);
    expect(again.code, again.stderr).toBe(0);
    expect(readFileSync(place.trials, 'utf8').startsWith(text)).toBe(true);
  });

  it.skipIf(NO_MOUNTS !== null)('for one merge, in the place that --work names: exit 6 before anything is scored', async () => {
    const place = searchPlace();
    const work = join(place.folder, 'work');
    mkdirSync(work);
    const { code, stderr } = await runShell(onSmallDisk(work, 4, 'exec "$@"'), searchWords(place, { work }));
    expect(code, stderr).toBe(6);
    expect(stderr).toContain(work);
    expect(stderr).toContain('--work');
    expect(trialsOf(place)).toEqual([]);
  });

  it.skipIf(NO_MOUNTS !== null)('that comes to be while it runs: exit 6, and goes on when there is room again', async () => {
    const place = searchPlace();
    const work = join(place.folder, 'work');
    mkdirSync(work);
    const fill = `if ${inTrial(2)} && ! [ -e ${place.folder}/filled ]; then touch ${place.folder}/filled; head -c 16M /dev/zero > ${work}/else; fi`;
    const words = searchWords(place, { work, eval: `${fill} 2> /dev/null; ${FAST_SCORE}` });
    const full = await runShell(onSmallDisk(work, 4096, 'exec "$@"'), words);
    expect(full.code, full.stderr).toBe(6);
    expect(trialsOf(place).length).toBeGreaterThanOrEqual(3);
    const again = await runShell(onSmallDisk(work, 4096, 'exec "$@"'), [...words, '--resume']);
    expect(again.code, again.stderr).toBe(0);
    expect(trialsOf(place)).toHaveLength(7);
  });

  it.skipIf(NO_MOUNTS !== null)('or of leave to write: a read-only folder ends it before anything is scored', async () => {
    const place = searchPlace();
    mkdirSync(place.dir);
    const line = inOwnMounts(`mount -t tmpfs none ${place.dir} && mount -o remount,ro ${place.dir} && exec "$@"`);
    const { code, stderr } = await runShell(line, searchWords(place));
    expect(code, stderr).toBe(1);
    expect(stderr).toContain('error[E_READ_ONLY]');
    expect(stderr).toContain(place.dir);
  });

  it.skipIf(NO_MOUNTS !== null).each([
    ['too small', 'mount -t tmpfs -o size=4k none /dev/shm'],
    ['read-only', 'mount -t tmpfs -o ro none /dev/shm'],
  ])('in memory (%s): merges go to the folder of the search', async (_, mount) => {
    const place = searchPlace();
    const line = inOwnMounts(`${mount} && exec "$@"`);
    const { code, stderr } = await runShell(
      line,
      searchWords(place, { work: false, eval: `echo {model} >> ${place.folder}/models; ${FAST_SCORE}` }),
    );
    expect(code, stderr).toBe(0);
    expect(readFileSync(join(place.folder, 'models'), 'utf8')).toContain(`${place.dir}/ckpt-merge-work-`);
    expect(readdirSync(place.dir).filter((name) => name.startsWith('ckpt-merge-work'))).toEqual([]);
  });
});
