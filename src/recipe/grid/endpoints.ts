import type { Conflict } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { refuse } from '../../base/problems.ts';
import { parseQuantity } from '../../checkpoints/run/quantity.ts';
import type { QuantityText, Run } from '../../checkpoints/run/types.ts';
import { placeText } from '../select/shortlist.ts';
import { NEAR_ENOUGH } from '../select/spacing.ts';
import type { SaveLine } from './saves.ts';
import type { KnownSave } from './types.ts';

const EVERY = /^every:(.+)$/;

/** What of an entry follows `every:`; null where it is another entry. */
export function everyOf(entry: QuantityText): string | null {
  return EVERY.exec(String(entry))?.[1] ?? null;
}

/**
 * The saves at which windows end, oldest first. The newest save at or before a multiple is the same however
 * far the run has grown, once it has passed the multiple; what is broken ends nothing.
 *
 * @param line the saves in a unit
 * @throws MergeError E_NO_MEMBERS for a place that is none of a save, with the nearest
 */
export function endpointsOf(run: Run, saves: readonly KnownSave[], entries: readonly QuantityText[], line: LineOf): KnownSave[] {
  const usable = saves.filter(({ state }) => state !== 'broken');
  const newest = usable.findLast(({ state }) => state === 'here')!;
  const ends = new Set<KnownSave>();
  const wrong: Conflict[] = [];
  for (const entry of entries) {
    const every = everyOf(entry);
    if (entry === 'all') for (const save of usable) ends.add(save);
    if (entry === 'newest' || every !== null) ends.add(newest);
    if (entry === 'all' || entry === 'newest') continue;
    if (every === null) {
      const found = saveAt(run, usable, entry, line);
      if ('code' in found) wrong.push(found);
      else ends.add(found);
      continue;
    }
    const { value, unit } = parseQuantity(every, optionName('endpoints'));
    const { saves: placed, at } = line(unit as 'tokens' | 'steps', `${optionName('endpoints')} ${entry}`);
    const places = placed.flatMap((save, i) => (save.state === 'broken' ? [] : [{ save, place: at[i]! }]));
    for (const [i, { save, place }] of places.entries()) {
      // The first multiple that this save is at or before: it ends there unless a later one does.
      const multiple = Math.max(value, Math.ceil(place / value) * value);
      const next = places[i + 1]?.place;
      if (next === undefined ? multiple === place : multiple < next) ends.add(save);
    }
  }
  refuse(wrong, { several: (count) => `${count} endpoints are no saves of the run`, file: run.path });
  return saves.filter((save) => ends.has(save));
}

/** Saves in a unit. @param what asks for it, for messages */
export type LineOf = (unit: 'tokens' | 'steps', what: string) => SaveLine;

function saveAt(run: Run, usable: readonly KnownSave[], entry: QuantityText, line: LineOf): KnownSave | Conflict {
  const { value, unit } = parseQuantity(entry, optionName('endpoints'));
  const measured = line(unit as 'tokens' | 'steps', `${optionName('endpoints')} ${entry}`);
  const placed = measured.saves.flatMap((save, i) =>
    usable.includes(save) ? [{ save, off: Math.abs(measured.at[i]! - value), at: measured.at[i]! }] : [],
  );
  const near = placed.toSorted((a, b) => a.off - b.off);
  // Token counts lie where steps put them; a step is one or it is none.
  const allowed = unit === 'tokens' ? NEAR_ENOUGH * measured.interval : 0;
  if (near[0]!.off <= allowed) return near[0]!.save;
  const names = near
    .slice(0, 2)
    .toSorted((a, b) => a.at - b.at)
    .map(({ save, at }) => `${save.name} (${placeText({ value: at, unit })})`);
  const message = `${run.path}: no save is at ${placeText({ value, unit })}, which ${optionName('endpoints')} names; nearest: ${names.join(' and ')}`;
  return { code: 'E_NO_MEMBERS', message, file: run.path };
}
