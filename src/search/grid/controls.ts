import { groupBy } from '../../base/group-by.ts';
import { omit } from '../../base/pick.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { formatCount } from '../../render/format.ts';
import { formatDifference } from '../../render/numbers.ts';
import { difference } from '../conclusion/difference.ts';
import { NORMAL_95 } from '../gaussian-process/normal.ts';
import type { StudiedCombination } from '../study/trials-file.ts';
import type { PlacedArm } from './conclude.ts';
import { shapeText } from './words.ts';

/**
 * A line for each control that does as well as what it controls, or better, at half of the windows or more: whether
 * that is more than the scores err. What a control is beside a merge of which it is the very same is no comparison.
 */
export function controlNotes(arms: readonly PlacedArm[], goal: Goal): readonly string[] {
  const outputs = arms.flatMap(({ kind, is, score, recipe }) => (kind === 'output' ? is.map((one) => ({ one, score, recipe })) : []));
  const plain = new Map(outputs.flatMap((output) => (output.one.control ? [] : [[placeOf(output.one), output] as const])));
  const pairs = outputs.flatMap(({ one, score, recipe }) => {
    const other = one.control ? plain.get(placeOf(one)) : undefined;
    if (score === null || other === undefined || other.score === null || other.recipe === recipe) return [];
    const { gain, error } = difference(score, other.score, goal);
    return [{ shape: shapeText(one), reversed: one.axes.reverse !== undefined, gain, error }];
  });
  return [...groupBy(pairs, ({ shape }) => shape)].flatMap(([shape, of]) => noteOf(shape, of));
}

interface ControlPair {
  readonly reversed: boolean;
  /** Of the control over what it controls. */
  readonly gain: number;
  readonly error: number | null;
}

function noteOf(shape: string, of: readonly ControlPair[]): string[] {
  const well = of.filter(({ gain }) => gain >= 0);
  if (2 * well.length < of.length) return [];
  const beyond = well.filter(({ gain, error }) => error !== null && gain > NORMAL_95 * error);
  const at = (some: readonly ControlPair[]) =>
    `${formatCount(some.length)} of ${formatCount(of.length)} ${of.length === 1 ? 'window' : 'windows'}`;
  if (2 * beyond.length >= of.length) {
    const gains = beyond.map(({ gain }) => gain);
    const [least, most] = [formatDifference(Math.min(...gains)), formatDifference(Math.max(...gains))];
    const by = least === most ? least : `${least} to ${most}`;
    const said = of.every(({ reversed }) => reversed)
      ? 'these weights are the wrong way round here'
      : 'other orders of these weights are better here';
    return [`the control ${shape} is better than what it controls at ${at(beyond)} by more than scores err, by ${by}: ${said}`];
  }
  const judged = of.some(({ error }) => error !== null);
  const said =
    beyond.length > 0
      ? `by more than scores err at ${formatCount(beyond.length)}`
      : judged
        ? 'no sign that the order of these weights matters'
        : 'nothing tells how far scores err, and so whether the order of these weights matters';
  return [`the control ${shape} did as well as what it controls, or better, at ${at(well)}: ${said}`];
}

/** A combination without what makes it a control. */
function placeOf({ axes }: StudiedCombination): string {
  return JSON.stringify(Object.entries(omit(axes, ['reverse', 'scramble'])).sort());
}
