import type { Moment, Position } from '../types.ts';

const KEYS = ['stage', 'ingredient', 'step'] as const;

/** The order of a run: by stage, ingredient and step as integers; unknown comes first. */
export function comparePositions(a: Position, b: Position): number {
  for (const key of KEYS) {
    const order = (a[key] ?? -1) - (b[key] ?? -1);
    if (order !== 0) return order;
  }
  return 0;
}

export function samePosition(a: Position, b: Position): boolean {
  return comparePositions(a, b) === 0;
}

/** `step 300`, `steps 300, 400`, and of many the first and the last. */
export function stepsText(checkpoints: readonly Pick<Moment, 'step' | 'path'>[]): string {
  const steps = checkpoints.map(({ step, path }) => step ?? path);
  if (steps.length === 1) return `step ${steps[0]}`;
  return steps.length > 5 ? `steps ${steps[0]} to ${steps.at(-1)}, ${steps.length} of them` : `steps ${steps.join(', ')}`;
}
