import { mapBounded } from '../../base/map-bounded.ts';
import { keysOf, omit, pick } from '../../base/pick.ts';
import { fingerprint } from '../../checkpoints/fingerprint.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import type { Run } from '../../checkpoints/run/types.ts';
import type { SurveyedArm } from '../../merge/grid/types.ts';
import { PARAMETER_AXES, TREATMENT_AXES, valuesOf } from '../../recipe/grid/axes.ts';
import { expandGrid } from '../../recipe/grid/expand.ts';
import type { RecordedSave } from '../../recipe/grid/saves.ts';
import type { Combination, Grid, GridArm, KnownSave, OneOrMore } from '../../recipe/grid/types.ts';
import type { Candidate } from '../space/types.ts';
import { FINGERPRINTS_AT_ONCE, isLendable, type StudyMember } from '../study/members.ts';
import type { StudiedArm, StudiedCombination } from '../study/trials-file.ts';

/** What a grid scores, before it is known by its content. */
export interface AskedArm extends Omit<StudiedArm, 'recipe'> {
  /** Oldest first. */
  readonly members: readonly KnownSave[];
  /** One a member. */
  readonly weights: readonly number[];
  readonly treatment: Candidate['treatment'];
  /** Where it lies already; null where it is to be made. */
  readonly path: string | null;
}

/**
 * What is scored of a grid: each checkpoint that windows end at alone, newest first and then the others oldest
 * first; the plain mean of each window at each endpoint; then all outputs.
 */
export async function askedArms(
  grid: Grid,
  { run, arms }: { readonly run: Run; readonly arms: readonly (GridArm & Partial<Pick<SurveyedArm, 'path' | 'state'>>)[] },
  recorded: readonly RecordedSave[],
): Promise<readonly AskedArm[]> {
  const ends = new Map<number, KnownSave>();
  for (const { members } of arms) ends.set(members.at(-1)!.step, members.at(-1)!);
  const [newest, ...others] = [...ends.values()].sort((a, b) => b.step - a.step);
  const gone = arms.flatMap(({ members }) => members.filter(({ state }) => state === 'gone'));
  const means = await expandGrid(plainGrid(grid), run, { recorded: [...recorded, ...gone], all: true });
  return [
    ...[newest!, ...others.reverse()].map((save) => aloneOf(save, grid.stage)),
    ...means.arms.map((arm) => armOf('mean', arm)),
    ...arms.map((arm) => armOf('output', arm)),
  ];
}

/** The plain mean of each window, treated as outputs are where all are treated alike. */
function plainGrid(grid: Grid): Grid {
  const several = TREATMENT_AXES.filter((name) => valuesOf(grid[name] as OneOrMore<unknown>).length !== 1);
  const sets = Object.keys(grid.policies ?? {});
  const others = ['strides', 'controls', 'stageStarts', ...PARAMETER_AXES, ...several, ...(sets.length === 1 ? [] : ['policies'])];
  return { ...(omit(grid, others as (keyof Grid)[]) as Grid), method: 'sma' };
}

const END = /^(stage\d+-)?step\d+-/;

/** The name of an output without the endpoint. */
function recipeOfName(name: string): string {
  return name.replace(END, '$1');
}

/** What a checkpoint alone is called among outputs. */
function nameAlone(step: number, stage: number | undefined): string {
  return `${stage === undefined ? '' : `stage${stage}-`}step${step}`;
}

function aloneOf(save: KnownSave, stage: number | undefined): AskedArm {
  const { step, tokens } = save;
  return {
    kind: 'newest',
    is: [{ name: nameAlone(step, stage), recipe: 'newest', axes: { endpoint: step }, control: false }],
    endpoint: step,
    tokens,
    flags: [],
    members: [save],
    weights: [1],
    treatment: undefined,
    path: null,
  };
}

function armOf(kind: 'mean' | 'output', arm: GridArm & Partial<Pick<SurveyedArm, 'path' | 'state'>>): AskedArm {
  const { name, same, members, schedule, treatment, flags, path, state } = arm;
  const end = members.at(-1)!;
  const own = pick(treatment, ['dtype', 'router', 'policies']);
  const others = same.filter((other) => other.name !== name);
  return {
    kind,
    is: [{ ...arm }, ...others].map(combinationOf),
    endpoint: end.step,
    tokens: end.tokens,
    flags,
    members,
    weights: [...schedule.weights],
    treatment: keysOf(own).length === 0 ? undefined : own,
    path: state === 'there' ? path! : null,
  };
}

function combinationOf({ name, axes }: Pick<Combination, 'name' | 'axes'>): StudiedCombination {
  return { name, recipe: recipeOfName(name), axes, control: axes.reverse !== undefined || axes.scramble !== undefined };
}

/** The saves that are here, opened, oldest first. @throws what opening a checkpoint throws; `signal.reason` on an abort */
export async function membersHere(arms: readonly AskedArm[], signal: AbortSignal): Promise<StudyMember[]> {
  const saves = new Map(arms.flatMap(({ members }) => members.map((save) => [save.step, save] as const)));
  const here = [...saves.values()].filter(({ checkpoint }) => checkpoint !== null).sort((a, b) => a.step - b.step);
  return mapBounded(here, FINGERPRINTS_AT_ONCE, async ({ step, tokens, checkpoint: found }) => {
    signal.throwIfAborted();
    const checkpoint = await openCheckpoint(found!.path);
    return { path: found!.path, step, tokens, fingerprint: await fingerprint(checkpoint, signal), checkpoint };
  });
}

/** Outputs that lie there as evaluators can load them. */
export async function lyingOutput({ path, endpoint, tokens }: AskedArm, signal: AbortSignal): Promise<StudyMember | null> {
  if (path === null) return null;
  const checkpoint = await openCheckpoint(path);
  if (!isLendable(checkpoint)) return null;
  return { path, step: endpoint, tokens, fingerprint: await fingerprint(checkpoint, signal), checkpoint };
}

/** Over members by their steps; null where one of them is not among these. */
export function candidateOf({ members, weights, treatment }: AskedArm, place: ReadonlyMap<number, number>): Candidate | null {
  const of = members.map(({ step }) => place.get(step) ?? -1);
  if (of.includes(-1)) return null;
  const all = Array.from({ length: place.size }, () => 0);
  for (const [i, m] of of.entries()) all[m] = weights[i]!;
  return { weights: all, parts: [], of, ...(treatment !== undefined && { treatment }) };
}
