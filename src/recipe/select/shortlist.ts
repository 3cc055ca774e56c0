import { MergeError } from '../../base/errors.ts';
import { shownName } from '../../checkpoints/position.ts';
import { countsAnew, stepLabel } from '../../checkpoints/run/position.ts';
import { aboutQuantity, formatQuantity } from '../../checkpoints/run/quantity.ts';
import type { Quantity, Run, RunCheckpoint } from '../../checkpoints/run/types.ts';
import { positionsOf } from './spacing.ts';

/** Why a checkpoint without a token count is left out of a selection by tokens. */
export const NO_TOKENS = 'its token count is not known';

/** The checkpoints of a run that are still candidates, why the others are not, and what there is to say. */
export class Shortlist {
  readonly run: Run;
  readonly reasons = new Map<RunCheckpoint, string>();
  readonly notes: string[] = [];
  /** Scores of those that were left out since others have better ones. */
  readonly outscored = new Map<RunCheckpoint, number>();
  /**
   * Those that were left out because nothing says where they stand in the unit of a condition, with the
   * reason.
   */
  readonly unplaced = new Map<RunCheckpoint, string>();
  left: readonly RunCheckpoint[];

  constructor(run: Run) {
    this.run = run;
    this.left = run.checkpoints;
  }

  /** Leaves out those that there is something against. */
  drop(reasonAgainst: (checkpoint: RunCheckpoint, index: number) => string | null): void {
    this.left = this.left.filter((checkpoint, i) => {
      const reason = reasonAgainst(checkpoint, i);
      if (reason !== null) this.reasons.set(checkpoint, reason);
      return reason === null;
    });
  }

  /**
   * Leaves out those whose position in a unit is unknown.
   * @throws MergeError E_NO_TOKENS, E_NO_POSITION where that is all of them
   */
  dropUnplaced(unit: Quantity['unit'], what: string): void {
    if (unit === 'checkpoints') return;
    const [key, noun] = unit === 'tokens' ? (['tokens', 'token count'] as const) : (['step', 'step'] as const);
    const { run, left } = this;
    const places = new Map(left.map((checkpoint) => [checkpoint, positionsOf([checkpoint], unit)[0]!]));
    const unknown = left.filter((checkpoint) => places.get(checkpoint) === null).length;
    if (unknown === 0) return;
    if (key === 'step' && left.some(countsAnew)) {
      throw new MergeError('E_NO_POSITION', `${run.path}: ${what} is in steps, and these begin anew in every epoch`, {
        details: { file: run.path },
        help: 'Say it in checkpoints (as 2ckpt) or in tokens, choose a number of them (--last), or name checkpoints one by one.',
      });
    }
    if (unknown === left.length) {
      const code = unit === 'tokens' ? 'E_NO_TOKENS' : 'E_NO_POSITION';
      throw new MergeError(code, `${run.path}: ${what} is in ${unit}, and no checkpoint has a known ${noun}`, {
        details: { file: run.path },
      });
    }
    const reason = unit === 'tokens' ? NO_TOKENS : `its ${noun} is not known`;
    for (const checkpoint of left) if (places.get(checkpoint) === null) this.unplaced.set(checkpoint, reason);
    this.drop((checkpoint) => this.unplaced.get(checkpoint) ?? null);
    this.notes.push(`${unknown} of ${left.length} checkpoints left out: the ${noun} is not known`);
  }

  /** The error of a condition that no candidate meets. */
  nothing(what: string, candidates: readonly RunCheckpoint[], farFrom: (checkpoint: RunCheckpoint) => number | null): MergeError {
    const near = nearest(candidates, farFrom);
    const [first, last] = [candidates[0]!, candidates.at(-1)!].map(labelWithTokens);
    const range = candidates.length === 1 ? `is only ${first}` : `are ${candidates.length}, ${first} to ${last}`;
    const message = `${this.run.path}: no checkpoint ${what}; there ${range}; nearest: ${near.map(labelWithTokens).join(' and ')}`;
    return new MergeError('E_NO_MEMBERS', message, { details: { file: this.run.path, nearest: near.map(({ path }) => path) } });
  }
}

/** What people call a checkpoint: `step 2000`, `stage 2, step 2000`, or its name where it has no step. */
export function label({ stage, ingredient, epoch, step, name, path }: RunCheckpoint): string {
  const of = [...(stage === null ? [] : [`stage ${stage}`]), ...(ingredient === null ? [] : [`ingredient ${ingredient}`])];
  return step === null ? shownName({ name, path }) : [...of, stepLabel({ epoch, step })].join(', ');
}

function labelWithTokens(checkpoint: RunCheckpoint): string {
  const { tokens } = checkpoint;
  return tokens === null ? label(checkpoint) : `${label(checkpoint)} (${placeText({ value: tokens, unit: 'tokens' })})`;
}

/** A place in a run, with all digits, as people type it again: `step 3000`, `12.288M tokens`. */
export function placeText({ value, unit }: Quantity): string {
  if (unit === 'steps') return `step ${value}`;
  return unit === 'tokens' ? `${formatQuantity({ value, unit }).replace(unit, '')} ${unit}` : aboutQuantity({ value, unit });
}

/** The two that are nearest, in their order. */
export function nearest(candidates: readonly RunCheckpoint[], farFrom: (checkpoint: RunCheckpoint) => number | null): RunCheckpoint[] {
  const measured = candidates.map((checkpoint, i) => ({ checkpoint, i, far: farFrom(checkpoint) ?? Number.POSITIVE_INFINITY }));
  const two = measured.toSorted((a, b) => a.far - b.far).slice(0, 2);
  return two.sort((a, b) => a.i - b.i).map(({ checkpoint }) => checkpoint);
}
