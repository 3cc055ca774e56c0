import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ClaimedTasks, type TaskList } from '../../../src/base/board/claimed-tasks.ts';
import { FolderBoard } from '../../../src/base/board/folder-board.ts';
import { Dropped, Presence } from '../../../src/base/board/presence.ts';
import { HeldFolder } from '../../../src/base/disk/held-folder.ts';
import { SYSTEM } from '../../../src/base/disk/system.ts';
import { temporaryFolder } from '../../support/safetensors.ts';

const TIMEOUT_MS = 100;

/** Does three tasks, during each of which the process stands still for longer than the time-out. */
async function stalled(onlyReads: boolean): Promise<readonly number[]> {
  const path = join(temporaryFolder(), 'board');
  mkdirSync(path, { mode: 0o700 });
  const folder = await HeldFolder.open(SYSTEM, path);
  const sign = { rank: 0, launch: null, host: 'a', bytesRead: 0, bytesWritten: 0, seconds: 0 };
  const presence = new Presence(await FolderBoard.join(SYSTEM, folder), TIMEOUT_MS, () => sign);
  const done = new Set<number>();
  const list: TaskList = {
    ...{ count: 3, onlyReads, nameOf: (task) => `t-${task}`, isFinished: (task) => done.has(task) },
    read: async () => (done.size === 3 ? 'over' : 'open'),
  };
  try {
    await presence.begin();
    for await (const next of new ClaimedTasks(presence, list, { rank: 0, size: 1, signal: undefined }).tasks(async () => {})) {
      for (const until = performance.now() + 2 * TIMEOUT_MS; performance.now() < until; );
      if (next !== null) done.add(next.task);
    }
    return [...done];
  } finally {
    await presence.end('left');
    await folder.close();
  }
}

it('a process that stalls goes on where tasks only read, and is dropped where they write', async () => {
  expect(await stalled(true)).toEqual([0, 1, 2]);
  await expect(stalled(false)).rejects.toBeInstanceOf(Dropped);
});

it.each([
  ['long ago is done as well at once', { task: 't-0', seconds: 100 }, { task: 0, isShared: true }],
  ['just now is left to it', { task: 't-0', seconds: 0 }, null],
  ['at a time that nobody says is left to it, until it was seen for long enough', null, null],
])('a task that another process began %s', async (_, doing, expected) => {
  const path = join(temporaryFolder(), 'board');
  mkdirSync(path, { mode: 0o700 });
  const folders = [await HeldFolder.open(SYSTEM, path), await HeldFolder.open(SYSTEM, path)];
  const sign = { rank: 0, launch: null, host: 'a', bytesRead: 0, bytesWritten: 0, seconds: 0 };
  const other = await FolderBoard.join(SYSTEM, folders[0]!);
  expect(await other.claim('t-0.0')).toBe(true);
  await other.beat({ ...sign, state: 'here', doing });
  const presence = new Presence(await FolderBoard.join(SYSTEM, folders[1]!), 600_000, () => sign);
  const list: TaskList = { count: 1, nameOf: (task) => `t-${task}`, isFinished: () => false, read: async () => 'open' };
  try {
    await presence.begin();
    const tasks = new ClaimedTasks(presence, list, { rank: 1, size: 2, signal: undefined }).tasks(async () => {});
    expect((await tasks.next()).value).toEqual(expected);
    await tasks.return(null);
  } finally {
    await presence.end('left');
    for (const folder of folders) await folder.close();
  }
});
