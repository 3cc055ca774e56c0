import type { Conflict, Warning } from '../../../base/errors.ts';
import { worded } from '../../../base/option-words.ts';
import { recordedMerge } from '../../../checkpoints/own-record.ts';
import { holdsOptimizer, optimizersOfRanks, stateBeside } from '../../../checkpoints/training-state.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { plural } from '../../../render/format.ts';

/** Names that a message lists. */
const SHOWN = 3;

/** Whether a checkpoint is a copy of the model of another one, as `keep --strip` and `convert` make them. */
async function isCopy(checkpoint: Checkpoint): Promise<boolean> {
  return (await recordedMerge(checkpoint))?.method === 'convert';
}

/** Whether a checkpoint has an optimizer's state, in its container or beside it. */
async function hasOptimizer(checkpoint: Checkpoint): Promise<boolean> {
  if (holdsOptimizer(checkpoint)) return true;
  if (checkpoint.kind === 'file') return false;
  const { path } = checkpoint;
  return (await stateBeside(path, { optimizer: false })).optimizer.length > 0 || (await optimizersOfRanks(path)).length > 0;
}

/** The newest of some checkpoints, oldest first, that has an optimizer's state. */
async function newestWhole(members: readonly Checkpoint[]): Promise<Checkpoint | null> {
  for (const member of members.toReversed()) if (await hasOptimizer(member)) return member;
  return null;
}

/**
 * What there is to say of a start of training whose newest member is a copy of the model alone: nothing but weights
 * comes of it, and in its container.
 * @param own members of the output, oldest first
 */
export async function copiedStart(output: string, own: readonly Checkpoint[]): Promise<Warning[]> {
  const newest = own.at(-1)!;
  if (!(await isCopy(newest))) return [];
  const whole = await newestWhole(own);
  const other = whole !== null && whole.form.kind !== newest.form.kind ? ` (${whole.form.writer ?? whole.form.kind})` : '';
  const which = whole === null ? 'no member of it has it' : `the newest member that has it is ${whole.path}${other}`;
  const message = `${newest.path}, the newest member of ${output}, is a copy of the model alone and has no trainer's state, so ${output} has none: training begins with a fresh optimizer and schedule; ${which}`;
  return [{ code: 'W_COPY_NEWEST', message }];
}

/** What members that are copies have to do with conflicts, where there are such. */
export async function withCopies(conflicts: readonly Conflict[], members: readonly Checkpoint[]): Promise<readonly Conflict[]> {
  if (!conflicts.some(({ code }) => ABOUT.has(code))) return conflicts;
  const copies: Checkpoint[] = [];
  for (const member of members) if (await isCopy(member)) copies.push(member);
  const [first] = copies;
  if (first === undefined) return conflicts;
  const others = copies.length > SHOWN ? ` and ${plural(copies.length - SHOWN, 'more member')}` : '';
  const named = `${copies
    .slice(0, SHOWN)
    .map(({ path }) => path)
    .join(', ')}${others}`;
  const what = copies.length === 1 ? 'is a copy of the model alone' : 'are copies of the model alone';
  const whole = await newestWhole(members);
  // Each tensor of the state that a copy lacks would be one more.
  const told = conflicts.filter(({ code, file }) => code !== 'E_TENSOR_MISSING' || !copies.some(({ path }) => path === file));
  return told.map((conflict) => {
    if (conflict.code === 'E_LAYOUTS_DIFFER')
      return {
        ...conflict,
        message: `${conflict.message}. ${named} ${what}, in safetensors and without the trainer's state, and the others are saves`,
        help: worded`Merge the model alone, without --for resume and with --format safetensors; or leave the copies out; or name one checkpoint for all to follow with --like.`,
      };
    if (conflict.code !== 'E_NO_OPTIMIZER' || !copies.some(({ path }) => path === conflict.file)) return conflict;
    const which = whole === null ? 'no other member has it either' : `the newest member that has it is ${whole.path}`;
    return { ...conflict, message: `${conflict.message}; it is a copy of the model alone, and ${which}` };
  });
}

const ABOUT: ReadonlySet<Conflict['code']> = new Set(['E_LAYOUTS_DIFFER', 'E_NO_OPTIMIZER']);
