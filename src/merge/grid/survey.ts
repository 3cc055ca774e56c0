import { join } from 'node:path';
import { type Conflict, MergeError, type Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { worded } from '../../base/option-words.ts';
import { keysOf, pick } from '../../base/pick.ts';
import { storeOf } from '../../base/store/store.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { discoverRun } from '../../checkpoints/run/discover.ts';
import { withTokens } from '../../checkpoints/run/token-source.ts';
import type { BrokenCheckpoint, Run } from '../../checkpoints/run/types.ts';
import { valuesOf } from '../../recipe/grid/axes.ts';
import { armsRecipe } from '../../recipe/grid/compile.ts';
import { everyOf } from '../../recipe/grid/endpoints.ts';
import { expandGrid } from '../../recipe/grid/expand.ts';
import type { RecordedSave } from '../../recipe/grid/saves.ts';
import type { Grid, GridArm } from '../../recipe/grid/types.ts';
import { TOKENS } from '../../recipe/options.ts';
import { leftOutWarnings } from '../../recipe/select/left-out.ts';
import { selectedByScore } from '../../recipe/select/scored.ts';
import { requestOfRuns } from '../members/resolve.ts';
import { buildPlan } from '../plan/build.ts';
import { severalContainers } from '../plan/outputs/one-format.ts';
import { type AskedMerge, requestDigest } from '../plan/request-digest.ts';
import type { OutputRequest, PlanRequest } from '../plan/types.ts';
import { copiedFrom } from '../record/copied-from.ts';
import type { Provenance } from '../record/provenance.ts';
import { recordedSaves, recordsIn } from './recorded.ts';
import { isRecordOf, recordedBytes } from './there.ts';
import type { GridOptions, Survey, SurveyedArm } from './types.ts';

/** Outputs that are compared with their plans at a time. */
const COMPARED_AT_ONCE = 128;

/** What a grid is asked of: the grid itself, and how it was asked for. */
export interface AskedGrid {
  readonly grid: Grid;
  readonly options: GridOptions;
  /** What ranks know the work by. */
  readonly asked: AskedMerge;
  readonly signal: AbortSignal | undefined;
  /** Saves that the run had, as others know: members of scored merges. */
  readonly recorded?: readonly RecordedSave[] | undefined;
}

/** The saves of the run, with their tokens. @throws what discovery and token sources throw */
export async function runOfGrid({ grid, signal }: Pick<AskedGrid, 'grid' | 'signal'>): Promise<Run> {
  const run = await discoverRun(grid.run, { signal, mixedDtypes: grid.allowMixedDtypes });
  const source = pick(grid, keysOf(TOKENS));
  return Object.keys(source).length === 0 ? run : withTokens(run, source);
}

/**
 * Which merges a grid comes to by now, and which of them are there: by their record and the sizes of their files.
 * @param isMade says of a record by itself that it is of this work
 * @throws MergeError E_OUTPUT_EXISTS where other merges are in the way and are not to be replaced; what
 *   {@link expandGrid} throws, and a plan of what is there
 */
export async function surveyGrid(work: AskedGrid, isMade: (record: Provenance, path: string) => boolean = () => false): Promise<Survey> {
  const { grid, options, signal } = work;
  const { output: folder } = options;
  const run = await runOfGrid(work);
  const records = await recordsIn(folder);
  const { arms, left, combinations } = await expandGrid(grid, run, {
    recorded: [...(work.recorded ?? []), ...recordedSaves(records, folder, { run: grid.run, stage: grid.stage })],
    all: options.yesAll,
  });
  const present = new Set(
    (
      (await storeOf(folder)
        .list(folder)
        .catch(() => null)) ?? []
    ).map(({ name }) => name),
  );
  const copies = new Copies();
  const surveyed: SurveyedArm[] = [];
  const compared: number[] = [];
  for (const arm of arms) {
    signal?.throwIfAborted();
    // Of several names it has the one that it was made under.
    const combination = arm.same.find(({ name }) => present.has(name)) ?? arm.same[0]!;
    const known: GridArm = { ...arm, ...combination };
    const path = join(folder, known.name);
    const isGone = arm.members.some(({ state }) => state === 'gone');
    const record = records.get(known.name);
    const isThere =
      record !== undefined &&
      (isGone || (await copies.among(known)) ? await isRecordOf(record, known, grid, signal) : isMade(record, path));
    const bytes = isThere ? await recordedBytes(path, record) : null;
    if (bytes === null && !isGone && present.has(known.name)) compared.push(surveyed.length);
    surveyed.push({ ...known, path, state: bytes !== null ? 'there' : isGone ? 'gone' : 'missing', bytes });
  }
  const ofContainers = await containersOf(
    grid,
    surveyed.filter(({ state }) => state !== 'gone'),
    copies,
  );
  const making: Grid = ofContainers === null ? grid : { ...grid, format: 'safetensors' };
  const formats = new Map<number, Grid['format']>();
  for (const i of compared) {
    // What was made while all saves were whole has their container.
    const recorded =
      ofContainers !== null && !(await copies.among(surveyed[i]!)) ? records.get(surveyed[i]!.name)?.recipe.format : undefined;
    formats.set(i, (recorded as Grid['format']) ?? making.format);
  }
  for (const [format, ofFormat] of groupBy(compared, (i) => formats.get(i))) {
    for (let at = 0; at < ofFormat.length; at += COMPARED_AT_ONCE) {
      const some = ofFormat.slice(at, at + COMPARED_AT_ONCE);
      const finished = await publishedOf({ ...work, grid: { ...grid, format } }, run, pickFrom(surveyed, some));
      for (const i of some) {
        const { path, name } = surveyed[i]!;
        const record = records.get(name);
        if (!finished.has(path) || record === undefined) continue;
        surveyed[i] = { ...surveyed[i]!, state: 'there', bytes: await recordedBytes(path, record) };
      }
    }
  }
  const own = new Set(arms.flatMap(({ same }) => same.map(({ name }) => name)));
  const others = [...records.keys()].filter((name) => !own.has(name)).sort();
  return { run, grid: making, ofContainers, arms: surveyed, left, combinations, passedOver: passedOver(grid, run), others };
}

function passedOver({ endpoints, stage }: Grid, { checkpoints, broken }: Run): readonly BrokenCheckpoint[] {
  const given = valuesOf(endpoints);
  if (given.length > 0 && !given.some((entry) => entry === 'newest' || entry === 'all' || everyOf(entry) !== null)) return [];
  const ofStage = (save: { readonly stage: number | null }) => stage === undefined || save.stage === stage;
  const newest = Math.max(...checkpoints.filter(ofStage).map(({ step }) => step!));
  return broken.filter((save) => ofStage(save) && save.step > newest);
}

/**
 * Whether and why all of a grid is safetensors though no container was asked for: it ends at copies of the model
 * alone, and at saves of another container.
 */
export async function containersOf(
  grid: Grid,
  arms: readonly Pick<SurveyedArm, 'path' | 'members'>[],
  copies = new Copies(),
): Promise<Warning | null> {
  const ofTrainer = valuesOf(grid.for).includes('resume') || valuesOf(grid.weightsFrom).includes('master');
  if (grid.format !== undefined || ofTrainer) return null;
  const [copied, whole] = [new Map<string, string>(), new Map<string, string>()];
  for (const { path, members } of arms) {
    const newest = members.at(-1)!.checkpoint;
    if (newest === null) continue;
    ((await copies.has(newest.path)) ? copied : whole).set(newest.path, path);
  }
  if (copied.size === 0 || whole.size === 0) return null;
  const ends = await Promise.all(
    [[...copied].at(-1)!, [...whole].at(-1)!].map(async ([newest, path]) => ({ path, newest: await openCheckpoint(newest) })),
  );
  return severalContainers(ends, { cut: grid.files !== undefined });
}

/** Which saves are copies of the model alone, each looked at once. */
class Copies {
  readonly #known = new Map<string, Promise<boolean>>();

  /** Whether some members of a merge are. */
  async among({ members }: GridArm): Promise<boolean> {
    for (const { checkpoint } of members) {
      if (checkpoint === null) continue;
      if (await this.has(checkpoint.path)) return true;
    }
    return false;
  }

  has(path: string): Promise<boolean> {
    let known = this.#known.get(path);
    if (known === undefined) {
      known = copiedFrom(path).then((from) => from !== null);
      this.#known.set(path, known);
    }
    return known;
  }
}

function pickFrom<T>(all: readonly T[], indices: readonly number[]): T[] {
  return indices.map((i) => all[i]!);
}

/** Of outputs in whose place something lies, those that are there as they would be made. @throws MergeError E_OUTPUT_EXISTS */
async function publishedOf(
  { grid, options, asked, signal }: AskedGrid,
  run: Run,
  arms: readonly SurveyedArm[],
): Promise<ReadonlySet<string>> {
  const request = await armsRequest(grid, run, arms, options.output, signal);
  const { memory, force, followLinks } = options;
  try {
    const plan = await buildPlan({ memory, force, followLinks, ...request, resume: true, recipe: asked }, signal);
    return new Set(plan.finished);
  } catch (error) {
    if (!(error instanceof MergeError) || error.code !== 'E_OUTPUT_EXISTS') throw error;
    const help = worded`--force replaces these, and leaves what is there of this grid as it is; or make the grid in another folder.`;
    throw new MergeError(error.code, error.message, {
      details: { ...error.details, conflicts: withHelp(error.details.conflicts, help) },
      help,
    });
  }
}

function withHelp(conflicts: readonly Conflict[] | undefined, help: string): readonly Conflict[] {
  return (conflicts ?? []).map((conflict) => ({ ...conflict, help }));
}

/** The request of some merges of a grid, of which what is left out is said. */
export async function armsRequest(
  grid: Grid,
  run: Run,
  arms: readonly GridArm[],
  folder: string,
  signal: AbortSignal | undefined,
): Promise<PlanRequest> {
  const request = await requestOfRuns([run], armsRecipe(grid, arms, folder), signal);
  return { ...request, outputs: request.outputs.map((output, k) => withLeftOut(output, run, arms[k]!)) };
}

function withLeftOut(
  output: OutputRequest,
  run: Run,
  { members, leftOut, chosenBy }: Pick<GridArm, 'members' | 'leftOut' | 'chosenBy'>,
): OutputRequest {
  const { selection } = output;
  if (selection === undefined) return output;
  if (chosenBy !== null) {
    const who = `the ${members.length === 1 ? 'member was' : `${members.length} members were`} chosen`;
    const own = selection.warnings.filter(({ code }) => code !== 'W_WINDOW_WIDE');
    const chosen = { ...selection, warnings: [...own, selectedByScore(who, chosenBy)] };
    return withLeftOut({ ...output, selection: chosen }, run, { members, leftOut, chosenBy: null });
  }
  if (leftOut.length === 0) return output;
  const report = { asked: members.length + leftOut.length, found: members.length, leftOut };
  const chosen = members.flatMap(({ checkpoint }) => checkpoint ?? []);
  const warnings: readonly Warning[] = leftOutWarnings([run], chosen, report, { selection: {}, exact: true });
  return { ...output, selection: { ...selection, report, warnings: [...warnings, ...selection.warnings] } };
}

/** Whether a record is of ranks that made this very grid. @param job digest of theirs, where the launcher names it */
export function madeByRanks(asked: AskedMerge, job: string | undefined): (record: Provenance, path: string) => boolean {
  return ({ request, timings }, path) => request === requestDigest(asked, path) && (job === undefined || timings?.job === job);
}
