import type { Warning } from '../../../base/errors.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { resolveWeights } from '../../../recipe/schedule/resolve.ts';
import type { ResolvedWeights, ScheduleContext, ScheduleMember } from '../../../recipe/schedule/types.ts';
import type { OutputFormat } from '../../../recipe/types.ts';
import { outputKind } from '../outputs/output-path.ts';
import type { OutputRequest } from '../types.ts';
import type { PlacedInput } from './inputs.ts';
import { holdsState, withStartDefaults } from './merged-start.ts';
import { newestAssumed, type Ordered } from './order.ts';

/** An output whose members and weights are known. */
export interface DraftOutput {
  readonly output: OutputRequest;
  /** Indices into the members of the plan, and what they stand for. */
  readonly members: readonly number[];
  readonly inputs: readonly PlacedInput[];
  readonly own: readonly Checkpoint[];
  readonly layout: Checkpoint;
  readonly kind: 'folder' | 'file';
  readonly scheduleMembers: readonly ScheduleMember[];
  readonly context: ScheduleContext;
  readonly schedule: ResolvedWeights;
  readonly siblings: boolean;
  /** Of the members' order. */
  readonly warnings: readonly Warning[];
}

/**
 * @param like the layout of all outputs; else each follows the newest of its members
 * @param format their container
 */
export async function draftOutput(
  given: OutputRequest,
  k: number,
  ordered: Ordered,
  like: Checkpoint | null,
  format: OutputFormat,
): Promise<DraftOutput> {
  const { members, warnings: ofOrder } = ordered.outputs[k]!;
  const inputs = members.map((m) => ordered.inputs[m]!);
  const own = inputs.map((input) => input.checkpoint);
  const layout = like ?? own.at(-1)!;
  const output = withStartDefaults(given, format, layout);
  const goesOn = output.for === 'resume' && (holdsState(format, layout) || output.optimizer === 'newest');
  // Of a run all steps are known, and siblings have no newest.
  const told = ofOrder.length > 0 || output.selection != null;
  const warnings = goesOn && !told ? newestAssumed(inputs) : ofOrder;
  const kind = outputKind(output.path, [...own, layout], format);
  const { log, phase, siblings = new Set(inputs.map((i) => i.ingredient)).size > 1 } = output.selection ?? {};
  const scheduleMembers = inputs.map(({ checkpoint: { path }, epoch, step, tokens }) => ({ path, epoch, step, tokens }));
  const context = { log, phase, siblings };
  const weighed = await resolveWeights(scheduleMembers, output, context);
  const schedule = output.convert ? { ...weighed, method: 'convert' as const } : weighed;
  return { output, members, inputs, own, layout, kind, scheduleMembers, context, schedule, siblings, warnings };
}
