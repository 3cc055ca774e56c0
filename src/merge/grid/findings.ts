import type { Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { mayBeSaving } from '../../checkpoints/run/reasons.ts';
import { plural } from '../../render/format.ts';
import type { Survey, SurveyedArm } from './types.ts';

/** Merges that a warning names. */
const SHOWN = 3;

/** What there is to say of a grid beside what its merges say of themselves. */
export function gridWarnings({ arms, passedOver }: Pick<Survey, 'arms' | 'passedOver'>): Warning[] {
  const crossing = arms.flatMap((arm) => (arm.state === 'missing' ? arm.flags.map((flag) => ({ arm, flag })) : []));
  const crossed = [...groupBy(crossing, ({ flag }) => flag)].map(
    ([flag, of]): Warning => ({ code: 'W_WINDOW_CROSSES', message: `${severalNames(of.map(({ arm }) => arm))}: ${flag}` }),
  );
  const gone = arms.filter(({ state }) => state === 'gone');
  const found = [...newerWarnings(passedOver), ...crossed];
  if (gone.length === 0) return found;
  const count = gone.length === 1 ? '1 merge is' : `${gone.length} merges are`;
  const message = `${count} not there as this grid makes them, and cannot be made, as members of them are not there any more: ${severalNames(gone)}`;
  return [...found, { code: 'W_GRID_GONE', message }];
}

/** What is left out of merges, where no plan of them says it. */
export function leftOutOfArms(arms: Survey['arms']): Warning[] {
  const left = arms.flatMap((arm) => arm.leftOut.map(({ name, reason }) => ({ arm, name, reason })));
  return [...groupBy(left, ({ name }) => name)].map(
    ([name, of]): Warning => ({
      code: 'W_LEFT_OUT_MEMBERS',
      message: `${name} is left out of ${severalNames(of.map(({ arm }) => arm))}: ${of[0]!.reason}`,
    }),
  );
}

function newerWarnings(passedOver: Survey['passedOver']): Warning[] {
  if (passedOver.length === 0) return [];
  const names = passedOver.slice(-SHOWN).map(({ path, reason }) => `${path} (${reason})`);
  const more = passedOver.length > SHOWN ? ` and ${plural(passedOver.length - SHOWN, 'other')}` : '';
  const wait = passedOver.some(({ reason }) => mayBeSaving(reason)) ? ', or wait for a save to end' : '';
  const message = `the newest merges end before what cannot be used: ${names.join(', ')}${more}; mend or remove it${wait}`;
  return [{ code: 'W_LEFT_OUT_MEMBERS', message }];
}

function severalNames(arms: readonly SurveyedArm[]): string {
  const names = arms.slice(0, SHOWN).map(({ name }) => name);
  return arms.length > SHOWN ? `${names.join(', ')} and ${plural(arms.length - SHOWN, 'other')}` : names.join(', ');
}
