import { dirname, resolve } from 'node:path';
import { parseByteSize } from '../../base/byte-size.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { MOST } from '../../base/limits.ts';
import { optionName } from '../../base/option-words.ts';
import { keysOf, pick } from '../../base/pick.ts';
import { refuse } from '../../base/problems.ts';
import { checkMachine } from '../../merge/run.ts';
import { contradictions } from '../../recipe/file/contradictions.ts';
import { checkGiven, OF_OUTPUT, type Taken } from '../../recipe/given.ts';
import { CHECKS, LAUNCH, MACHINE, RANKS, RECIPE, SELECT, TOKENS, TRUST } from '../../recipe/options.ts';
import { policiesOf, requestOf } from '../../recipe/policy/keys.ts';
import { policyText } from '../../recipe/policy/text.ts';
import type { Policy } from '../../recipe/policy/types.ts';
import { weightProblems } from '../../recipe/schedule/check.ts';
import { PARAMETERS } from '../../recipe/schedule/parameters.ts';
import { checkKeeping } from './keeping.ts';
import { checkScoring, OF_SCORES } from './scores/options.ts';
import { windowSizes } from './selection.ts';
import type { WatchOptions } from './types.ts';

/**
 * Weights that an accumulator can have for some tensors: the recursion is the only one that needs no older
 * checkpoint.
 */
const RECURSIVE: ReadonlySet<string> = new Set(['method', 'alpha', 'halfLife', 'halfLifeFraction', 'origin']);

/** What a merge keeps of the trainer's state: of windows alone. */
const RESUMED = ['for', 'optimizer', 'extraState', 'weightsFrom'] as const;

/** What a watch takes, in the library. */
const OF_WATCH = {
  run: { kind: 'path', needed: true },
  output: { kind: 'path', needed: true },
  select: { kind: 'map', of: pick(SELECT, ['last', 'every', 'from', 'stage', 'minInterval', 'minMembers']) },
  windows: { kind: 'steps' },
  method: OF_OUTPUT.method,
  ...PARAMETERS,
  policies: OF_OUTPUT.policies,
  router: OF_OUTPUT.router,
  ...pick(OF_OUTPUT, ['dtype', ...RESUMED]),
  format: RECIPE.format,
  shardSize: RECIPE.shardSize,
  names: RECIPE.names,
  config: RECIPE.config,
  baseModelId: RECIPE.baseModelId,
  ...TOKENS,
  ...CHECKS,
  ...MACHINE,
  ...RANKS,
  ...LAUNCH,
  unitBytes: { kind: 'bytes' },
  ...TRUST,
  accumulate: { kind: 'choice', choices: ['ema'] },
  keep: { kind: 'count' },
  hook: { kind: 'text' },
  timeout: { kind: 'number' },
  pin: { kind: 'path' },
  keepSaves: { kind: 'count' },
  keepWindows: { kind: 'texts' },
  keepAtLeast: { kind: 'count' },
  saveEvery: { kind: 'distance' },
  keepSteps: { kind: 'steps' },
  stripSaves: { kind: 'path' },
  poll: { kind: 'number' },
  settle: { kind: 'number' },
  once: { kind: 'flag' },
  ...OF_SCORES,
} as const satisfies Taken<WatchOptions>;

/**
 * Refuses what no round could carry out, before the first one.
 * @throws MergeError E_OPTION, E_OUTPUT_OVERLAPS_INPUT, E_NOT_FOUND where the run is not there and could not
 *   come to be
 */
export async function checkOptions(options: WatchOptions): Promise<void> {
  checkGiven('watch', options, OF_WATCH);
  const { run, output, keep, poll, settle, pin, timeout, stripSaves } = options;
  checkMachine(options);
  checkSeconds('poll', poll, 0.01);
  checkSeconds('settle', settle, 0);
  if (timeout !== undefined && !(timeout > 0 && timeout <= MOST.timer))
    fail(`${optionName('timeout')} must be over 0 and at most ${MOST.timer} seconds, not ${timeout}`);
  if (keep !== undefined && !(keep === Number.POSITIVE_INFINITY || (Number.isSafeInteger(keep) && keep > 0 && keep <= MOST.count))) {
    fail(`${optionName('keep')} must be a whole number from 1 to ${MOST.count}, not ${keep}`);
  }
  if (options.shardSize !== undefined) parseByteSize(options.shardSize, optionName('shardSize'));
  if (options.accumulate !== undefined) checkAccumulator(options);
  else checkWindow(options);
  checkPolicies(options);
  checkKeeping(options);
  await checkScoring(options);
  const real = (path: string): Promise<string> => SYSTEM.fs.realpath(path).catch(() => resolve(path));
  const [from, to, pins, copies] = await Promise.all(
    [run, output, pin, stripSaves].map((path) => (path === undefined ? null : real(path))),
  );
  if (from === to) {
    throw new MergeError('E_OUTPUT_OVERLAPS_INPUT', `${output} is the run itself`, { details: { file: output } });
  }
  const own = Object.entries({ pin: pins, stripSaves: copies }).find(([, path]) => path !== null && (path === from || path === to));
  if (own !== undefined || (copies !== null && copies === pins))
    fail(`${optionName(own?.[0] ?? 'stripSaves')} must be a folder of its own, not ${own?.[0] === 'pin' ? pin : stripSaves}`);
  await SYSTEM.fs.realpath(dirname(resolve(run))).catch((error: unknown) => {
    throw new MergeError('E_NOT_FOUND', `${run}: there is no such folder, nor the one that it would be in`, {
      details: { file: run },
      cause: error,
    });
  });
}

/** A window that never has as many members as are asked for would never be merged. */
function checkWindow({ windows, select }: WatchOptions): void {
  if (windows !== undefined) {
    if (select?.last !== undefined) fail('the size of windows is given twice, as windows and as select.last');
    if (windows.length === 0 || windows.some((n) => !(Number.isSafeInteger(n) && n > 0 && n <= MOST.count)))
      fail(`sizes of windows are whole numbers from 1 to ${MOST.count}, not ${windows.length === 0 ? 'none' : windows.join(', ')}`);
    if (new Set(windows).size < windows.length) fail(`one size of windows is named twice: ${windows.join(', ')}`);
  }
  const [least] = windowSizes({ windows, select });
  if (select?.minMembers !== undefined && select.minMembers > least!)
    fail(`${optionName('minMembers')} ${select.minMembers} cannot be reached by windows of ${least}`);
}

function checkAccumulator({ select, windows, method, shardSize, ...options }: WatchOptions): void {
  if (shardSize !== undefined)
    fail(`${optionName('shardSize')} is for windows: an accumulator and its merges are written in one read, and differ in dtype`);
  const other = Object.entries({ method, ...select, window: windows }).find(([, value]) => value !== undefined);
  if (other !== undefined) fail(`${optionName(other[0])} is about windows, and an accumulator has none`);
  const resumed = RESUMED.find((key) => options[key] !== undefined && options[key] !== 'inference');
  if (resumed !== undefined)
    fail(`${optionName(resumed)} is for windows: an accumulator is an average of weights, and has no state of a trainer`);
  const weighed = { method: 'ema' as const, ...pick(options, keysOf(PARAMETERS)) };
  refuse(weightProblems(weighed), { several: (count) => `${count} things are wrong with the weights of the accumulator` });
}

/**
 * Policies that are wrong in themselves, or could be right for one merge but not for all that a watch makes.
 */
function checkPolicies({ run, output, policies, router, accumulate, ...options }: WatchOptions): void {
  const wrong = contradictions({ inputs: [run], outputs: [{ path: output, policies, router, ...pick(options, RESUMED) }] });
  const lasting = policiesOf({ policies, router }).flatMap((policy, p) => {
    const why = accumulate === undefined ? whyNotInWindows(policy) : whyNotAccumulated(policy);
    const about = p === 0 && router !== undefined ? `router ${router}` : `policy ${policyText(policy)}`;
    return why === null ? [] : [`${about}: ${why}`];
  });
  refuse(wrong.length > 0 ? wrong : lasting, { several: (count) => `${count} things are wrong with what a merge is to hold` });
}

function whyNotInWindows({ use, weights, method }: Policy): string | null {
  if (typeof use === 'number') return `windows move on, and step ${use} is in none of the later ones: it can be newest or oldest`;
  if (method === 'extrapolate')
    return 'extrapolation has windows of its own, which those of a young run are too short for: it is for recipes';
  return weights === undefined ? null : 'a list of weights fits windows of one length, and those of a young run are shorter: name a method';
}

function whyNotAccumulated(policy: Policy): string | null {
  const { use, dtype, method } = policy;
  if (typeof use === 'number') return `an accumulator holds no checkpoint by itself, so none of step ${use}: it can be newest or oldest`;
  if (dtype !== undefined) return 'an accumulator is float32 in all that it averages, so that small shares are not rounded away';
  const other = method !== undefined && method !== 'ema' ? method : Object.keys(requestOf(policy) ?? {}).find((key) => !RECURSIVE.has(key));
  return other === undefined ? null : `${other} needs the checkpoints themselves, and an accumulator has only their average: it can be ema`;
}

function checkSeconds(name: string, value: number | undefined, least: number): void {
  if (value !== undefined && !(value >= least && value <= MOST.timer))
    fail(`${optionName(name)} must be a number of seconds from ${least} to ${MOST.timer}, not ${value}`);
}

function fail(message: string): never {
  throw new MergeError('E_OPTION', message);
}
