import { MergeError, type Warning } from '../../base/errors.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { refuseUnsound } from '../members/look.ts';
import type { Plan, PlanRequest } from '../plan/types.ts';
import { planWarnings, type Warned } from '../plan/warnings.ts';
import { planResolved } from '../run.ts';
import { batchesOf } from './batches.ts';
import { bytesBeside, mostOutputs } from './bounds.ts';
import { makingWarnings, withoutAskedDtypes } from './findings.ts';
import { type AskedGrid, armsRequest, surveyGrid } from './survey.ts';
import type { GridBatch, GridOutput, GridPlan, Survey, SurveyedArm } from './types.ts';

/** A read that is to come. */
export interface PlannedBatch {
  readonly request: PlanRequest;
  readonly batch: GridBatch;
  /** Where it is the only one: plans of many outputs are large. */
  readonly plan: Plan | null;
}

export interface PlannedGrid {
  readonly document: GridPlan;
  readonly batches: readonly PlannedBatch[];
}

/** What is to be made of a grid, in the batches in which it is read. */
export async function missingBatches({ options }: AskedGrid, { run, arms }: Survey): Promise<SurveyedArm[][]> {
  const missing = arms.filter(({ state }) => state === 'missing');
  if (missing.length === 0) return [];
  const { tensorCount } = await openCheckpoint(run.checkpoints.at(-1)!.path);
  const index = new Map(run.checkpoints.map((checkpoint, i) => [checkpoint, i]));
  const readers = missing.map(({ members }) => ({ members: members.map(({ checkpoint }) => index.get(checkpoint!)!) }));
  const bytes = run.checkpoints.map((checkpoint) => checkpoint.bytes);
  return batchesOf(readers, mostOutputs(options, tensorCount), bytes).map((batch) => batch.map((i) => missing[i]!));
}

/**
 * Everything that a grid is to make, batch by batch, and what of it is there. Reads headers and samples; writes
 * nothing.
 * @throws MergeError E_NO_SPACE where there is no room for all of it; every conflict of the first batch that has any
 */
export async function planWholeGrid(work: AskedGrid): Promise<PlannedGrid> {
  return planSurveyed(work, await surveyGrid(work));
}

/**
 * {@link planWholeGrid} of what a survey found.
 * @param unplaced nothing is made in the folder of the grid: neither room there nor what lies there counts
 */
export async function planSurveyed(work: AskedGrid, survey: Survey, { unplaced = false } = {}): Promise<PlannedGrid> {
  const { grid, options, asked, signal } = work;
  if (options.strict) refuseUnsound(makingWarnings(survey));
  const batches = await missingBatches(work, survey);
  const planned: PlannedBatch[] = [];
  const outputs = new Map<string, Pick<GridOutput, 'bytesWritten' | 'batch'>>();
  const warned: Warned[] = [];
  const together: Warning[] = [];
  const seen = new Set<string>();
  const space = { needed: 0, available: Number.POSITIVE_INFINITY, peak: 0, alone: 0 };
  for (const [b, arms] of batches.entries()) {
    const asRequested = await armsRequest(survey.grid, survey.run, arms, options.output, signal);
    const request = unplaced ? { ...asRequested, unplaced } : asRequested;
    const plan = await planResolved(request, { recipe: asked, outside: [] }, { ...options, signal }).catch((error: unknown) => {
      throw error instanceof MergeError && error.code === 'E_NO_SPACE' ? noSpace(error, batches, options.output) : error;
    });
    for (const { path, bytes } of plan.outputs) outputs.set(path, { bytesWritten: bytes, batch: b + 1 });
    warned.push(...plan.outputs.map(({ path, schedule, selection, warnings }) => ({ path, schedule, selection, warnings })));
    together.push(...(plan.together ?? []));
    space.needed += plan.freeBytesNeeded;
    space.available = Math.min(space.available, plan.freeBytesAvailable);
    space.peak = Math.max(space.peak, plan.peakMemoryBytes + bytesBeside(plan.outputs.length, plan.tensors));
    space.alone += plan.outputs.reduce(
      (sum, { members, used }) => sum + members.reduce((s, m, i) => s + (used[i] ? plan.members[m]!.bytes : 0), 0),
      0,
    );
    const read = plan.members.filter(({ participates }) => participates);
    const again = read.filter(({ path }) => seen.has(path));
    for (const { path } of read) seen.add(path);
    const batch: GridBatch = {
      outputs: arms.map(({ name }) => name),
      members: read.length,
      bytesRead: plan.bytesRead,
      bytesWritten: plan.bytesWritten,
      rereads: again.length,
      bytesReread: again.reduce((sum, { bytes }) => sum + bytes, 0),
    };
    planned.push({ request, batch, plan: batches.length === 1 ? plan : null });
  }
  if (!unplaced && space.needed > space.available) throw tooLittle(space.needed, space.available, [...outputs.values()], options.output);
  const all = planned.map(({ batch }) => batch);
  const document: GridPlan = {
    schema: 'ckpt-merge/grid-plan',
    version: 1,
    run: grid.run,
    outputs: survey.arms.map((arm) => gridOutput(arm, outputs.get(arm.path))),
    left: survey.left,
    others: survey.others,
    combinations: survey.combinations,
    batches: all,
    bytesRead: all.reduce((sum, { bytesRead }) => sum + bytesRead, 0),
    bytesReadAlone: space.alone,
    bytesWritten: all.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0),
    peakMemoryBytes: space.peak,
    freeBytesNeeded: space.needed,
    freeBytesAvailable: all.length === 0 ? 0 : space.available,
    warnings: [
      ...withoutAskedDtypes(distinct([...planWarnings(warned.map(withoutLeftOut)), ...together]), grid),
      ...makingWarnings(survey),
    ],
  };
  return { document, batches: planned };
}

/** What is left out is told by the save, and not by the output. */
function withoutLeftOut(output: Warned): Warned {
  return { ...output, warnings: output.warnings.filter(({ code }) => code !== 'W_LEFT_OUT_MEMBERS') };
}

/** Each warning once, though several batches may have it. */
function distinct(warnings: readonly Warning[]): Warning[] {
  return [...new Map(warnings.map((warning) => [`${warning.code} ${warning.message}`, warning])).values()];
}

/** A merge of a grid as documents have it. */
export function gridOutput(arm: SurveyedArm, made: Pick<GridOutput, 'bytesWritten' | 'batch'> | undefined): GridOutput {
  const { name, same, path, axes, schedule, members, leftOut, flags, state } = arm;
  return {
    name,
    names: [name, ...same.map((other) => other.name).filter((other) => other !== name)],
    path,
    axes,
    method: schedule.method,
    parameters: schedule.parameters,
    members: members.map(({ name, step, tokens, checkpoint }, i) => ({
      path: checkpoint?.path ?? name,
      step,
      tokens,
      weight: schedule.weights[i]!,
    })),
    asked: members.length + leftOut.length,
    found: members.length,
    leftOut,
    bytesWritten: made?.bytesWritten ?? null,
    batch: made?.batch ?? null,
    ...(state === 'there' && { skipped: true as const }),
    ...(state === 'gone' && { gone: members.flatMap((member) => (member.state === 'gone' ? [member.name] : [])) }),
    flags,
  };
}

function noSpace(error: MergeError, batches: readonly (readonly SurveyedArm[])[], folder: string): MergeError {
  const count = batches.reduce((sum, { length }) => sum + length, 0);
  const message = `${folder}: there is no room for the ${count} outputs that are missing: ${error.message}`;
  return new MergeError('E_NO_SPACE', message, { details: error.details, help: FREE });
}

const FREE = 'Free space, make the grid on another disk, or leave out values of some axes: what is there by then is not made again.';

function tooLittle(needed: number, available: number, outputs: readonly Pick<GridOutput, 'bytesWritten'>[], folder: string): MergeError {
  const each = needed / outputs.length;
  const message = `${folder}: the ${outputs.length} outputs that are missing need ${needed} bytes, and its file system has ${available} free, enough for ${Math.floor(available / each)}`;
  return new MergeError('E_NO_SPACE', message, { details: { file: folder }, help: FREE });
}
