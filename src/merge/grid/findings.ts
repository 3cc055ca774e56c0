import type { Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { plural } from '../../render/format.ts';
import type { Survey, SurveyedArm } from './types.ts';

/** Merges that a warning names. */
const SHOWN = 3;

/** What there is to say of a grid beside what its merges say of themselves. */
export function gridWarnings({ arms }: Survey): Warning[] {
  const crossing = arms.flatMap((arm) => (arm.state === 'missing' ? arm.flags.map((flag) => ({ arm, flag })) : []));
  const crossed = [...groupBy(crossing, ({ flag }) => flag)].map(
    ([flag, of]): Warning => ({ code: 'W_WINDOW_CROSSES', message: `${severalNames(of.map(({ arm }) => arm))}: ${flag}` }),
  );
  const gone = arms.filter(({ state }) => state === 'gone');
  if (gone.length === 0) return crossed;
  const count = gone.length === 1 ? '1 merge is' : `${gone.length} merges are`;
  const message = `${count} not there as this grid makes them, and cannot be made, as members of them are not there any more: ${severalNames(gone)}`;
  return [...crossed, { code: 'W_GRID_GONE', message }];
}

function severalNames(arms: readonly SurveyedArm[]): string {
  const names = arms.slice(0, SHOWN).map(({ name }) => name);
  return arms.length > SHOWN ? `${names.join(', ')} and ${plural(arms.length - SHOWN, 'other')}` : names.join(', ');
}
