import type { Moment, Position } from '../types.ts';

/** What orders the checkpoints of one training. */
export type Place = Pick<Position, 'stage' | 'epoch' | 'step'>;

/** The order of a run: by stage, ingredient, epoch and step as integers; unknown comes first. */
export function comparePositions(a: Position, b: Position): number {
  return compare(a.stage, b.stage) || compare(a.ingredient, b.ingredient) || comparePlaces(a, b);
}

/** The order of one training, of whose ingredients nothing is known. */
export function comparePlaces(a: Place, b: Place): number {
  return compare(a.stage, b.stage) || compare(a.epoch, b.epoch) || compare(a.step, b.step);
}

function compare(a: number | null | undefined, b: number | null | undefined): number {
  return (a ?? -1) - (b ?? -1);
}

export function samePosition(a: Position, b: Position): boolean {
  return comparePositions(a, b) === 0;
}

type InEpoch = Pick<Position, 'epoch' | 'step'>;

/** Whether a step is one of its epoch, so that it is no distance from the beginning. */
export function countsAnew({ epoch, step }: InEpoch): boolean {
  return epoch !== undefined && epoch !== step;
}

/** `step 300`, where steps begin anew `epoch 1, step 300`, and of an epoch alone `epoch 1`; null where no step is known. */
export function stepLabel({ epoch, step }: InEpoch): string | null {
  if (step === null || epoch === undefined) return step === null ? null : `step ${step}`;
  return epoch === step ? `epoch ${epoch}` : `epoch ${epoch}, step ${step}`;
}

/** The same for a column of steps: `300`, `epoch 1, 300`, `epoch 1`. */
export function stepCell({ epoch, step }: InEpoch, format: (step: number) => string = String): string | null {
  if (step === null || epoch === undefined) return step === null ? null : format(step);
  return epoch === step ? `epoch ${epoch}` : `epoch ${epoch}, ${format(step)}`;
}

/** `step 300`, `steps 300, 400`, and of many the first and the last. */
export function stepsText(checkpoints: readonly Pick<Moment, 'epoch' | 'step' | 'path'>[]): string {
  if (checkpoints.some(({ epoch }) => epoch !== undefined)) {
    const labels = checkpoints.map((checkpoint) => stepLabel(checkpoint) ?? checkpoint.path);
    return labels.length > 5 ? `${labels[0]} to ${labels.at(-1)}, ${labels.length} of them` : labels.join('; ');
  }
  const steps = checkpoints.map(({ step, path }) => step ?? path);
  if (steps.length === 1) return `step ${steps[0]}`;
  return steps.length > 5 ? `steps ${steps[0]} to ${steps.at(-1)}, ${steps.length} of them` : `steps ${steps.join(', ')}`;
}
