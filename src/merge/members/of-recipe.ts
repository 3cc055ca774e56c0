import type { Warning } from '../../base/errors.ts';
import { OpenCache } from '../../checkpoints/containers/open-cache.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import type { Checkpoint, Position } from '../../checkpoints/types.ts';
import { ADVICE } from '../../recipe/select/member-warnings.ts';
import type { Recipe } from '../../recipe/types.ts';
import { draftOutput } from '../plan/inputs/drafts.ts';
import { placeInputs } from '../plan/inputs/inputs.ts';
import { orderInputs } from '../plan/inputs/order.ts';
import type { FoundMembers, MergedMember } from '../plan/types.ts';
import { downloadWarnings, refuseUnsound, unsoundOf } from './look.ts';
import { resolveRecipe } from './resolve.ts';

/** The checkpoints of a report, oldest first, as a merge of them would take them. */
export interface Members {
  readonly checkpoints: readonly Checkpoint[];
  readonly members: readonly (MergedMember & Pick<Position, 'stage'>)[];
  readonly method: string;
  /** How many there are of those that were asked for, with the warnings that a merge of them has, too. */
  readonly report: FoundMembers;
  readonly warnings: readonly Warning[];
}

interface MembersOptions {
  /** Refuse members that are not what they should be. */
  readonly strict?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Finds the members and weights of the first output of a recipe; writes nothing, and reads headers only.
 * @throws MergeError E_STRICT; whatever finding members, their order and their weights throws; `signal.reason` on an
 *   abort
 */
export async function membersOfRecipe(recipe: Recipe, { strict, signal }: MembersOptions = {}): Promise<Members> {
  const request = await resolveRecipe(recipe, signal);
  const cache = new OpenCache();
  const ordered = orderInputs(
    await placeInputs(request, (path) => openCheckpoint(path, { cache })),
    request.outputs,
    request.ordered ?? false,
  );
  const { inputs, schedule, warnings } = await draftOutput(request.outputs[0]!, 0, ordered, null, recipe.format ?? 'safetensors');
  const checkpoints = inputs.map(({ checkpoint }) => checkpoint);
  const { selection } = request.outputs[0]!;
  const { asked, found, leftOut } = selection?.report ?? { asked: inputs.length, found: inputs.length, leftOut: [] };
  // Nothing is merged here, so nothing is said against merging these.
  const chosen = (selection?.warnings ?? []).filter(({ code }) => !ADVICE.has(code));
  const unsound = unsoundOf([...chosen, ...(await downloadWarnings(checkpoints)).values()]);
  if (strict) refuseUnsound(unsound);
  return {
    checkpoints,
    members: inputs.map(({ checkpoint: { path }, epoch, step, tokens, stage }, i) => ({
      ...{ path, step, tokens, stage, ...(epoch !== undefined && { epoch }) },
      weight: schedule.weights[i]!,
    })),
    method: schedule.method,
    report: { asked, found, leftOut, warnings: unsound },
    warnings: [...unsound, ...chosen.filter((warning) => !unsound.includes(warning)), ...warnings, ...schedule.warnings],
  };
}
