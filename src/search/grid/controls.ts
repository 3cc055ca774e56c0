import { groupBy } from '../../base/group-by.ts';
import { omit } from '../../base/pick.ts';
import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { formatCount } from '../../render/format.ts';
import type { StudiedCombination } from '../study/trials-file.ts';
import type { PlacedArm } from './conclude.ts';
import { shapeText } from './words.ts';

/** A line for each control that does as well as what it controls, or better, at half of the windows or more. */
export function controlNotes(arms: readonly PlacedArm[], goal: Goal): readonly string[] {
  const { sign } = directionOf(goal);
  const outputs = arms.flatMap(({ kind, is, score }) => (kind === 'output' ? is.map((one) => ({ one, score })) : []));
  const plain = new Map(outputs.flatMap(({ one, score }) => (one.control ? [] : [[placeOf(one), score] as const])));
  const pairs = outputs.flatMap(({ one, score }) => {
    const other = one.control ? plain.get(placeOf(one)) : undefined;
    return score === null || other == null ? [] : [{ shape: shapeText(one), gain: sign * (score.score - other.score) }];
  });
  return [...groupBy(pairs, ({ shape }) => shape)].flatMap(([shape, of]) => {
    const well = of.filter(({ gain }) => gain >= 0).length;
    if (2 * well < of.length) return [];
    const where = `${formatCount(well)} of ${formatCount(of.length)} ${of.length === 1 ? 'window' : 'windows'}`;
    return [
      `the control ${shape} did as well as what it controls, or better, at ${where}: no sign that the order of these weights matters`,
    ];
  });
}

/** A combination without what makes it a control. */
function placeOf({ axes }: StudiedCombination): string {
  return JSON.stringify(Object.entries(omit(axes, ['reverse', 'scramble'])).sort());
}
