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
