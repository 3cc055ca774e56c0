import { MergeError, type Warning } from '../../base/errors.ts';
import { keysOf, omit, pick } from '../../base/pick.ts';
import { isRunFolder } from '../../checkpoints/run/discover.ts';
import { PARAMETERS } from '../../recipe/schedule/parameters.ts';
import { resolveWeights } from '../../recipe/schedule/resolve.ts';
import type { ResolvedWeights } from '../../recipe/schedule/types.ts';
import { meanOf } from '../optimise/legs.ts';
import type { SpaceParameter } from '../space/types.ts';
import { namesAmong, type StudyMembers } from '../study/members.ts';
import type { RoundTrial } from '../study/trials.ts';
import { DEFAULT_WINDOW, type ForecastOptions } from './options.ts';

/** What a forecast scores. */
export interface Windows {
  /**
   * The newest checkpoint alone first, then the others that a window ends at, then the windows; each oldest
   * first.
   */
  readonly requests: readonly RoundTrial[];
  /** Size and weights of the windows, as parameters of one value each. */
  readonly parameters: readonly SpaceParameter[];
  readonly warnings: readonly Warning[];
}

/**
 * Every window of the selected checkpoints with its weights, and the checkpoint that it ends at.
 * @throws MergeError E_OPTION where there are fewer checkpoints than a window has, or several runs; what
 *   {@link resolveWeights} throws
 */
export async function windowsOf(
  options: ForecastOptions & { readonly window: number },
  { all, pool }: Pick<StudyMembers, 'all' | 'pool'>,
): Promise<Windows> {
  const { window } = options;
  await refuseSiblings(options.inputs);
  if (pool.length < window) {
    throw new MergeError('E_OPTION', `a window of ${window} checkpoints does not fit: there are ${pool.length}`, {
      help: pool.length < 2 ? 'Select more checkpoints.' : `Ask for --window ${slidingWindow(pool.length)}, or select more checkpoints.`,
    });
  }
  const ends = pool.slice(window - 1);
  const nameOf = namesAmong(pool.map((m) => all[m]!));
  const requestOf = (kind: 'single' | 'window', end: number, weights: readonly number[]): RoundTrial => {
    return { kind, candidate: { weights, parts: [] }, params: nameOf(all[end]!), point: null, leg: 0 };
  };
  const single = (member: number) => requestOf('single', member, meanOf([member], all.length).weights);
  const merged: RoundTrial[] = [];
  const warnings: Warning[] = [];
  let resolved: ResolvedWeights | undefined;
  for (const [start, end] of ends.entries()) {
    const members = pool.slice(start, start + window);
    resolved = await resolveWeights(
      members.map((m) => all[m]!),
      weightRequest(options),
    );
    warnings.push(...resolved.warnings);
    const weights = Array.from({ length: all.length }, () => 0);
    for (const [i, member] of members.entries()) weights[member] = resolved.weights[i]!;
    merged.push(requestOf('window', end, weights));
  }
  const { method, parameters } = resolved!;
  const one = (name: string, value: string | number | boolean): SpaceParameter => ({
    name,
    kind: 'choice',
    values: [typeof value === 'boolean' ? String(value) : value],
  });
  return {
    requests: [single(ends.at(-1)!), ...ends.slice(0, -1).map(single), ...merged],
    parameters: [one('window', window), one('method', method), ...Object.entries(parameters).map(([name, value]) => one(name, value))],
    warnings,
  };
}

/** Checkpoints in a window where nobody says it: of few checkpoints half, so that there is a curve to see. */
export function slidingWindow(checkpoints: number): number {
  return checkpoints >= DEFAULT_WINDOW ? DEFAULT_WINDOW : Math.max(2, Math.floor(checkpoints / 2));
}

function weightRequest(options: ForecastOptions) {
  return pick(options, ['method', ...keysOf(omit(PARAMETERS, ['gamma', 'window', 'lag']))]);
}

/** Several runs side by side are siblings. */
async function refuseSiblings(inputs: readonly string[]): Promise<void> {
  if (inputs.length < 2) return;
  for (const path of inputs) {
    if (!(await isRunFolder(path))) continue;
    throw new MergeError('E_OPTION', `a forecast is of one run, and ${path} is one of ${inputs.length} inputs`, {
      details: { file: path },
      help: 'Make a forecast for each run, with a folder of its own.',
    });
  }
}
