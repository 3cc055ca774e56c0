import { join } from 'node:path';
import { signOf } from '../../base/board/board.ts';
import { ClaimedTasks } from '../../base/board/claimed-tasks.ts';
import { FolderBoard } from '../../base/board/folder-board.ts';
import { Backoff, Presence } from '../../base/board/presence.ts';
import { isGoneError } from '../../base/disk/io-error.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import type { Rank } from '../../base/process/rank.ts';
import { shortDigest } from '../../base/short-digest.ts';
import { version } from '../../base/version.ts';
import { locate } from '../../merge/output/destination.ts';
import { holdShared, removeShared } from '../../merge/output/shared-publication.ts';
import type { CarryOut, Checks } from './checks.ts';

/** What ranks of one verification agree on. */
export interface SharedVerification {
  readonly path: string;
  /** What they verify, and how. */
  readonly subject: unknown;
  readonly rank: Rank;
  /** Milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Verifies together with every other process that was asked for the same: pieces are claimed on a board in a
 * hidden folder beside the checkpoint, which is written to by nobody. Every rank learns all that was found.
 * @throws what `work` throws; what another rank found wrong; E_OTHER_USER, E_READ_ONLY, E_IO for the folder
 */
export async function withRanks<T>(of: SharedVerification, work: (carryOut: CarryOut) => Promise<T>): Promise<T> {
  const backoff = new Backoff();
  for (let tries = 0; ; tries++) {
    try {
      return await once(of, work);
    } catch (error) {
      // The last of the others took the board away while this one was coming.
      const isOwn = error instanceof MergeError && error.details.rank === undefined;
      if (!isOwn || !(isGoneError(error) || error.code === 'E_TEMPORARY') || tries === MOST_TRIES) throw error;
      await backoff.pause(of.signal);
    }
  }
}

/** How often a rank begins again where the board was taken away in that moment. */
const MOST_TRIES = 12;

async function once<T>(of: SharedVerification, work: (carryOut: CarryOut) => Promise<T>): Promise<T> {
  const { path, subject, rank, timeout, signal } = of;
  const destination = await locate(path);
  const asked = JSON.stringify([version, destination.name, subject]);
  const place = await holdShared(SYSTEM, {
    destination,
    path: join(destination.parent, `.${destination.name.slice(0, 64)}.verify-${shortDigest(asked)}`),
  });
  const board = await FolderBoard.join(SYSTEM, place.folder);
  const nothing = { bytesRead: 0, bytesWritten: 0, seconds: 0 };
  const presence = new Presence(board, timeout, () => ({ ...signOf(rank), ...nothing }));
  let failed: MergeError | undefined;
  try {
    await presence.begin();
    return await work((checks) => carryOutTogether(checks, presence, rank, signal));
  } catch (error) {
    if (error instanceof MergeError && error.details.rank === undefined) failed = error;
    throw error;
  } finally {
    await presence.end(failed === undefined ? 'left' : { failed });
    await presence.look().catch(() => {});
    if (presence.atWork().length === 0) await removeShared(SYSTEM, place, false).catch(() => {});
    await place.folder.close();
  }
}

async function carryOutTogether(
  { name, count, carryOut, onDone }: Checks,
  presence: Presence,
  rank: Rank,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { board } = presence;
  const found = new Set<number>();
  const note = (check: number, value: number): void => {
    if (found.has(check)) return;
    found.add(check);
    onDone(check, value);
  };
  const read = async (): Promise<'open' | 'over'> => {
    for (const [id, lines] of await board.lines()) {
      if (!presence.believes(id)) continue;
      for (const line of lines) {
        const [of, check, value] = Array.isArray(line) ? (line as unknown[]) : [];
        if (of === name && Number.isSafeInteger(check) && (check as number) < count && typeof value === 'number')
          note(check as number, value);
      }
    }
    return found.size === count ? 'over' : 'open';
  };
  const list = {
    count,
    onlyReads: true,
    nameOf: (check: number) => `${name}-${check}`,
    isFinished: (check: number) => found.has(check),
    read,
  };
  const tasks = new ClaimedTasks(presence, list, { rank: rank.rank, size: rank.size, signal });
  for await (const next of tasks.tasks(async () => {})) {
    if (next === null) continue;
    const value = await carryOut(next.task);
    await board.append([name, next.task, value]);
    note(next.task, value);
  }
}
