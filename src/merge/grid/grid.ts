import { join } from 'node:path';
import { MergeError, type Warning } from '../../base/errors.ts';
import { drain } from '../../base/event-stream.ts';
import type { Rank } from '../../base/process/rank.ts';
import { shortDigest } from '../../base/short-digest.ts';
import { armsRecipe } from '../../recipe/grid/compile.ts';
import { expandGrid } from '../../recipe/grid/expand.ts';
import type { Recipe } from '../../recipe/types.ts';
import type { MergeEvent, MergeResult } from '../engine/events.ts';
import { refuseUnsound } from '../members/look.ts';
import type { Plan, PlanRequest } from '../plan/types.ts';
import { isBegunByRanks } from '../ranks/board-place.ts';
import type { Planner } from '../ranks/shared-plan.ts';
import { checkMachine, plannedEvents, planResolved, rankFor } from '../run.ts';
import { makingWarnings, withoutAskedDtypes } from './findings.ts';
import { gridOf } from './options.ts';
import { gridOutput, missingBatches, planWholeGrid } from './plan.ts';
import { recordedSaves, recordsIn } from './recorded.ts';
import { type AskedGrid, armsRequest, containersOf, madeByRanks, runOfGrid, surveyGrid } from './survey.ts';
import type { GridEvent, GridOptions, GridOutput, GridPlan, GridResult, GridRunOptions, Survey } from './types.ts';

/**
 * Exactly what {@link grid} would make: every merge with its members and weights, what of it is there, and in which
 * reads the rest is made. Writes nothing.
 * @throws MergeError as {@link grid} does
 */
export async function planGrid(options: GridOptions, { signal }: Pick<GridRunOptions, 'signal'> = {}): Promise<GridPlan> {
  checkMachine(options);
  return (await planWholeGrid(askedFor('planGrid', options, signal))).document;
}

/**
 * The recipe that a grid stands for: `runRecipe` of it makes the same outputs, and of any one of them alone the same
 * bytes. Without merges whose members are not there any more.
 */
export async function gridRecipe(options: GridOptions, { signal }: Pick<GridRunOptions, 'signal'> = {}): Promise<Recipe> {
  const { grid, options: given } = askedFor('gridRecipe', options, signal);
  const records = await recordsIn(given.output);
  const run = await runOfGrid({ grid, signal });
  const recorded = recordedSaves(records, given.output, { run: grid.run, stage: grid.stage });
  const { arms } = await expandGrid(grid, run, { recorded, all: given.yesAll });
  const makeable = arms.filter(({ members }) => members.every(({ state }) => state === 'here'));
  const placed = makeable.map(({ members, name }) => ({ members, path: join(given.output, name) }));
  const several = await containersOf(grid, placed);
  return armsRecipe(several === null ? grid : { ...grid, format: 'safetensors' }, makeable, given.output);
}

/**
 * Makes what is missing of a grid: every combination of its axes over a run, in as few reads of the run as memory,
 * open files and space allow. Each output is byte for byte what its recipe makes alone, and appears whole or not at
 * all; one that is there as this grid makes it is left as it is.
 *
 * @throws MergeError E_OPTION for axes that contradict one another, E_GRID_SIZE, E_NO_MEMBERS, E_OUTPUT_EXISTS where
 *   other merges are in the way, E_NO_SPACE; what a merge throws; `signal.reason` when aborted, and what was made by
 *   then stays
 * @example await grid({ run: 'runs/dense', windows: ['125B', '250B'], endpoints: 'every:250B', decay: ['linear',
 * 'minus-sqrt'], controls: 'reverse', output: 'grid' });
 */
export async function grid(options: GridOptions, { signal, onEvent }: GridRunOptions = {}): Promise<GridResult> {
  return drain(gridEvents(options, { signal }), onEvent);
}

/** {@link grid} as a stream of typed events. Ending the iteration early ends the work. */
export async function* gridEvents(
  options: GridOptions,
  { signal }: Pick<GridRunOptions, 'signal'> = {},
): AsyncGenerator<GridEvent, GridResult> {
  const work = askedFor('grid', options, signal);
  checkMachine(options);
  const rank = rankFor({ ...options, signal });
  const isShared = rank !== null || options.launcher !== undefined || (options.ranks !== 'off' && (await isBegunByRanks(work.asked)));
  return yield* isShared ? byRanks(work, rank) : inBatches(work);
}

function askedFor(call: string, options: GridOptions, signal: AbortSignal | undefined): AskedGrid {
  const grid = gridOf(call, options);
  // The place of an output that is named by a step: beside it ranks meet, whatever the run has by then.
  const asked = { grid, outputs: [{ path: join(options.output, '{step}') }] };
  return { grid, options, asked, signal };
}

/** What came of reads, added up. */
class Made {
  readonly #outputs = new Map<string, { readonly bytesWritten: number; readonly batch: number | null }>();
  readonly #warnings = new Map<string, Warning>();
  readonly #grid: AskedGrid['grid'];
  #bytesRead = 0;
  #seconds = 0;
  #peak: number | null = null;

  constructor(grid: AskedGrid['grid']) {
    this.#grid = grid;
  }

  add(result: MergeResult, batch: number | null): void {
    for (const { path, bytesWritten } of result.outputs) this.#outputs.set(path, { bytesWritten, batch });
    this.warn(result.warnings);
    this.#bytesRead += result.bytesRead;
    this.#seconds += result.seconds;
    if (result.peakAnonBytes !== null) this.#peak = Math.max(this.#peak ?? 0, result.peakAnonBytes);
  }

  warn(warnings: readonly Warning[]): void {
    for (const warning of withoutAskedDtypes(warnings, this.#grid)) this.#warnings.set(warningKey(warning), warning);
  }

  of(path: string) {
    return this.#outputs.get(path);
  }

  result(
    plan: Omit<
      GridPlan,
      'schema' | 'peakMemoryBytes' | 'freeBytesNeeded' | 'freeBytesAvailable' | 'bytesRead' | 'bytesWritten' | 'warnings'
    >,
  ): GridResult {
    return {
      ...plan,
      schema: 'ckpt-merge/grid',
      bytesRead: this.#bytesRead,
      bytesWritten: [...this.#outputs.values()].reduce((sum, { bytesWritten }) => sum + bytesWritten, 0),
      seconds: this.#seconds,
      peakAnonBytes: this.#peak,
      warnings: [...this.#warnings.values()],
    };
  }
}

/** One process plans all of it, and makes batch after batch. */
async function* inBatches(work: AskedGrid): AsyncGenerator<GridEvent, GridResult> {
  const { options, signal } = work;
  const { document, batches } = await planWholeGrid(work);
  yield { type: 'plan', plan: document };
  const made = new Made(work.grid);
  made.warn(document.warnings);
  for (const [b, { request, batch, plan }] of batches.entries()) {
    yield { type: 'batch', number: b + 1, batch };
    const planner = plannerOf(work, async () => request, plan);
    made.add(yield* asMerge(plannedEvents(planner, [], { ...options, signal }, null), work.grid, { told: true }), b + 1);
  }
  const { schema, peakMemoryBytes, freeBytesNeeded, freeBytesAvailable, ...rest } = document;
  const result = made.result(rest);
  yield { type: 'done', result };
  return result;
}

/**
 * Ranks make batch after batch together, be they started with this very command or by it. Each batch is what is
 * missing when the first of them comes to it: they meet at one place whatever they know, who comes late joins the
 * batch that is under way, and so does who goes on with what ranks left.
 * @param rank this one; null where it starts them, or goes on alone
 */
async function* byRanks(work: AskedGrid, rank: Rank | null): AsyncGenerator<GridEvent, GridResult> {
  const { options, signal, asked, grid } = work;
  const { job = null } = rank ?? {};
  const jobDigest = job === null ? undefined : shortDigest(job);
  const look = () => surveyGrid(work, madeByRanks(asked, jobDigest));
  const made = new Made(grid);
  let survey = await look();
  if (options.strict) refuseUnsound(makingWarnings(survey));
  const before = new Set(survey.arms.flatMap(({ path, state }) => (state === 'there' ? [path] : [])));
  // Each rank on its own plans no more than it has to.
  yield { type: 'plan', plan: rank === null ? (await planWholeGrid(work)).document : ranksPlan(grid.run, survey) };
  made.warn(makingWarnings(survey));
  for (let last = ''; ; survey = await look()) {
    const [next] = await missingBatches(work, survey);
    if (next === undefined) break;
    const missing = missingIn(survey);
    if (missing === last) throw new MergeError('E_INTERNAL', `${missing}: made, and not there as they would be made`);
    last = missing;
    const resolve = async (): Promise<PlanRequest> => {
      const now = await look();
      const [batch = next] = await missingBatches(work, now);
      return armsRequest(now.grid, now.run, batch, options.output, signal);
    };
    try {
      made.add(yield* asMerge(plannedEvents(plannerOf(work, resolve, null), [], { ...options, signal }, rank), grid), null);
    } catch (error) {
      // Where another rank made it between the look and the plan of this one, the next look tells.
      if (!(error instanceof MergeError && error.code === 'E_OUTPUT_EXISTS') || missingIn(await look()) === missing) throw error;
    }
  }
  const { schema, peakMemoryBytes, freeBytesNeeded, freeBytesAvailable, ...rest } = ranksPlan(grid.run, survey);
  const outputs = rest.outputs.map(({ skipped, ...output }): GridOutput => {
    const own = made.of(output.path);
    return { ...output, ...own, ...(before.has(output.path) && { skipped: true as const }) };
  });
  const result = made.result({ ...rest, outputs });
  yield { type: 'done', result };
  return result;
}

function missingIn({ arms }: Survey): string {
  return arms.flatMap(({ name, state }) => (state === 'missing' ? [name] : [])).join();
}

/** What ranks know of a grid before they make it. */
function ranksPlan(run: string, survey: Survey): GridPlan {
  return {
    schema: 'ckpt-merge/grid-plan',
    version: 1,
    run,
    outputs: survey.arms.map((arm) => gridOutput(arm, undefined)),
    left: survey.left,
    others: survey.others,
    combinations: survey.combinations,
    batches: [],
    ...{ bytesRead: 0, bytesReadAlone: 0, bytesWritten: 0, peakMemoryBytes: 0, freeBytesNeeded: 0, freeBytesAvailable: 0 },
    warnings: makingWarnings(survey),
  };
}

/** @param plan that of the request, where it is known */
function plannerOf({ asked, options, signal }: AskedGrid, resolve: () => Promise<PlanRequest>, plan: Plan | null): Planner {
  return {
    recipe: asked,
    resolve,
    build: async (request, prepared) =>
      plan ?? (await planResolved(request, { recipe: asked, outside: [] }, { ...options, signal }, prepared)),
  };
}

/** @param told what the plan of the merge warns of was said with that of the grid */
async function* asMerge(
  events: AsyncGenerator<MergeEvent, MergeResult>,
  grid: AskedGrid['grid'],
  { told = false } = {},
): AsyncGenerator<GridEvent, MergeResult> {
  const said = new Set<string>();
  const isNews = (warning: Warning) => !said.has(warningKey(warning)) && withoutAskedDtypes([warning], grid).length > 0;
  for (;;) {
    const { value, done } = await events.next();
    if (done) return { ...value, warnings: value.warnings.filter(isNews) };
    if (value.type === 'plan' && told) for (const warning of value.plan.warnings) said.add(warningKey(warning));
    if (value.type === 'warning' && !isNews(value.warning)) continue;
    yield { type: 'merge', event: value };
  }
}

function warningKey({ code, message }: Warning): string {
  return `${code} ${message}`;
}
