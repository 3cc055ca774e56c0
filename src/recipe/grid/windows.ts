import { optionName } from '../../base/option-words.ts';
import { aboutQuantity, parseDistance } from '../../checkpoints/run/quantity.ts';
import type { QuantityText } from '../../checkpoints/run/types.ts';
import type { LineOf } from './endpoints.ts';
import type { KnownSave } from './types.ts';

/** Saves of a window, oldest first, broken ones among them, or why there is no such window. */
export type WindowSaves = { readonly saves: readonly KnownSave[] } | { readonly reason: string };

/** Median distances that may lie between the beginning of a window and its first save. */
const COVERED_WITHIN = 1.5;

/**
 * The saves in (T − W, T], T the place of the last one: of a window in checkpoints the last so many that can
 * be used. A window that reaches back beyond the training, or of whose beginning the run has no saves, is none:
 * it would be a narrower one under a wide one's name.
 */
export function savesOfWindow(saves: readonly KnownSave[], end: KnownSave, text: QuantityText, line: LineOf): WindowSaves {
  const { value, unit } = parseDistance(text, optionName('windows'));
  const upTo = saves.slice(0, saves.indexOf(end) + 1);
  if (unit === 'checkpoints') {
    const first = upTo.filter(({ state }) => state !== 'broken').at(-value);
    if (first === undefined || !Number.isInteger(value)) return { reason: `the run has fewer than ${value} saves up to there` };
    return { saves: upTo.slice(upTo.indexOf(first)) };
  }
  const measured = line(unit, `${optionName('windows')} ${text}`);
  const newest = measured.placeOf(end);
  if (newest === null) return { reason: `the ${unit} of ${end.name} are not known` };
  const begin = newest - value;
  const about = (amount: number) => aboutQuantity({ value: amount, unit });
  if (begin < -measured.interval)
    return {
      reason: `a window of ${about(value)} is wider than the run, which is ${about(newest)} long there${bareText(text, value, unit)}`,
    };
  const inside = measured.saves.filter((_, i) => measured.at[i]! > begin && measured.at[i]! <= newest);
  const first = measured.placeOf(inside[0]!)!;
  if (first - Math.max(begin, 0) > COVERED_WITHIN * measured.interval) {
    return { reason: `the saves begin ${about(first - Math.max(begin, 0))} after the window does` };
  }
  return { saves: inside };
}

/** Of a number without a unit that may have been meant as tokens. */
function bareText(text: QuantityText, value: number, unit: string): string {
  return unit === 'steps' && /^\d+$/.test(String(text)) ? `; a number without a unit is steps, and tokens are written ${value}tokens` : '';
}

/** Every so many of them, counted back from the last. */
export function strided(saves: readonly KnownSave[], stride: number): readonly KnownSave[] {
  return saves.filter((_, i) => (saves.length - 1 - i) % stride === 0);
}
