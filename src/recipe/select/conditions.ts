import { type Conflict, MergeError } from '../../base/errors.ts';
import { refuse } from '../../base/problems.ts';
import { parseQuantity } from '../../checkpoints/run/quantity.ts';
import type { Quantity, QuantityText, RunCheckpoint } from '../../checkpoints/run/types.ts';
import { label, nearest, placeText, type Shortlist } from './shortlist.ts';
import { positionsOf } from './spacing.ts';
import type { Selection } from './types.ts';

/** Only one stage. */
export function keepStage(shortlist: Shortlist, stage: number): void {
  const stages = stagesOf(shortlist.left);
  if (!stages.includes(stage)) {
    const known = stages.filter((s) => s !== null);
    const there = known.length === 0 ? 'its checkpoints have no stages' : `it has stage ${known.join(', ')}`;
    throw new MergeError('E_NO_MEMBERS', `${shortlist.run.path}: there is no stage ${stage}: ${there}`, {
      details: { file: shortlist.run.path, stages: known },
    });
  }
  shortlist.drop((checkpoint) =>
    checkpoint.stage === stage ? null : checkpoint.stage === null ? 'of no stage' : `of stage ${checkpoint.stage}`,
  );
}

export function stagesOf(checkpoints: readonly RunCheckpoint[]): (number | null)[] {
  return [...new Set(checkpoints.map(({ stage }) => stage))];
}

/** Exactly the steps named. All that are missing are reported at once, with what is near them. */
export function keepSteps(shortlist: Shortlist, steps: readonly number[]): void {
  const { run, left } = shortlist;
  const conflicts = steps.flatMap((step): Conflict[] => {
    const found = left.filter((checkpoint) => checkpoint.step === step);
    const epochs = new Set(found.map(({ epoch }) => epoch));
    if (epochs.size > 1) {
      const message = `step ${step} is in epochs ${[...epochs].join(', ')}: name the checkpoints one by one`;
      return [{ code: 'E_NO_MEMBERS', message }];
    }
    if (found.length === 1 || (found.length > 1 && found.every(({ stage }) => stage === found[0]!.stage))) return [];
    if (found.length > 1)
      return [
        {
          code: 'E_NO_MEMBERS',
          message: `step ${step} is in stages ${found.map(({ stage }) => stage ?? 'unknown').join(' and ')}: say which with stage`,
        },
      ];
    const excluded = run.excluded.find((other) => other.step === step);
    if (excluded !== undefined)
      return [{ code: 'E_NO_MEMBERS', message: `step ${step} is left out: ${excluded.reason}`, file: excluded.path }];
    const near = nearest(left, (checkpoint) => (checkpoint.step === null ? null : Math.abs(checkpoint.step - step)));
    return [{ code: 'E_NO_MEMBERS', message: `there is no step ${step}; nearest: ${near.map(label).join(' and ') || 'none'}` }];
  });
  const several = (count: number) => `${count} of the ${steps.length} steps named cannot be members`;
  refuse(conflicts, { several, lead: `${run.path}: `, file: run.path });
  const wanted = new Set<number | null>(steps);
  shortlist.drop(({ step }) => (wanted.has(step) ? null : 'not among the steps named'));
}

/** An end of the window. */
interface Bound {
  readonly at: Quantity;
  readonly text: string;
  readonly reason: string;
  /** How far beyond it a position lies; 0 or less within. */
  readonly beyond: (position: number) => number;
}

/** From, to and before. */
export function keepWindow(shortlist: Shortlist, { from, to, before }: Selection): void {
  const bounds = [
    ...bound(from, 'from', (at) => ({
      text: `from ${placeText(at)} on`,
      reason: `before the window, which begins at ${placeText(at)}`,
      beyond: (x) => at.value - x,
    })),
    ...bound(to, 'to', (at) => ({
      text: `up to ${placeText(at)}`,
      reason: `after the window, which ends at ${placeText(at)}`,
      beyond: (x) => x - at.value,
    })),
    // Positions are whole numbers.
    ...bound(before, 'before', (at) => ({
      text: `before ${placeText(at)}`,
      reason: `not before ${placeText(at)}`,
      beyond: (x) => x - at.value + 1,
    })),
  ];
  for (const { at, text } of bounds) shortlist.dropUnplaced(at.unit, text);
  const were = shortlist.left;
  const position = (checkpoint: RunCheckpoint, { at }: Bound) => positionsOf([checkpoint], at.unit)[0]!;
  shortlist.drop((checkpoint) => bounds.find((b) => b.beyond(position(checkpoint, b)) > 0)?.reason ?? null);
  if (shortlist.left.length > 0) return;
  const { unit } = bounds[0]!.at;
  const measured = bounds.filter(({ at }) => at.unit === unit);
  const far = (checkpoint: RunCheckpoint) => Math.max(...measured.map((b) => b.beyond(position(checkpoint, b))));
  throw shortlist.nothing(`lies ${bounds.map(({ text }) => text).join(' and ')}`, were, far);
}

function bound(text: QuantityText | undefined, name: string, describe: (at: Quantity) => Omit<Bound, 'at'>): Bound[] {
  if (text === undefined) return [];
  const at = parseQuantity(text, name);
  return [{ at, ...describe(at) }];
}
