import { type Conflict, MergeError } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { refuse } from '../../base/problems.ts';
import type { QuantityText, Run } from '../../checkpoints/run/types.ts';
import { formatBytes } from '../../render/format.ts';
import { resolveWeights } from '../schedule/resolve.ts';
import type { ResolvedWeights, WeightRequest } from '../schedule/types.ts';
import { logCovers } from '../select/before-spike.ts';
import { learningRatePhase } from '../select/phase.ts';
import type { LeftOutMember, MemberScores } from '../select/types.ts';
import type { RecipeOutput } from '../types.ts';
import { combinations, controlsOf, schedulesOf, TREATMENT_AXES, topsOf, valuesOf } from './axes.ts';
import { bestOf, scoresOfMembers } from './best.ts';
import { crossings } from './crossings.ts';
import { endpointsOf } from './endpoints.ts';
import { armAxes, armName, type NamedArm } from './names.ts';
import { knownSaves, type RecordedSave, SaveLine } from './saves.ts';
import type { Arms, Combination, Grid, GridArm, KnownSave, LeftArm } from './types.ts';
import { savesOfWindow, strided } from './windows.ts';

/** Weights that differ by less are the same: reversed, those of a straight decay differ in their last bits. */
const SAME_WEIGHT = 1e-12;

/** Merges over which a grid needs a word of consent. */
const MOST_ARMS = 1000;
/** Bytes of a name, on every file system in use. */
const MOST_OF_NAME = 255;
/** Combinations of which not even the count is worth working out one by one. */
const MOST_COMBINATIONS = 100_000;

interface ExpandOptions {
  /** Saves that outputs record as members, here or not. */
  readonly recorded?: readonly RecordedSave[];
  /** Make more than {@link MOST_ARMS}. */
  readonly all?: boolean | undefined;
}

/**
 * The merges that a grid comes to over the saves of a run, in the order of its axes: endpoints, windows,
 * schedules, strides, controls, then what is stored. Reads the files that schedules name, nothing else.
 * @throws MergeError E_GRID_SIZE for more merges than anybody wants; E_NO_MEMBERS where a window fits nowhere;
 *   E_OPTION for names that collide; what {@link knownSaves}, {@link endpointsOf} and weights throw
 */
export async function expandGrid(grid: Grid, run: Run, { recorded = [], all = false }: ExpandOptions = {}): Promise<Arms> {
  const saves = knownSaves(run, grid.stage, recorded);
  const lines = new Map<string, SaveLine>();
  const line = (unit: 'tokens' | 'steps', what: string): SaveLine => {
    const found = lines.get(unit) ?? new SaveLine(run, saves, unit, what);
    lines.set(unit, found);
    return found;
  };
  const given = valuesOf(grid.endpoints);
  const ends = endpointsOf(run, saves, given.length === 0 ? ['newest'] : given, line);
  const [windows, schedules, controls] = [valuesOf(grid.windows), schedulesOf(grid), controlsOf(grid)];
  const strides = grid.strides === undefined ? [1] : valuesOf(grid.strides);
  const treatments = treatmentsOf(grid);
  const [tops, scores] = [topsOf(grid), await scoresOfMembers(grid)];
  const sizes = [ends.length, windows.length, schedules.length, strides.length, tops.length, controls.length, treatments.length];
  refuseMany(
    sizes.reduce((product, size) => product * size, 1),
    run,
    all,
  );

  const merges = new ArmsOf(run, grid);
  const left: LeftArm[] = [];
  for (const end of ends) {
    for (const window of windows) {
      const found = savesOfWindow(saves, end, window, line);
      if ('reason' in found) {
        left.push({ name: `step${end.step}-w${window}`, reason: found.reason });
        continue;
      }
      for (const stride of strides) {
        for (const top of tops) {
          const chosen = top === null ? null : bestOf(strided(found.saves, stride), top, scores!);
          if (chosen !== null && 'reason' in chosen) {
            left.push({ name: `step${end.step}-w${window}-top${top}`, reason: chosen.reason });
            continue;
          }
          const taken = chosen?.saves ?? strided(found.saves, stride);
          for (const schedule of schedules) {
            for (const control of controls) {
              for (const treatment of treatments) {
                await merges.add({ end, stage: grid.stage, window, schedule, stride, top, control, ...treatment }, taken, scores);
              }
            }
          }
        }
      }
    }
  }
  refuseNowhere(run, windows, left, ends);
  const arms = merges.finish();
  return { arms, left, combinations: merges.combinations };
}

type Treated = Pick<NamedArm, 'treatment' | 'policies'>;

function treatmentsOf(grid: Grid): readonly Treated[] {
  const axes = TREATMENT_AXES.flatMap((name) => (grid[name] === undefined ? [] : [[name, valuesOf<unknown>(grid[name])] as const]));
  const sets = Object.keys(grid.policies ?? {});
  const policies = sets.length === 0 ? [null] : sets;
  return combinations(axes).flatMap((treatment) => policies.map((name) => ({ treatment, policies: name })));
}

/** @throws MergeError E_GRID_SIZE */
function refuseMany(count: number, run: Run, all: boolean): void {
  if (count <= (all ? MOST_COMBINATIONS : MOST_ARMS)) return;
  const bytes = count * run.checkpoints.at(-1)!.bytes;
  const help =
    count > MOST_COMBINATIONS
      ? `More than ${MOST_COMBINATIONS} are made by no grid: leave out values of some axes.`
      : worded`Leave out values of some axes; --yes-all makes them all the same.`;
  throw new MergeError('E_GRID_SIZE', `the grid has ${count} outputs, about ${formatBytes(bytes)}`, {
    details: { file: run.path, outputs: count, bytes },
    help,
  });
}

/** Windows that fit at no endpoint are a mistake; at some, the run was too young. @throws MergeError E_NO_MEMBERS */
function refuseNowhere(run: Run, windows: readonly QuantityText[], left: readonly LeftArm[], ends: readonly KnownSave[]): void {
  const nowhere = windows.flatMap((window): Conflict[] => {
    const of = left.filter(({ name }) => name.endsWith(`-w${window}`));
    if (of.length < ends.length) return [];
    return [
      { code: 'E_NO_MEMBERS', message: `${run.path}: the window ${window} fits at no endpoint: ${of.at(-1)!.reason}`, file: run.path },
    ];
  });
  refuse(nowhere, { several: (count) => `${count} windows fit at no endpoint` });
}

/** Merges as they are found: equal ones become one, of all their names. */
class ArmsOf {
  readonly #run: Run;
  readonly #grid: Grid;
  readonly #arms: (GridArm & { same: Combination[] })[] = [];
  /** By what must be equal beside weights. */
  readonly #alike = new Map<string, (GridArm & { same: Combination[] })[]>();
  readonly #weighed = new Map<string, ResolvedWeights | null>();
  readonly #flags = new Map<string, readonly string[]>();
  readonly #wrong: Conflict[] = [];
  readonly #named = new Map<string, string>();
  combinations = 0;

  constructor(run: Run, grid: Grid) {
    this.#run = run;
    this.#grid = grid;
  }

  async add(named: NamedArm, saves: readonly KnownSave[], scores: MemberScores | null): Promise<void> {
    this.combinations++;
    const members = saves.filter(({ state }) => state !== 'broken');
    const steps = members.map(({ step }) => step).join();
    const schedule = await this.#weigh({ ...named.schedule, ...named.control }, members, steps);
    if (schedule === null) return;
    const name = armName(named);
    const key = JSON.stringify([steps, named.treatment, named.policies]);
    this.#refuseName(name, JSON.stringify([key, named.schedule, named.control, named.stride, named.top, named.window]));
    const alike = this.#alike.get(key) ?? [];
    const policies = named.policies === null ? undefined : this.#grid.policies?.[named.policies];
    const combination: Combination = {
      name,
      axes: armAxes(named),
      schedule,
      treatment: {
        ...named.schedule,
        ...named.control,
        ...(named.treatment as Partial<RecipeOutput>),
        ...(policies !== undefined && policies.length > 0 && { policies }),
      },
    };
    const same = alike.find((arm) => sameWeights(arm.schedule.weights, schedule.weights));
    if (same !== undefined) {
      if (!same.same.some((other) => other.name === name)) same.same.push(combination);
      return;
    }
    const arm = {
      ...combination,
      same: [combination],
      members,
      chosenBy: named.top === null || scores === null ? null : { source: scores.source, what: scores.what },
      flags: this.#flagsOf(members, steps),
      leftOut: saves.flatMap(({ state, name, step, reason }): LeftOutMember[] =>
        state === 'broken' ? [{ name, step, reason: reason!, newer: step > members.at(-1)!.step }] : [],
      ),
    };
    this.#arms.push(arm);
    this.#alike.set(key, [...alike, arm]);
  }

  /** @throws MergeError with all that is wrong with weights and names */
  finish(): readonly GridArm[] {
    const distinct = [...new Map(this.#wrong.map((conflict) => [conflict.message, conflict])).values()];
    refuse(distinct, { several: (count) => `${count} merges of the grid cannot be made` });
    return this.#arms;
  }

  async #weigh(request: WeightRequest, members: readonly KnownSave[], steps: string): Promise<ResolvedWeights | null> {
    const key = JSON.stringify([request, steps]);
    const before = this.#weighed.get(key);
    if (before !== undefined) return before;
    const weighed = await resolveWeights(
      members.map(({ name, step, tokens, checkpoint }) => ({ path: checkpoint?.path ?? name, step, tokens })),
      request,
      this.#contextOf(members),
    ).catch((error: unknown) => {
      if (!(error instanceof MergeError)) throw error;
      const { code, message, help, details } = error;
      this.#wrong.push({ code, message, help, ...(details.file !== undefined && { file: details.file }) });
      return null;
    });
    this.#weighed.set(key, weighed);
    return weighed;
  }

  #contextOf(members: readonly KnownSave[]) {
    const newest = members.at(-1)!.checkpoint;
    const log = newest !== null && logCovers(this.#run, newest) ? this.#run.log : [];
    return { log, phase: learningRatePhase(log, members[0]!.step, members.at(-1)!.step), siblings: false };
  }

  #flagsOf(members: readonly KnownSave[], steps: string): readonly string[] {
    const known = this.#flags.get(steps) ?? crossings(this.#run, members, valuesOf(this.#grid.stageStarts));
    this.#flags.set(steps, known);
    return known;
  }

  /** A name that no folder can have, and two values that one does not tell apart, as files of one name in two folders. */
  #refuseName(name: string, what: string): void {
    if (Buffer.byteLength(name) > MOST_OF_NAME) {
      const message = `a merge of the grid would be called ${name}, which is longer than the ${MOST_OF_NAME} bytes that a file system takes`;
      this.#wrong.push({ code: 'E_OPTION', message, help: 'Give files that are values of an axis shorter names.' });
    }
    const before = this.#named.get(name);
    this.#named.set(name, before ?? what);
    if (before === undefined || before === what) return;
    const message = `two merges of the grid would be called ${name}: some of its values differ in nothing that a name tells`;
    this.#wrong.push({ code: 'E_OPTION', message, help: 'Give each value once; of files the names count, not the folders.' });
  }
}

/** Whether two merges of the same members are one by their weights. */
export function sameWeights(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  return Array.from(a).every((weight, i) => Math.abs(weight - b[i]!) <= SAME_WEIGHT);
}
