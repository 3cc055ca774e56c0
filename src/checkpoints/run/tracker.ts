import { basename, join, parse } from 'node:path';
import { readStart } from '../../base/store/store.ts';
import { positionFromName } from '../names.ts';
import type { BrokenCheckpoint, RunCheckpoint } from './types.ts';

/**
 * Files in which trainers keep the name of the newest checkpoint: Megatron-LM and verl, nanotron, DeepSpeed.
 */
export const TRACKERS: ReadonlySet<string> = new Set(['latest_checkpointed_iteration.txt', 'latest.txt', 'latest']);

/** A path at most, or some JSON around it. */
const MOST_BYTES = 8192;

/**
 * What a tracker names: its text, of a path the last part, of JSON each text and number in it. Without what editors and
 * other languages leave around it (a byte order mark, NUL, quotes). Empty where it cannot be read.
 */
export async function trackedNames(path: string): Promise<string[]> {
  const start = await readStart(path, MOST_BYTES).catch(() => null);
  const text = (start?.toString('utf8') ?? '').replace(/[\ufeff\0]/g, '').trim();
  const words = textsIn(text).flatMap((said) => {
    const name = basename(said.trim());
    // As users of a single file, or of a folder inside a save, write it.
    return [said.trim(), name, parse(name).name, ...said.split('/')];
  });
  return [...new Set(words)].filter((word) => word !== '' && word !== '.' && word !== '..');
}

function textsIn(text: string): string[] {
  const inside = (value: unknown): string[] => {
    if (typeof value === 'string' || typeof value === 'number') return [String(value)];
    return typeof value === 'object' && value !== null ? Object.values(value).flatMap(inside) : [];
  };
  try {
    return inside(JSON.parse(text));
  } catch {
    return text.split(/[\r\n]+/);
  }
}

/**
 * The checkpoint that a run's own tracker names and that is not there, where it is newer than all that are;
 * null where the tracker and the run agree, or there is none.
 * @param names what lies in the run
 * @param known every checkpoint of which anything is there
 * @param newest of those that can be used
 */
export async function missingNewest(
  run: string,
  names: readonly string[],
  known: readonly { readonly step: number | null }[],
  newest: Pick<RunCheckpoint, 'stage' | 'ingredient' | 'epoch' | 'step' | 'name'>,
): Promise<BrokenCheckpoint | null> {
  // Where steps begin anew a number says nothing.
  if (newest.stage !== null || newest.ingredient !== null || newest.epoch !== undefined) return null;
  for (const tracker of names) {
    if (!TRACKERS.has(tracker)) continue;
    const start = await readStart(join(run, tracker), 256).catch(() => null);
    const said = (start?.toString('utf8') ?? '').replace(/[\ufeff\0]/g, '').trim();
    if (!/^[\w.=-]{1,200}$/.test(said)) continue;
    const step = positionFromName(said)?.step ?? null;
    if (step === null || known.some((one) => one.step === step) || step <= (newest.step ?? step)) continue;
    const name = /^\d+$/.test(said) ? sameForm(newest.name, said) : said;
    const reason = `not there, and ${tracker} names it as the newest`;
    return { path: join(run, name), name, stage: null, ingredient: null, step, tokens: null, reason };
  }
  return null;
}

/** What a step of this number is called in a run of which another is called so: `iter_0000400`. */
function sameForm(name: string, number: string): string {
  return name.replace(/\d+(?!.*\d)/, (digits) => number.padStart(digits.length, '0'));
}
