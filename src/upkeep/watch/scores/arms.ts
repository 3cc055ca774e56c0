import { join } from 'node:path';
import { keysOf, pick } from '../../../base/pick.ts';
import type { RunCheckpoint } from '../../../checkpoints/run/types.ts';
import { armAxes, armName } from '../../../recipe/grid/names.ts';
import type { KnownSave } from '../../../recipe/grid/types.ts';
import { PARAMETERS } from '../../../recipe/schedule/parameters.ts';
import type { StudiedArm, StudiedCombination, StudyGrowth } from '../../../search/study/trials-file.ts';
import { windowSizes } from '../selection.ts';
import type { WatchOptions } from '../types.ts';
import { modelKey, type Waiting } from './queue.ts';

/** How the names of accumulators begin, which lie beside the merges. */
const ACCUMULATOR = 'accumulator-';

/**
 * A model of a watch as a grid names such: `step6000` for a checkpoint alone, `step6000-w5-sma` for the merge of the
 * window of five that ends there; `step6000-accumulated-…` for that of an accumulator, which has no window.
 */
function combinationOf(options: WatchOptions, { kind, step, tokens, checkpoint, window }: Waiting): StudiedCombination {
  const end: KnownSave = { name: checkpoint, step, tokens, state: 'here', checkpoint: null, reason: null };
  const place = { endpoint: step, ...(tokens !== null && { tokens }) };
  if (kind === 'single') return { name: `step${step}`, recipe: 'single', axes: place, control: false };
  const { method, accumulate } = options;
  const given = { method, ...pick(options, keysOf(PARAMETERS)) };
  const schedule = accumulate === undefined ? given : { ...given, method: 'ema' as const };
  const size = `${window ?? windowSizes(options)[0]}ckpt`;
  const arm = {
    ...{ end, stage: undefined, window: size, schedule, stride: 1, control: { reverse: false }, top: null, treatment: {}, policies: null },
  };
  const { window: members, ...axes } = armAxes(arm);
  const [, , ...shape] = armName(arm).split('-');
  const recipe = [accumulate === undefined ? `w${members}` : 'accumulated', ...shape].join('-');
  return {
    name: `step${step}-${recipe}`,
    recipe,
    axes: { ...axes, ...(accumulate === undefined && { window: members! }) },
    control: false,
  };
}

/** What its trainer logged of a checkpoint, as far as it is finite. */
function loggedOf({ loss, evalLoss, metrics }: RunCheckpoint): Record<string, number> {
  const all = { 'training loss': loss, 'eval loss': evalLoss, ...metrics };
  return Object.fromEntries(Object.entries(all).filter((one): one is [string, number] => one[1] !== null && Number.isFinite(one[1])));
}

/** What a trial adds to the study: its model, and the checkpoints of the run that it is made of. */
export function growthOf(options: WatchOptions, waiting: Waiting, saved?: RunCheckpoint): StudyGrowth {
  const { kind, step, tokens, members } = waiting;
  const arm: StudiedArm = {
    kind: kind === 'single' ? 'newest' : 'output',
    recipe: modelKey(waiting),
    is: [combinationOf(options, waiting)],
    endpoint: step,
    tokens,
    flags: [],
    ...(kind === 'single' && saved !== undefined && { logged: loggedOf(saved) }),
  };
  return {
    scored: [arm],
    members: members.map((member) => ({
      path: join(member.name.startsWith(ACCUMULATOR) ? options.output : options.run, member.name),
      step: member.step,
      tokens: member.tokens,
      fingerprint: '',
    })),
  };
}
