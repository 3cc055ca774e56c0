import { commandWords } from '../../base/machine/command-words.ts';
import type { MergeEvent, MergeResult } from '../engine/events.ts';
import { type AskedMerge, requestDigest } from '../plan/request-digest.ts';
import type { Plan, PlanRequest } from '../plan/types.ts';
import { boardOutput } from '../ranks/board-place.ts';
import { planRecord } from '../ranks/plan-record.ts';
import { type LaunchedMerge, launchEvents } from './launch.ts';
import type { LaunchOptions } from './order.ts';

/**
 * Has a plan carried out by ranks that a command starts, as `executePlan` does in this process.
 * @param request what the plan was made of
 * @throws MergeError as {@link launchEvents} does
 */
export async function* launchPlan(
  plan: Plan,
  request: PlanRequest,
  launcher: string | readonly string[],
  options: LaunchOptions,
): AsyncGenerator<MergeEvent, MergeResult> {
  const merge = await mergeOfPlan(plan, request, 1, options);
  return yield* launchEvents(merge, commandWords(launcher, 'launcher'), options);
}

/**
 * A plan as ranks carry it out.
 * @param request what the plan was made of @param size how many ranks there are to be
 */
export async function mergeOfPlan(
  plan: Plan,
  request: PlanRequest,
  size: number,
  { unitBytes, signal }: Pick<LaunchOptions, 'unitBytes' | 'signal'>,
): Promise<LaunchedMerge> {
  const asked = askedBy(request);
  const about = { request: requestDigest(asked, boardOutput(asked)!), launch: null, by: null, size, unitBytes };
  return { plan, record: await planRecord(plan, request, about, signal), asked, outside: [] };
}

/**
 * What tells a request from others: not what happens to be there, nor what was found out beside the members,
 * as a log that has grown since.
 */
function askedBy({ force, resume, memory, followLinks, recipe, adopted, ...request }: PlanRequest): AskedMerge {
  return { ...request, outputs: request.outputs.map(({ report, selection, ...output }) => output) };
}
