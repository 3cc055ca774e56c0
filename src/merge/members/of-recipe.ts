import type { Warning } from '../../base/errors.ts';
import { OpenCache } from '../../checkpoints/containers/open-cache.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { Recipe } from '../../recipe/types.ts';
import { draftOutput } from '../plan/inputs/drafts.ts';
import { placeInputs } from '../plan/inputs/inputs.ts';
import { orderInputs } from '../plan/inputs/order.ts';
import type { MergedMember } from '../plan/types.ts';
import { resolveRecipe } from './resolve.ts';

/** The checkpoints of a report, oldest first, as a merge of them would take them. */
export interface Members {
  readonly checkpoints: readonly Checkpoint[];
  readonly members: readonly MergedMember[];
  readonly method: string;
  readonly warnings: readonly Warning[];
}

/**
 * Finds the members and weights of the first output of a recipe; writes nothing, and reads headers only.
 * @throws MergeError whatever finding members, their order and their weights throws; `signal.reason` on an
 *   abort
 */
export async function membersOfRecipe(recipe: Recipe, signal?: AbortSignal): Promise<Members> {
  const request = await resolveRecipe(recipe, signal);
  const cache = new OpenCache();
  const ordered = orderInputs(
    await placeInputs(request, (path) => openCheckpoint(path, { cache })),
    request.outputs,
    request.ordered ?? false,
  );
  const { inputs, schedule, warnings } = await draftOutput(request.outputs[0]!, 0, ordered, null);
  return {
    checkpoints: inputs.map(({ checkpoint }) => checkpoint),
    members: inputs.map(({ checkpoint: { path }, step, tokens }, i) => ({ path, step, tokens, weight: schedule.weights[i]! })),
    method: schedule.method,
    warnings: [...(request.outputs[0]!.selection?.warnings ?? []), ...warnings, ...schedule.warnings],
  };
}
