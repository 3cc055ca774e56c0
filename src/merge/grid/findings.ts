import type { Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { parseQuantity } from '../../checkpoints/run/quantity.ts';
import { mayBeSaving } from '../../checkpoints/run/reasons.ts';
import type { Grid } from '../../recipe/grid/types.ts';
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
  const found = [...newerWarnings(passedOver), ...oneMemberWarnings(arms), ...crossed];
  if (gone.length === 0) return found;
  const count = gone.length === 1 ? '1 merge is' : `${gone.length} merges are`;
  const message = `${count} not there as this grid makes them, and cannot be made, as members of them are not there any more: ${severalNames(gone)}`;
  return [...found, { code: 'W_GRID_GONE', message }];
}

/**
 * {@link gridWarnings}, what is left out of the merges that are missing, and in which container these are made where
 * that needs saying.
 */
export function makingWarnings(survey: Pick<Survey, 'arms' | 'passedOver' | 'ofContainers'>): Warning[] {
  const { arms, ofContainers } = survey;
  const missing = arms.filter(({ state }) => state === 'missing');
  const told = ofContainers !== null && missing.length > 0 ? [ofContainers] : [];
  return [...gridWarnings(survey), ...leftOutOfArms(missing), ...told];
}

/** Windows with one member, by their widths: nobody asks for a copy but in so many words. */
function oneMemberWarnings(arms: readonly SurveyedArm[]): Warning[] {
  const alone = arms.flatMap((arm) => {
    if (arm.state !== 'missing' || arm.members.length > 1 || arm.leftOut.length > 0 || arm.same.some(isMeant)) return [];
    return [{ arm, window: String(arm.axes.window) }];
  });
  return [...groupBy(alone, ({ window }) => window)].map(([window, of]): Warning => {
    const { value, unit } = parseQuantity(window, 'window');
    const strided = of.every(({ arm }) => Number(arm.axes.stride) > 1) ? ' with such a stride' : '';
    const bare = unit === 'steps' ? `; a number without a unit is steps: tokens are as ${value}B, saves as ${value}ckpt` : '';
    const copies = of.length === 1 ? 'a copy of it' : 'each a copy of its own';
    const message = `the window ${window} has one member${strided}: ${severalNames(of.map(({ arm }) => arm))}, ${copies}${bare}`;
    return { code: 'W_ONE_MEMBER', message };
  });
}

/** Whether one member is what was asked for. */
function isMeant({ axes }: Pick<SurveyedArm, 'axes'>): boolean {
  return axes.members === 'top:1' || (axes.window === '1ckpt' && axes.stride === 1);
}

/** Without what is told of a dtype, where it is an axis: no output has another than was asked for. */
export function withoutAskedDtypes(warnings: readonly Warning[], { dtype }: Pick<Grid, 'dtype'>): readonly Warning[] {
  return dtype === undefined ? warnings : warnings.filter(({ code }) => code !== 'W_DTYPE_CHANGED');
}

/** What is left out of merges, by the save: each merge says it of itself. */
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
