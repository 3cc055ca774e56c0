import type { Conflict } from '../../../base/errors.ts';
import type { PlanRequest } from '../types.ts';
import { Configs } from './configs.ts';
import type { PlacedInput } from './inputs.ts';

/**
 * Whether the members of an output belong together: of one stage of one training, with one configuration,
 * unless the request allows otherwise.
 */
export class Kinship {
  readonly #request: Pick<PlanRequest, 'allowStages' | 'allowConfigs' | 'allowMixedDtypes'>;
  readonly #configs = new Configs();

  constructor(request: Pick<PlanRequest, 'allowStages' | 'allowConfigs' | 'allowMixedDtypes'>) {
    this.#request = request;
  }

  /**
   * @param output path of the output
   * @param weights one a member; a member of weight 0 gives nothing to the merge but, where it is the newest,
   *   its configuration
   */
  async conflicts(output: string, members: readonly PlacedInput[], weights: Float64Array, siblings: boolean): Promise<Conflict[]> {
    const { allowStages, allowConfigs, allowMixedDtypes = false } = this.#request;
    const parts = members.filter((_, i) => weights[i] !== 0);
    const conflicts = allowStages ? [] : stageConflicts(output, parts);
    if (allowConfigs) return conflicts;
    const compared = members.filter((m, i) => weights[i] !== 0 || m === members.at(-1)).map((m) => m.checkpoint);
    return [...conflicts, ...(await this.#configs.conflicts({ members: compared, siblings }, { allowMixedDtypes }))];
  }
}

/** Members whose stage is not known are taken for the others'. */
function stageConflicts(output: string, members: readonly PlacedInput[]): Conflict[] {
  const first = new Map<number, string>();
  for (const { stage, checkpoint } of members) if (stage !== null && !first.has(stage)) first.set(stage, checkpoint.path);
  if (first.size < 2) return [];
  const stages = [...first].map(([stage, path]) => `stage ${stage} (${path})`).join(' and ');
  return [{ code: 'E_STAGES', message: `${output} would mix members of ${stages}`, file: [...first.values()].at(-1)! }];
}
