import type { Position } from '../types.ts';

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
