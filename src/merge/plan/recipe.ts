import { version } from '../../base/version.ts';
import type { ProvenanceInput } from '../record/provenance.ts';
import type { Plan, PlanMember, PlanOutput } from './types.ts';

/** What of a recipe decides the files of all its outputs. */
export type RecordedLayout = Pick<Plan, 'like' | 'format' | 'shardSize' | 'filesAsked' | 'names' | 'allowMixedDtypes' | 'allowUnknown'>;

/**
 * What decides one output, as its provenance records it: members from which nothing is made are not named.
 * @param members the output's own, to which the schedule's weights belong
 */
export function recordedRecipe(
  members: readonly PlanMember[],
  output: Pick<
    PlanOutput,
    'path' | 'schedule' | 'used' | 'dtype' | 'purpose' | 'optimizer' | 'extraState' | 'weightsFrom' | 'weightsFile' | 'policies'
  >,
  layout: RecordedLayout,
): Pick<ProvenanceInput, 'toolVersion' | 'output' | 'recipe'> {
  const { schedule, used, dtype, path, purpose, optimizer, extraState, weightsFrom, weightsFile, policies } = output;
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
      ...(extraState !== null && { extraState }),
      ...(weightsFrom !== null && { weightsFrom }),
      ...(weightsFile !== null && { weightsFile }),
      policies: policies.map(({ text, weights }) => ({
        policy: text,
        weights: weights === null ? null : [...weights].filter((_, i) => used[i]),
      })),
      like: layout.like,
      ...(layout.format !== 'safetensors' && { format: layout.format }),
      ...(layout.shardSize !== null && { shardSize: layout.shardSize }),
      ...(layout.filesAsked !== null && { files: layout.filesAsked }),
      ...(layout.names !== null && { names: layout.names }),
      allowMixedDtypes: layout.allowMixedDtypes,
      allowUnknown: layout.allowUnknown,
      members: members
        .map(({ path, step, tokens, bytes, fingerprint }, i) => ({ path, step, tokens, bytes, fingerprint, weight: schedule.weights[i]! }))
        .filter((_, i) => used[i]),
    },
  };
}
