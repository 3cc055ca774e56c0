import { MergeError } from '../../base/errors.ts';
import type { Rank } from '../../base/process/rank.ts';
import type { MergeEvent, MergeResult } from '../engine/events.ts';
import { buildPlan } from '../plan/build.ts';
import { isPublished } from '../plan/outputs/finished.ts';
import { withOutside } from '../plan/outside.ts';
import type { Plan } from '../plan/types.ts';
import { mergeWithRanks, RANK_TIMEOUT } from '../ranks/merge-with-ranks.ts';
import { adoptedRequest, checkAdopted, type PlanRecord } from '../ranks/plan-record.ts';
import type { Planner } from '../ranks/shared-plan.ts';
import type { Order } from './order.ts';

/** @throws MergeError E_INPUT_CHANGED where this machine sees other files than the one that planned */
async function checkOrdered(plan: Plan, record: PlanRecord, signal: AbortSignal): Promise<void> {
  try {
    await checkAdopted(plan, record, { path: 'the order of this merge', sampling: null, signal });
  } catch (error) {
    if (!(error instanceof MergeError) || error.code !== 'E_INPUT_CHANGED') throw error;
    const { code, message, details } = error;
    const help =
      'The machine of this rank sees other files there than the one that planned, or they changed since: run the same command again.';
    throw new MergeError(code, message, { details, help, cause: error });
  }
}

/**
 * Carries out a rank's share of what another process planned and had started.
 * @param rank null where the launcher says nothing of several: it works with all that have the same order
 */
export async function* orderEvents(order: Order, rank: Rank | null, signal: AbortSignal): AsyncGenerator<MergeEvent, MergeResult> {
  const { asked, record, outside, options, launch } = order;
  const { memory, force, followLinks, rankTimeout = RANK_TIMEOUT } = options;
  const planner: Planner = {
    recipe: asked,
    resolve: async () => record.resolved,
    build: async (request, prepared) => {
      const isFirst = request.adopted === undefined;
      const adopted = isFirst ? adoptedRequest(record) : request;
      const plan = await buildPlan({ ...{ memory, force, followLinks }, ...adopted, recipe: asked, resume: false }, signal, prepared);
      if (isFirst) await checkOrdered(plan, record, signal);
      // A rank that comes when all is done finds it so, also where it may replace what is there.
      const isMade = isFirst && plan.outputs.length > 0 && (await Promise.all(plan.outputs.map(isPublished))).every(Boolean);
      if (isMade) return buildPlan({ ...{ memory, force, followLinks }, ...adopted, recipe: asked, resume: true }, signal);
      return withOutside({ ...plan, finished: record.finished }, outside);
    },
  };
  const named = rank === null ? null : { ...rank, launch: rank.launch ?? launch, job: `order ${launch}` };
  return yield* mergeWithRanks(planner, { ...options, signal, rankTimeout: 1000 * rankTimeout }, named);
}
