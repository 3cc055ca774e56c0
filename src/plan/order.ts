import type { Checkpoint } from '../checkpoint/types.ts';
import { MergeError, type Warning } from '../errors.ts';
import { scheduleByName } from '../schedule/registry.ts';
import type { OutputRequest } from './types.ts';

/**
 * The member order, oldest first. A shell glob sorts checkpoint-10000 before checkpoint-2000, so inputs without explicit weights are sorted by
 * (step, tokens) when every one has a step; otherwise, and with explicit weights, the given order stands.
 *
 * @throws MergeError E_ORDER when a schedule depends on the order and two inputs have the same step.
 */
export function orderMembers(
  given: readonly Checkpoint[],
  outputs: readonly OutputRequest[],
): { members: Checkpoint[]; warnings: Warning[] } {
  const explicit = outputs.some((o) => o.weights !== undefined);
  const ordered = outputs.find((o) => o.weights === undefined && (scheduleByName(o.method ?? 'sma')?.ordered ?? false));
  if (explicit || given.length < 2) return { members: [...given], warnings: [] };

  const unknown = given.filter((c) => c.step === null);
  if (unknown.length > 0) {
    if (ordered === undefined) return { members: [...given], warnings: [] };
    const message = `${unknown.length} of ${given.length} inputs have no recognised step (${unknown[0]!.path}), so the given order is taken as oldest first for ${ordered.method}`;
    return { members: [...given], warnings: [{ code: 'W_ORDER_ASSUMED', message }] };
  }

  const members = [...given].sort((a, b) => a.step! - b.step! || (a.tokens ?? 0) - (b.tokens ?? 0));
  if (ordered !== undefined) {
    for (let i = 1; i < members.length; i++) {
      const [a, b] = [members[i - 1]!, members[i]!];
      if (a.step === b.step && (a.tokens ?? 0) === (b.tokens ?? 0)) {
        throw new MergeError('E_ORDER', `${a.path} and ${b.path} are both step ${a.step}, and ${ordered.method} depends on the order`, {
          details: { file: b.path },
        });
      }
    }
  }
  const moved = members.some((c, i) => c !== given[i]);
  const order = members.map((c) => c.step).join(', ');
  return { members, warnings: moved ? [{ code: 'W_REORDERED', message: `the inputs were sorted by step, oldest first: ${order}` }] : [] };
}
