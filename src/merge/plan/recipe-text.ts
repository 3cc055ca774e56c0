import { basename, resolve } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { version } from '../../base/version.ts';
import { RECIPE_FILE } from '../../checkpoints/our-files.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { libraryNames } from '../../recipe/file/spelling.ts';
import { policiesOf, REQUEST_KEYS } from '../../recipe/policy/keys.ts';
import type { Policy, Treatment } from '../../recipe/policy/types.ts';
import { PARAMETERS, type ParameterName, parameterLabel } from '../../recipe/schedule/parameters.ts';
import { resolveWeights } from '../../recipe/schedule/resolve.ts';
import type { ResolvedWeights, WeightRequest } from '../../recipe/schedule/types.ts';
import { memberName, relativeMemberPath } from '../record/member-path.ts';
import { placeInputs } from './inputs/inputs.ts';
import { orderInputs } from './inputs/order.ts';
import type { OutputRequest, PlanRequest } from './types.ts';

/** An output whose members and weights are decided. */
export interface DecidedOutput {
  readonly output: Pick<OutputRequest, 'path' | 'dtype' | 'for' | 'optimizer' | 'baseModelId' | 'policies' | 'router'>;
  /** In the order of the sum. */
  readonly members: readonly Checkpoint[];
  readonly schedule: ResolvedWeights;
  /**
   * Where there are policies: what became of them, and the schedules ([treatments]) of those that have one of
   * their own.
   */
  readonly treated?: { readonly treatments: readonly Treatment[]; readonly own: readonly (ResolvedWeights | null)[] } | undefined;
  readonly request: Pick<PlanRequest, 'like' | 'allowMixedDtypes' | 'allowUnknown' | 'allowPermuted' | 'allowStages' | 'allowConfigs'>;
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
  const named = await givesTheseWeights(members, schedule);
  const unknown = members.filter(({ path }) => relativeMemberPath(inside, path) === null);
  const placeOf = (path: string) => relativeMemberPath(inside, path) ?? memberName(path);
  const weights: Record<string, unknown> = named
    ? { method: schedule.method, ...schedule.parameters }
    : { weights: `[${[...schedule.weights].map(String).join(', ')}]` };
  const policies = await Promise.all(
    policiesOf(output).map(async (policy, p) => {
      const own = treated?.own.find((weights, t) => weights !== null && treated.treatments[t]!.policy === p) ?? null;
      return own === null || (await givesTheseWeights(members, own)) ? policy : withWeights(policy, own);
    }),
  );
  return [
    `# The recipe of the checkpoint beside it, by ckpt-merge ${version}. To make it again: merge run ${RECIPE_FILE}`,
    ...(unknown.length > 0 ? ['# Inputs without `../` lie where a path would tell of persons or machines: put their paths here.'] : []),
    'inputs:',
    ...members.map(({ path }) => `  - ${scalar(placeOf(path))}`),
    ...lines({
      like: request.like === undefined ? undefined : scalar(placeOf(request.like)),
      'allow-mixed-dtypes': request.allowMixedDtypes || undefined,
      'allow-unknown': request.allowUnknown || undefined,
      'allow-permuted': request.allowPermuted || undefined,
      'allow-stages': request.allowStages || undefined,
      'allow-configs': request.allowConfigs || undefined,
      'base-model-id': output.baseModelId === undefined ? undefined : scalar(output.baseModelId),
    }),
    'outputs:',
    `  - path: ${scalar(`../${basename(inside)}-again`)}`,
    ...(named || schedule.method === 'weights'
      ? []
      : [`    # the weights of ${[schedule.method, ...lines(schedule.parameters)].join(', ')}`]),
    ...lines({ ...weights, dtype: output.dtype, for: output.for, optimizer: output.optimizer }).map((line) => `    ${line}`),
    ...(policies.length > 0 ? ['    policies:'] : []),
    ...policies.map((policy) => `      - ${flowMap(policy)}`),
    '',
  ].join('\n');
}

/**
 * Whether the named schedule, of the checkpoints as they lie there, has exactly these weights in exactly this
 * order.
 */
async function givesTheseWeights(members: readonly Checkpoint[], { method, parameters, weights }: ResolvedWeights): Promise<boolean> {
  if (method === 'weights') return false;
  const given = libraryNames(parameters) as WeightRequest;
  if ((Object.keys(given) as ParameterName[]).some((name) => PARAMETERS[name].kind === 'file')) return false;
  const output = { ...given, method, path: '' };
  const opened = new Map(members.map((checkpoint) => [checkpoint.path, checkpoint]));
  try {
    const placed = await placeInputs({ inputs: [...opened.keys()], outputs: [output] }, async (path) => opened.get(path)!);
    const { inputs } = orderInputs(placed, [output], false);
    if (!inputs.every(({ checkpoint }, i) => checkpoint === members[i])) return false;
    const again = await resolveWeights(
      inputs.map(({ checkpoint, step, tokens }) => ({ path: checkpoint.path, step, tokens })),
      output,
    );
    return again.weights.every((weight, i) => Object.is(weight, weights[i]));
  } catch (error) {
    if (error instanceof MergeError) return false;
    throw error;
  }
}

/** The policy with the weights that its schedule came to. */
function withWeights(policy: Policy, { weights }: ResolvedWeights): Policy {
  const kept = Object.entries(policy).filter(([key]) => !REQUEST_KEYS.some((request) => request === key));
  return { ...Object.fromEntries(kept), weights: [...weights] };
}

/** A policy on one line: `{ role: router, layers: "0-3", use: newest }`. */
export function flowMap(policy: Policy): string {
  const value = (item: unknown): string => {
    if (Array.isArray(item)) return `[${item.map(value).join(', ')}]`;
    const plain = typeof item !== 'string' || (/^[A-Za-z]\w+$/.test(item) && !/^(?:true|false|null|yes|no|on|off)$/i.test(item));
    return plain ? String(item) : JSON.stringify(item);
  };
  const entries = Object.entries(policy).filter(([, item]) => item !== undefined);
  return `{ ${entries.map(([key, item]) => `${parameterLabel(key)}: ${value(item)}`).join(', ')} }`;
}

function lines(entries: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(entries).flatMap(([key, value]) => (value === undefined ? [] : [`${key}: ${value}`]));
}

/**
 * Text as YAML reads it back: plain where it cannot be anything but text, else quoted as in JSON, which is
 * YAML too.
 */
function scalar(text: string): string {
  return /^(?:\.\.\/)+[\w./-]*$/.test(text) ? text : JSON.stringify(text);
}
