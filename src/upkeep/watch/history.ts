import { join } from 'node:path';
import { otherUser } from '../../base/disk/folder-lock.ts';
import type { HeldFolder } from '../../base/disk/held-folder.ts';
import { onOutput } from '../../base/disk/io-error.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { parseJson } from '../../base/json/parse.ts';
import { readExactly, storeOf } from '../../base/store/store.ts';
import type { WatchRecord } from './types.ts';

/** A line for each round. */
export const HISTORY_FILE = 'history.jsonl';

/** Of the end of the file, in which its last line lies: a member of a round takes some hundred bytes. */
const TAIL_BYTES = 2 ** 22;

/**
 * Refuses a history that somebody else can write, or that leads elsewhere, before the first round.
 * @param folder that of the watch's lock @throws MergeError E_OTHER_USER; of the side of outputs
 */
export async function checkHistory(output: string, folder: HeldFolder): Promise<void> {
  const path = join(output, HISTORY_FILE);
  const there = await SYSTEM.fs.lstat(path).catch(() => null);
  if (there === null) return;
  const own = await onOutput('look at', output, () => SYSTEM.fs.stat(folder.here));
  if (there.isFile() && there.uid === own.uid) return;
  throw otherUser(path, `the watch in ${output}`);
}

/**
 * Lines of a round that a process wrote before it ended, as far as they can be read. @param most how many it has
 */
export async function recordsOfRound(
  output: string,
  most: number,
  { time, checkpoint }: Pick<WatchRecord, 'time' | 'checkpoint'>,
): Promise<readonly WatchRecord[]> {
  const text = await tail(join(output, HISTORY_FILE)).catch(() => '');
  const { storedRecord } = await import('./stored-state.ts');
  const found: WatchRecord[] = [];
  for (const line of text.trimEnd().split('\n').slice(-most)) {
    try {
      found.push(storedRecord.parse(parseJson(line)));
    } catch {
      // Torn, or begins before what was read.
    }
  }
  return found.filter((record) => record.time === time && record.checkpoint === checkpoint);
}

async function tail(path: string): Promise<string> {
  const file = await storeOf(path).open(path);
  try {
    const bytes = Buffer.allocUnsafe(Math.min(file.stat.size, TAIL_BYTES));
    await readExactly(file, bytes, file.stat.size - bytes.length);
    return bytes.toString();
  } finally {
    await file.close();
  }
}
