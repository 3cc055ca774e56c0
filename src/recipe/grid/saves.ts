import { MergeError } from '../../base/errors.ts';
import { countsAnew } from '../../checkpoints/run/position.ts';
import type { Quantity, Run } from '../../checkpoints/run/types.ts';
import { stagesOf } from '../select/conditions.ts';
import { tokensAt } from '../select/left-out.ts';
import type { KnownSave } from './types.ts';

/** A save that an output records as a member. */
export type RecordedSave = Pick<KnownSave, 'name' | 'step' | 'tokens'>;

/**
 * The saves of a run, oldest first: those that can be merged, those that cannot be used, and those that are
 * gone and that outputs record.
 * @throws MergeError E_SIBLINGS, E_STAGES, E_NO_POSITION for runs whose saves have no order by step; E_NO_MEMBERS
 */
export function knownSaves(run: Run, stage: number | undefined, recorded: readonly RecordedSave[]): KnownSave[] {
  const details = { file: run.path };
  const here = run.checkpoints.filter((checkpoint) => stage === undefined || checkpoint.stage === stage);
  if (here.length === 0) {
    const what = stage === undefined ? 'there is no complete checkpoint' : `there is no checkpoint of stage ${stage}`;
    throw new MergeError('E_NO_MEMBERS', `${run.path}: ${what}`, { details });
  }
  if (here.some(({ ingredient }) => ingredient !== null)) {
    throw new MergeError('E_SIBLINGS', `${run.path}: its checkpoints are of several trainings from one start, and a grid is of one`, {
      details,
      help: 'Name the folder of one of them, or choose a --stage without ingredients.',
    });
  }
  const stages = stagesOf(here);
  if (stages.length > 1) {
    throw new MergeError('E_STAGES', `${run.path}: its stages (${stages.map((s) => s ?? 'unknown').join(', ')}) count their steps anew`, {
      details,
      help: 'Choose one with --stage.',
    });
  }
  const unknown = here.find((checkpoint) => checkpoint.step === null || countsAnew(checkpoint));
  if (unknown !== undefined) {
    const what = unknown.step === null ? 'the step is not known' : 'steps begin anew in every epoch';
    throw new MergeError('E_NO_POSITION', `${unknown.path}: ${what}, and the merges of a grid are named by steps`, {
      details: { file: unknown.path },
      help: 'Give the folders names such as checkpoint-1000, or write a recipe.',
    });
  }
  const saves = new Map<number, KnownSave>();
  for (const { name, step, tokens } of recorded) saves.set(step, { name, step, tokens, state: 'gone', checkpoint: null, reason: null });
  for (const broken of run.broken) {
    if (stage !== undefined && broken.stage !== stage) continue;
    const { name, step, tokens, reason } = broken;
    saves.set(step, {
      name,
      step,
      tokens: tokens ?? saves.get(step)?.tokens ?? tokensAt(here, broken),
      state: 'broken',
      checkpoint: null,
      reason,
    });
  }
  for (const checkpoint of here) {
    const { name, tokens } = checkpoint;
    const step = checkpoint.step!;
    saves.set(step, { name, step, tokens, state: 'here', checkpoint, reason: null });
  }
  return [...saves.values()].sort((a, b) => a.step - b.step);
}

/** Saves with their places in a unit, rising; those whose place is not known are left out. */
export class SaveLine {
  readonly unit: Quantity['unit'];
  readonly saves: readonly KnownSave[];
  readonly at: readonly number[];
  /** Median distance between neighbours. */
  readonly interval: number;

  /** @throws MergeError E_NO_TOKENS where no save has a place, E_ORDER where places fall */
  constructor(run: Run, saves: readonly KnownSave[], unit: 'tokens' | 'steps', what: string) {
    const place = (save: KnownSave) => (unit === 'steps' ? save.step : save.tokens);
    this.unit = unit;
    this.saves = saves.filter((save) => place(save) !== null);
    this.at = this.saves.map((save) => place(save)!);
    if (!this.saves.some(({ state }) => state === 'here')) {
      throw new MergeError('E_NO_TOKENS', `${run.path}: ${what} is in ${unit}, and no checkpoint has a known token count`, {
        details: { file: run.path },
      });
    }
    const falls = this.at.findIndex((position, i) => i > 0 && position <= this.at[i - 1]!);
    if (falls > 0) {
      const [before, after] = [falls - 1, falls].map((i) => `${this.saves[i]!.name} (${this.at[i]})`);
      throw new MergeError('E_ORDER', `${run.path}: ${what} cannot be measured: ${unit} do not rise from ${before} to ${after}`, {
        details: { file: run.path },
        help: 'Measure in another unit, or say what a step has with --tokens-per-step.',
      });
    }
    const gaps = this.at.slice(1).map((position, i) => position - this.at[i]!);
    this.interval = gaps.sort((a, b) => a - b)[gaps.length >> 1] ?? 0;
  }

  placeOf(save: KnownSave): number | null {
    const index = this.saves.indexOf(save);
    return index < 0 ? null : this.at[index]!;
  }
}
