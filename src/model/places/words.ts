import type { PairIdentity } from './types.ts';

/** Moves that are told one by one; of more, their number. */
const TOLD = 4;

/** `experts 2 and 5 changed places`, `experts moved: 0 to 3, 1 to 0, …`. */
export function movesText(moved: PairIdentity['moved']): string {
  const [first, second] = moved;
  if (moved.length === 2) return `experts ${first!.from} and ${second!.from} changed places`;
  const told = moved.slice(0, TOLD).map(({ from, to }) => `${from} to ${to}`);
  const more = moved.length > TOLD ? ` and ${moved.length - TOLD} more` : '';
  return `experts moved: ${told.join(', ')}${more}`;
}
