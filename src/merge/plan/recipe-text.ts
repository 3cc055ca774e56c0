import { basename, resolve } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { keysOf, pick } from '../../base/pick.ts';
import { version } from '../../base/version.ts';
import { RECIPE_FILE } from '../../checkpoints/our-files.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { libraryNames } from '../../recipe/file/spelling.ts';
import { recipeYaml } from '../../recipe/file/write.ts';
import { CHECKS } from '../../recipe/options.ts';
import { policiesOf, REQUEST_KEYS } from '../../recipe/policy/keys.ts';
import type { Policy, Treatment } from '../../recipe/policy/types.ts';
import { PARAMETERS } from '../../recipe/schedule/parameters.ts';
import { resolveWeights } from '../../recipe/schedule/resolve.ts';
import type { ResolvedWeights, WeightRequest } from '../../recipe/schedule/types.ts';
import { HF_NAMES } from '../../recipe/types.ts';
import { memberName, relativeMemberPath } from '../record/member-path.ts';
import { placeInputs } from './inputs/inputs.ts';
import { orderInputs } from './inputs/order.ts';
import type { OutputRequest, PlanRequest } from './types.ts';

/** An output whose members and weights are decided. */
export interface DecidedOutput {
  readonly output: Pick<
    OutputRequest,
    'path' | 'dtype' | 'for' | 'optimizer' | 'extraState' | 'weightsFrom' | 'baseModelId' | 'policies' | 'router' | 'convert'
  >;
  /** In the order of the sum. */
  readonly members: readonly Checkpoint[];
  readonly schedule: ResolvedWeights;
  /**
   * Where there are policies: what became of them, and the schedules ([treatments]) of those that have one of
   * their own.
   */
  readonly treated?: { readonly treatments: readonly Treatment[]; readonly own: readonly (ResolvedWeights | null)[] } | undefined;
  readonly request: Pick<PlanRequest, 'like' | 'format' | 'shardSize' | 'files' | 'names' | 'config' | keyof typeof CHECKS>;
}

/**
 * The recipe that makes an output again from its members alone, as the text of a file inside the output's
 * folder; `merge run` takes it as it is and writes to NAME-again beside NAME. It names the schedule where the
 * schedule gives the very same weights from the checkpoints alone; otherwise (positions that an option told,
 * a curve from a file, an order that is not that of the steps) it holds the weights themselves, which are
 * shortest decimals that read back as the same float64. Like provenance it holds no absolute path and no user
 * name: a member that lies where a path would tell either is named only.
 */
export async function recipeText({ output, members, schedule, treated, request }: DecidedOutput): Promise<string> {
  const inside = resolve(output.path);
  const named = output.convert ? { convert: true } : await namedSchedule(members, schedule);
  const placeOf = (path: string) => relativeMemberPath(inside, path) ?? memberName(path);
  const places = members.map(({ path }) => relativeMemberPath(inside, path));
  const policies = await Promise.all(
    policiesOf(output).map(async (policy, p) => {
      const own = treated?.own.find((weights, t) => weights !== null && treated.treatments[t]!.policy === p) ?? null;
      return own === null || (await namedSchedule(members, own)) !== null ? policy : withWeights(policy, own);
    }),
  );
  const told = Object.entries(schedule.parameters).map(([label, value]) => `${label}: ${value}`);
  return recipeYaml(
    {
      inputs: members.map(({ path }, i) => places[i] ?? memberName(path)),
      like: request.like === undefined ? undefined : placeOf(request.like),
      format: request.format,
      shardSize: request.shardSize,
      files: request.files,
      names: request.names === undefined || request.names === HF_NAMES ? request.names : placeOf(request.names),
      config: request.config === undefined ? undefined : placeOf(request.config),
      ...pick(
        request,
        keysOf(CHECKS).filter((name) => request[name]),
      ),
      baseModelId: output.baseModelId,
      outputs: [
        {
          path: `../${basename(inside)}-again`,
          ...(named ?? { weights: [...schedule.weights] }),
          ...pick(output, ['dtype', 'for', 'optimizer', 'extraState', 'weightsFrom']),
          policies: policies.length === 0 ? undefined : policies,
        },
      ],
    },
    {
      head: [
        `The recipe of the checkpoint beside it, by ckpt-merge ${version}. To make it again: merge run ${RECIPE_FILE}`,
        ...(places.includes(null)
          ? ['Inputs without `../` lie where a path would tell of persons or machines: put their paths here.']
          : []),
      ],
      outputs: [named !== null || schedule.method === 'weights' ? null : `the weights of ${[schedule.method, ...told].join(', ')}`],
    },
  );
}

/**
 * The named schedule, where of the checkpoints as they lie there it has exactly these weights in exactly this
 * order; else null.
 */
async function namedSchedule(
  members: readonly Checkpoint[],
  { method, parameters, weights }: ResolvedWeights,
): Promise<WeightRequest | null> {
  if (method === 'weights' || method === 'convert') return null;
  const given = { method, ...(libraryNames(parameters) as WeightRequest) };
  if (keysOf(PARAMETERS).some((name) => PARAMETERS[name].kind === 'file' && given[name] !== undefined)) return null;
  const output = { ...given, path: '' };
  const opened = new Map(members.map((checkpoint) => [checkpoint.path, checkpoint]));
  try {
    const placed = await placeInputs({ inputs: [...opened.keys()], outputs: [output] }, async (path) => opened.get(path)!);
    const { inputs } = orderInputs(placed, [output], false);
    if (!inputs.every(({ checkpoint }, i) => checkpoint === members[i])) return null;
    const again = await resolveWeights(
      inputs.map(({ checkpoint, epoch, step, tokens }) => ({ path: checkpoint.path, epoch, step, tokens })),
      output,
    );
    return again.weights.every((weight, i) => Object.is(weight, weights[i])) ? given : null;
  } catch (error) {
    if (error instanceof MergeError) return null;
    throw error;
  }
}

/** The policy with the weights that its schedule came to. */
function withWeights(policy: Policy, { weights }: ResolvedWeights): Policy {
  return { ...policy, ...Object.fromEntries(REQUEST_KEYS.map((key) => [key, undefined])), weights: [...weights] };
}
