import { normalCdf } from '../gaussian-process/normal.ts';
import type { NormalPart } from './arm-beliefs.ts';

/** Standard deviations beyond which no part of a mixture has any mass that counts. */
const REACH = 9;

/** Mean and standard deviation of a mixture, and the probability that it is above 0. */
export function summary(parts: readonly NormalPart[]): { mean: number; std: number; probability: number } {
  const mean = parts.reduce((sum, part) => sum + part.weight * part.mean, 0);
  const variance = parts.reduce((sum, part) => sum + part.weight * (part.std ** 2 + (part.mean - mean) ** 2), 0);
  // Of equal ones neither is above the other.
  const above = ({ mean: at, std }: NormalPart) => (std > 0 ? normalCdf(at / std) : (Math.sign(at) + 1) / 2);
  return { mean, std: Math.sqrt(variance), probability: parts.reduce((sum, part) => sum + part.weight * above(part), 0) };
}

/** The interval that leaves out as much of a mixture below as above. @param level as 0.95 */
export function centralInterval(parts: readonly NormalPart[], level: number): readonly [low: number, high: number] {
  const tail = (1 - level) / 2;
  return [quantile(parts, tail), quantile(parts, 1 - tail)];
}

function quantile(parts: readonly NormalPart[], p: number): number {
  let low = Math.min(...parts.map(({ mean, std }) => mean - REACH * std));
  let high = Math.max(...parts.map(({ mean, std }) => mean + REACH * std));
  const total = parts.reduce((sum, { weight }) => sum + weight, 0);
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    const below = parts.reduce(
      (sum, { weight, mean, std }) => sum + weight * (std > 0 ? normalCdf((middle - mean) / std) : Number(mean <= middle)),
      0,
    );
    if (below < p * total) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
