import type { Conflict } from '../../base/errors.ts';
import { refuse } from '../../base/problems.ts';
import { lineAndNumber, textLines } from '../../base/store/text-lines.ts';

/** A point of a learning-rate curve, and the line of its file. */
export interface RatePoint {
  readonly step: number;
  readonly rate: number;
  readonly line?: number;
}

/** Problems of a file after which no more are looked for. */
const MOST_PROBLEMS = 100;

const NUMBER = /^[+-]?(\d+(?:\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;

/**
 * Decay factors w_1 … w_k from a file: numbers separated by commas or white space, or a JSON list; `#` begins
 * a comment.
 *
 * @param count k, one factor for each member but the oldest
 * @throws MergeError E_DECAY, with all problems and their lines, when there are more or fewer, one is no
 *   number, rises or leaves [0, 1]; E_NOT_FOUND, E_NOT_READABLE
 */
export async function readDecayFactors(path: string, count: number): Promise<number[]> {
  const problems: string[] = [];
  const factors: number[] = [];
  let before = 1;
  for (const { line, text } of await textLines(path)) {
    for (const cell of text.match(/[^\s,[\]]+/g) ?? []) {
      if (problems.length >= MOST_PROBLEMS) break;
      const factor = NUMBER.test(cell) ? Number(cell) : Number.NaN;
      if (Number.isNaN(factor)) problems.push(`${lineAndNumber(line, cell)} is no number`);
      else if (factor < 0 || factor > 1) problems.push(`line ${line}: ${factor} is outside [0, 1]`);
      else if (factor > before) problems.push(`line ${line}: ${factor} is more than the ${before} before it, and a decay never rises`);
      else before = factor;
      factors.push(factor);
    }
  }
  if (factors.length !== count && problems.length < MOST_PROBLEMS) {
    problems.push(`there are ${factors.length} factors for ${count + 1} members: one for each but the oldest, ${count}, is right`);
  }
  refuseFile(path, problems);
  return factors;
}

/**
 * A learning-rate curve from a CSV file with the columns step,lr; a first line of names and `#` comments may
 * be there.
 *
 * @throws MergeError E_DECAY, with all problems and their lines, for a line that is not two numbers, a step
 *   that is not a whole number or not above the one before, a rate that is negative or not finite, no points
 *   at all; E_NOT_FOUND, E_NOT_READABLE
 */
export async function readRateCurve(path: string): Promise<RatePoint[]> {
  const problems: string[] = [];
  const points: RatePoint[] = [];
  for (const [i, { line, text }] of (await textLines(path)).entries()) {
    if (i === 0 && /^step\s*,\s*(lr|learning_rate|rate)$/i.test(text)) continue;
    if (problems.length >= MOST_PROBLEMS) break;
    const cells = text.split(',').map((cell) => cell.trim());
    const [step, rate] = cells.map((cell) => (NUMBER.test(cell) ? Number(cell) : Number.NaN));
    const last = points.at(-1);
    if (cells.length !== 2) problems.push(`${lineAndNumber(line, text)} is not step,lr`);
    else if (!Number.isSafeInteger(step) || step! < 0) problems.push(`${lineAndNumber(line, cells[0]!)} is no step`);
    else if (!Number.isFinite(rate) || rate! < 0) problems.push(`${lineAndNumber(line, cells[1]!)} is no learning rate`);
    else if (last !== undefined && step! <= last.step)
      problems.push(`line ${line}: step ${step} is not above step ${last.step} of line ${last.line}`);
    else points.push({ step: step!, rate: rate!, line });
  }
  if (points.length === 0 && problems.length === 0) problems.push('there are no lines of step,lr');
  refuseFile(path, problems);
  return points;
}

function refuseFile(file: string, problems: readonly string[]): void {
  const conflicts = problems.map((message): Conflict => ({ code: 'E_DECAY', message: `${file}: ${message}`, file }));
  refuse(conflicts, { several: (count) => `${file} has ${count} problems` });
}
