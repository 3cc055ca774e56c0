import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { acquireLock } from '../../../src/base/disk/folder-lock.ts';
import { currentProcess } from '../../../src/base/disk/process-identity.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';

const WATCH = { name: 'watch', output: 'merges', code: 'E_BUSY', busy: 'is being watched', help: 'End the other watch.' } as const;

const temporary = temporaryFolder();
afterAll(temporary.remove);
let count = 0;
const folder = (): string => {
  const path = join(temporary.path, `watch-${++count}`);
  mkdirSync(path, 0o700);
  return path;
};
const owner = async (changes: object) => ({
  ...(await currentProcess()),
  id: 'aaaaaaaaaaaa',
  name: 'watch',
  kind: 'folder',
  identity: '',
  identityParts: { host: 'node-7' },
  parentsMade: 0,
  released: false,
  ...changes,
});
const leave = async (path: string, changes: object, heartbeatAge = 0) => {
  writeFileSync(join(path, 'owner-3.json'), JSON.stringify(await owner(changes)));
  writeFileSync(join(path, 'heartbeat'), '0');
  const then = Date.now() / 1000 - heartbeatAge;
  utimesSync(join(path, 'heartbeat'), then, then);
};

describe('the lock of a folder', () => {
  it('is for one at a time, and names who has it', async () => {
    const path = folder();
    const lock = await acquireLock(path, WATCH);
    await expect(acquireLock(path, WATCH)).rejects.toMatchObject({
      code: 'E_BUSY',
      exitCode: 75,
      message: `merges is being watched already, by process ${process.pid} on ${hostname()}`,
    });
    await lock.assertHeld();
    await lock.release();
    const next = await acquireLock(path, WATCH);
    await expect(lock.assertHeld()).rejects.toMatchObject({ code: 'E_BUSY' });
    await next.assertHeld();
    await next.release();
  });

  it('goes to one of many that start together', async () => {
    const path = folder();
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => acquireLock(path, WATCH)));
    const got = results.filter((result) => result.status === 'fulfilled');
    expect(got).toHaveLength(1);
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'E_BUSY' });
    await got[0]!.value.assertHeld();
    await got[0]!.value.release();
  });

  it('of a process that ended is taken over at once, and leaves one record', async () => {
    const path = folder();
    await leave(path, { startTime: '1' });
    const lock = await acquireLock(path, WATCH);
    await lock.assertHeld();
    expect(readdirSync(path).filter((name) => name.startsWith('owner'))).toEqual(['owner-4.json']);
    await lock.release();
    expect(JSON.parse(readFileSync(join(path, 'owner-4.json'), 'utf8'))).toMatchObject({ released: true });
  });

  it('of another machine is taken over a quarter of an hour after its last sign of life', async () => {
    const path = folder();
    await leave(path, { bootId: 'elsewhere' }, 14 * 60);
    await expect(acquireLock(path, WATCH)).rejects.toMatchObject({ message: expect.stringContaining('on node-7') });
    await leave(path, { bootId: 'elsewhere' }, 16 * 60);
    await (await acquireLock(path, WATCH)).release();
  });

  it('that another machine gave back is free', async () => {
    const path = folder();
    await leave(path, { bootId: 'elsewhere', released: true });
    await (await acquireLock(path, WATCH)).release();
  });

  it('is taken past a record that was left half written', async () => {
    const path = folder();
    writeFileSync(join(path, 'owner.json'), '{"id":');
    const lock = await acquireLock(path, WATCH);
    await lock.assertHeld();
    await lock.release();
  });
});
