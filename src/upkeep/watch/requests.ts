import { join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { keysOf, pick } from '../../base/pick.ts';
import { fingerprintLike } from '../../checkpoints/fingerprint.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { shownName } from '../../checkpoints/position.ts';
import { comparePositions } from '../../checkpoints/run/position.ts';
import { parseQuantity } from '../../checkpoints/run/quantity.ts';
import type { Run, RunCheckpoint } from '../../checkpoints/run/types.ts';
import type { FoundMembers, OutputRequest, PlanInput, PlanRequest } from '../../merge/plan/types.ts';
import { recogniseQuantised } from '../../model/quantised/recognise.ts';
import { checkpointRoles } from '../../model/roles/checkpoint-roles.ts';
import { CHECKS, TRUST } from '../../recipe/options.ts';
import { weighByEma } from '../../recipe/schedule/ema.ts';
import { DEFAULT_ALPHA } from '../../recipe/schedule/methods.ts';
import { PARAMETERS } from '../../recipe/schedule/parameters.ts';
import type { Selected } from '../../recipe/select/types.ts';
import { distance, type Window, windowAt, windowSizes } from './selection.ts';
import type { Accumulator, WatchState } from './state.ts';
import type { WatchOptions } from './types.ts';

/** The merges of a round, or why there is none. */
export type RoundRequest =
  | {
      readonly request: PlanRequest;
      /** Members that were asked for, of each output that is the merge of a window; none for an accumulator. */
      readonly windows: readonly number[];
    }
  | { readonly reason: string; readonly isYoung: boolean };

/**
 * Name of the merge of the window that ends at a checkpoint: no step folder's name, so that a run's reader
 * never takes it for one.
 */
function mergeName(checkpoint: string): string {
  return `merged-${checkpoint}`;
}

/**
 * The merges of the windows that end at `end`, of one read. In a young run windows have the same members: then there is
 * the merge of the smallest alone. @throws MergeError of {@link windowAt}
 */
export function windowRequest(options: WatchOptions, run: Run, end: RunCheckpoint): RoundRequest {
  const asked = windowSizes(options);
  const found = asked.map((last) => ({ last, window: windowAt(options, run, end.name, last) }));
  const distinct = new Map<string, { readonly last: number; readonly selected: Selected }>();
  for (const { last, window } of found) {
    if ('reason' in window) continue;
    const key = JSON.stringify(window.selected.members.map(({ path }) => path));
    if (!distinct.has(key)) distinct.set(key, { last, selected: window.selected });
  }
  const windows = [...distinct.values()];
  const [first] = found;
  if (windows.length === 0) return first!.window as Extract<Window, { readonly reason: string }>;
  const wanted = new Set(windows.flatMap(({ selected }) => selected.members.map(({ path }) => path)));
  const inputs = run.checkpoints.filter(({ path }) => wanted.has(path));
  const indexOf = new Map(inputs.map(({ path }, i) => [path, i]));
  const weights = pick(options, ['method', ...keysOf(PARAMETERS)]);
  return {
    windows: windows.map(({ last }) => last),
    request: {
      ...common(options),
      inputs: inputs.map(input),
      outputs: windows.map(({ last, selected: { members, ...report } }) => ({
        ...output(options, end, asked.length === 1 ? '' : `-w${last}`),
        ...weights,
        ...(windows.length > 1 && { members: members.map(({ path }) => indexOf.get(path)!) }),
        selection: { ...report, log: run.log },
      })),
    },
  };
}

/**
 * The step that takes `end` into the accumulator, acc = (1 - a)·acc + a·new, and the merge that it stands
 * for: both from one read.
 * @throws MergeError E_ACCUMULATOR where the accumulator on disk is not the one that the state names,
 *   E_NO_TOKENS, E_OPTION also for a run whose quantised form no accumulator can take in
 */
export async function accumulatorRequest(
  options: WatchOptions,
  state: WatchState,
  { broken, end }: Pick<Run, 'broken'> & { readonly end: RunCheckpoint },
): Promise<RoundRequest> {
  const before = state.accumulator;
  const share = before === null ? 1 : shareOf(options, before, end);
  if (share === null) return { reason: `it does not lie after ${before!.output}, which has taken in what came later`, isYoung: false };
  await checkQuantised(options, end);
  const last = before === null ? [] : [await accumulatorInput(options.output, before, end)];
  const weights = before === null ? [1] : [1 - share, share];
  const report = passedBy(broken, before, end);
  const accumulator = { ...output(options, end), path: join(options.output, `accumulator-${end.name}`), dtype: 'F32' as const };
  return {
    windows: [],
    request: {
      ...common(options),
      inputs: [...last, input(end)],
      // The accumulator is float32 whatever the run is.
      allowMixedDtypes: true,
      outputs: [accumulator, output(options, end)].map((o) => ({ ...o, weights, report })),
    },
  };
}

/** What lies between the last checkpoint that was taken in and this one, and cannot be. */
function passedBy(broken: Run['broken'], before: Accumulator | null, end: RunCheckpoint): FoundMembers {
  const after = before?.step ?? -1;
  const leftOut = broken
    .filter((lost) => lost.step > after && comparePositions(lost, end) < 0)
    .map(({ name, path, step, reason }) => ({ name: shownName({ name, path }), step, reason, newer: false }));
  const found = before === null ? 1 : 2;
  const lines = leftOut.map(({ name, reason }) => `${name}: ${reason}`);
  const message = `${shownName(end)} is taken in, and ${leftOut.length === 1 ? 'a checkpoint' : `${leftOut.length} checkpoints`} before it cannot be:\n${lines.join('\n')}`;
  return { asked: found + leftOut.length, found, leftOut, warnings: leftOut.length === 0 ? [] : [{ code: 'W_LEFT_OUT_MEMBERS', message }] };
}

/**
 * Share of the new checkpoint; null where it is no newer than what the accumulator holds. A half-life H over
 * a distance d gives 1 - 2^(-d/H).
 */
function shareOf(options: WatchOptions, before: Accumulator, end: RunCheckpoint): number | null {
  const { alpha, halfLife, halfLifeFraction } = options;
  const passed = distance(before, end, { unit: before.tokens !== null && end.tokens !== null ? 'tokens' : 'steps' }, 1);
  if (passed !== null && passed <= 0) return null;
  // Before the first step there is no training that the average could stand for.
  if (halfLifeFraction !== undefined && before.step === 0) return 1;
  if (halfLifeFraction !== undefined) {
    const members = [{ ...before, path: join(options.output, before.output) }, end];
    return weighByEma(members, pick(options, ['halfLifeFraction', 'origin'])).weights[1]!;
  }
  if (halfLife === undefined) return alpha ?? DEFAULT_ALPHA;
  const half = parseQuantity(halfLife, optionName('halfLife'));
  const along = distance(before, end, half, 1);
  if (along !== null) return 1 - 2 ** (-along / half.value);
  const message = `${optionName('halfLife')} is in ${half.unit}, and ${before.output} or ${shownName(end)} has none`;
  throw new MergeError(half.unit === 'tokens' ? 'E_NO_TOKENS' : 'E_OPTION', message);
}

/**
 * One read makes accumulator and merge of the same tensors, so a quantised run needs a merge of plain floats
 * beside its float32 accumulator.
 */
async function checkQuantised({ dtype }: WatchOptions, { path }: RunCheckpoint): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  const { weights } = recogniseQuantised(checkpoint, (await checkpointRoles(checkpoint)).config);
  const [first] = weights;
  const turned = weights.find(({ transposed }) => transposed);
  if (turned !== undefined) {
    const message = `${path} holds codes (${turned.name}) whose float form is transposed, so that no accumulator can take them in`;
    throw new MergeError('E_OPTION', message, {
      details: { file: path, tensor: turned.name },
      help: 'Watch windows, with --dtype BF16 or same.',
    });
  }
  if (first === undefined || (dtype !== undefined && dtype !== 'same')) return;
  const message = `${path} is quantised (${first.name}), an accumulator is float32, and one read makes it and the merge of the same tensors`;
  throw new MergeError('E_OPTION', message, {
    details: { file: path, tensor: first.name },
    help: 'Say with --dtype, as BF16, in which floats the merges are stored; or watch windows.',
  });
}

async function accumulatorInput(folder: string, before: Accumulator, { stage, epoch }: RunCheckpoint): Promise<PlanInput> {
  const path = join(folder, before.output);
  const found = await openCheckpoint(path)
    .then((checkpoint) => fingerprintLike(checkpoint, before.fingerprint))
    .catch((error: unknown) => {
      throw notOurs(path, 'cannot be read', error);
    });
  if (found !== before.fingerprint) throw notOurs(path, 'is not the one that this watch wrote: its content differs');
  return { path, step: before.step, tokens: before.tokens, stage, epoch };
}

function notOurs(path: string, why: string, cause?: unknown): MergeError {
  return new MergeError('E_ACCUMULATOR', `the accumulator ${path} ${why}`, { details: { file: path }, cause });
}

function input({ path, step, tokens, stage, epoch }: RunCheckpoint): PlanInput {
  return { path, step, tokens, stage, epoch };
}

function output(options: WatchOptions, end: RunCheckpoint, window = ''): OutputRequest {
  return {
    path: join(options.output, `${mergeName(end.name)}${window}`),
    ...pick(options, ['dtype', 'for', 'optimizer', 'extraState', 'weightsFrom', 'policies', 'router', 'baseModelId']),
  };
}

function common(options: WatchOptions): Omit<PlanRequest, 'inputs' | 'outputs'> {
  // An output that is in the way is looked at before the merge: the watch knows which are its own.
  return {
    ordered: true,
    ...pick(options, [...keysOf(CHECKS), ...keysOf(TRUST), 'memory', 'format', 'names', 'config', 'shardSize']),
    force: true,
  };
}
