import { groupBy } from '../../base/group-by.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { keysOf, omit, pick } from '../../base/pick.ts';
import { fingerprint } from '../../checkpoints/fingerprint.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import type { Run } from '../../checkpoints/run/types.ts';
import type { SurveyedArm } from '../../merge/grid/types.ts';
import { readWeightsFile } from '../../recipe/file/weights-file.ts';
import { PARAMETER_AXES, TREATMENT_AXES, valuesOf } from '../../recipe/grid/axes.ts';
import { expandGrid, sameWeights } from '../../recipe/grid/expand.ts';
import type { RecordedSave } from '../../recipe/grid/saves.ts';
import type { Combination, Grid, GridArm, KnownSave, OneOrMore } from '../../recipe/grid/types.ts';
import type { Policy } from '../../recipe/policy/types.ts';
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
 * first; the plain mean of each window at each endpoint; then all outputs. An output that is a plain mean by the rule
 * by which equal merges of a grid are one has the weights of that mean, so that both are one recipe.
 */
export async function askedArms(
  grid: Grid,
  { run, arms }: { readonly run: Run; readonly arms: readonly (GridArm & Partial<Pick<SurveyedArm, 'path' | 'state'>>)[] },
  recorded: readonly RecordedSave[],
): Promise<readonly AskedArm[]> {
  const gone = arms.flatMap(({ members }) => members.filter(({ state }) => state === 'gone'));
  const plain = await expandGrid(plainGrid(grid), run, { recorded: [...recorded, ...gone], all: true });
  const ends = new Map(
    plain.arms.flatMap(({ same, members }) => same.map(({ axes }) => [Number(axes.endpoint), members.at(-1)!] as const)),
  );
  const files = await policiesOfFiles(arms);
  const means = plain.arms.flatMap((arm) => armsOf('mean', arm, ends, files));
  const byPlace = groupBy(means, placeOf);
  const outputs = arms.flatMap((arm) =>
    armsOf('output', arm, ends, files).map((output) => {
      const mean = byPlace.get(placeOf(output))?.find(({ weights }) => sameWeights(weights, output.weights));
      return mean === undefined ? output : { ...output, weights: mean.weights };
    }),
  );
  const scored = new Map(outputs.map(({ endpoint }) => [endpoint, ends.get(endpoint)!] as const));
  const [newest, ...others] = [...scored.values()].sort((a, b) => b.step - a.step);
  return [...[newest!, ...others.reverse()].map((save) => aloneOf(save, grid.stage)), ...means, ...outputs];
}

/** Weights of single tensors from files, as the policies that they are. */
async function policiesOfFiles(arms: readonly GridArm[]): Promise<ReadonlyMap<string, readonly Policy[]>> {
  const named = [...new Set(arms.flatMap(({ treatment }) => treatment.weightsFile ?? []))];
  return new Map(await Promise.all(named.map(async (file) => [file, (await readWeightsFile(file)).policies] as const)));
}

/** What must be equal of two merges beside their weights. */
function placeOf({ members, treatment = {} }: AskedArm): string {
  return JSON.stringify([members.map(({ step }) => step), Object.entries(treatment).sort()]);
}

/** The plain mean of all saves of each window, treated as outputs are where all are treated alike. */
function plainGrid(grid: Grid): Grid {
  const several = TREATMENT_AXES.filter((name) => name === 'weightsFile' || valuesOf(grid[name] as OneOrMore<unknown>).length !== 1);
  const sets = Object.keys(grid.policies ?? {});
  const ofMembers = ['members', 'memberScores', 'memberMetrics', 'memberGoal', 'strides'];
  const others = [...ofMembers, 'controls', 'stageStarts', ...PARAMETER_AXES, ...several, ...(sets.length === 1 ? [] : ['policies'])];
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

/**
 * A merge at each endpoint that it ends at by its axes: of members that are chosen by their scores the newest may be an
 * older one, and the same may be the best of two windows.
 */
function armsOf(
  kind: 'mean' | 'output',
  arm: GridArm & Partial<Pick<SurveyedArm, 'path' | 'state'>>,
  ends: ReadonlyMap<number, KnownSave>,
  files: ReadonlyMap<string, readonly Policy[]>,
): AskedArm[] {
  const { name, axes, same, members, schedule, treatment, flags, path, state } = arm;
  const { policies, ...stored } = pick(treatment, ['dtype', 'router', 'policies']);
  const all = [...(policies ?? []), ...(files.get(treatment.weightsFile ?? '') ?? [])];
  const own = { ...stored, ...(all.length > 0 && { policies: all }) };
  const others = same.filter((other) => other.name !== name);
  return [...groupBy([{ name, axes }, ...others], (one) => Number(one.axes.endpoint))].map(([step, is]) => {
    const end = ends.get(step) ?? members.at(-1)!;
    return {
      kind,
      is: is.map(combinationOf),
      endpoint: end.step,
      tokens: end.tokens,
      flags,
      members,
      weights: [...schedule.weights],
      treatment: keysOf(own).length === 0 ? undefined : own,
      path: state === 'there' ? path! : null,
    };
  });
}

function combinationOf({ name, axes }: Pick<Combination, 'name' | 'axes'>): StudiedCombination {
  return { name, recipe: recipeOfName(name), axes, control: axes.reverse !== undefined || axes.scramble !== undefined };
}

/** The saves that are here, opened, oldest first. @throws what opening a checkpoint throws; `signal.reason` on an abort */
export async function membersHere(arms: readonly AskedArm[], signal: AbortSignal | undefined): Promise<StudyMember[]> {
  const saves = new Map(arms.flatMap(({ members }) => members.map((save) => [save.step, save] as const)));
  const here = [...saves.values()].filter(({ checkpoint }) => checkpoint !== null).sort((a, b) => a.step - b.step);
  return mapBounded(here, FINGERPRINTS_AT_ONCE, async ({ step, tokens, checkpoint: found }) => {
    signal?.throwIfAborted();
    const checkpoint = await openCheckpoint(found!.path);
    return { path: found!.path, step, tokens, fingerprint: await fingerprint(checkpoint, signal), checkpoint };
  });
}

/** Outputs that lie there as evaluators can load them. */
export async function lyingOutput({ path, endpoint, tokens }: AskedArm, signal: AbortSignal | undefined): Promise<StudyMember | null> {
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
