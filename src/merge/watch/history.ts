import { join } from 'node:path';
import { parseJson } from '../../base/json/parse.ts';
import { readExactly, storeOf } from '../../base/store/store.ts';
import type { WatchRecord } from './types.ts';

/** A line for each round. */
export const HISTORY_FILE = 'history.jsonl';

/** Of the end of the file, in which its last line lies: a member of a round takes some hundred bytes. */
const TAIL_BYTES = 2 ** 22;

/** The record of the last round in a watch's folder; null where there is none, or none that can be read. */
export async function lastRecord(output: string): Promise<WatchRecord | null> {
  try {
    const { storedRecord } = await import('./stored-state.ts');
    return storedRecord.parse(parseJson((await tail(join(output, HISTORY_FILE))).trimEnd().split('\n').at(-1)!));
  } catch {
    return null;
  }
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
