import type { ProvenanceInput } from '../publish/provenance.ts';
import { version } from '../version.ts';
import type { PlanMember, PlanOutput } from './types.ts';

/**
 * What decides one output, as its provenance records it: members of weight 0 take no part and are not named.
 * @param members the output's own, to which the schedule's weights belong
 */
export function recordedRecipe(
  members: readonly PlanMember[],
  output: Pick<PlanOutput, 'path' | 'schedule' | 'dtype' | 'purpose' | 'optimizer'>,
  layout: { readonly like: string | null; readonly allowMixedDtypes: boolean },
): Pick<ProvenanceInput, 'toolVersion' | 'output' | 'recipe'> {
  const { schedule, dtype, path, purpose, optimizer } = output;
  return {
    toolVersion: version,
    output: path,
    recipe: {
      method: schedule.method,
      alpha: typeof schedule.parameters.alpha === 'number' ? schedule.parameters.alpha : null,
      parameters: schedule.parameters,
      normalized: schedule.normalized,
      dtype,
      purpose,
      optimizer,
      ...layout,
      members: members
        .map(({ path, step, tokens, bytes, fingerprint }, i) => ({ path, step, tokens, bytes, fingerprint, weight: schedule.weights[i]! }))
        .filter((m) => m.weight !== 0),
    },
  };
}
