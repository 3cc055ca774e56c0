import type { Warning } from '../../base/errors.ts';
import type { UnknownNames } from './defaults.ts';
import { roleOf } from './roles.ts';
import type { PolicyTensor, Treatment } from './types.ts';

/** Roles without which a model loads: nothing of it, or made again from its configuration. */
const OPTIONAL: ReadonlySet<string | null> = new Set([null, 'lora', 'optimizer', 'rope_buffer', 'buffer', 'quant_scale', 'quant_meta']);

/** Names of some tensors, for one warning about all of them. */
class Named {
  count = 0;
  #first = '';

  add(name: string): void {
    if (this.count++ === 0) this.#first = name;
  }

  toString(): string {
    return this.count === 1 ? `tensor ${this.#first}` : `${this.count} tensors (the first is ${this.#first})`;
  }
}

/** What there is to say of tensors that are averaged without being known, and of those that are left out. */
export function treatmentWarnings(
  tensors: readonly PolicyTensor[],
  treatments: readonly Treatment[],
  of: Int32Array,
  { recognised }: UnknownNames,
): Warning[] {
  const [unknown, leftOut, needed, prediction] = [new Named(), new Named(), new Named(), new Named()];
  for (const [i, { name, role }] of tensors.entries()) {
    const { kind, policy } = treatments[of[i]!]!;
    if (kind === 'average' && policy === null && role.role === null) unknown.add(name);
    if (kind !== 'drop') continue;
    if (policy === null) leftOut.add(name);
    else if (role.mtp) prediction.add(name);
    else if (!OPTIONAL.has(roleOf(role))) needed.add(name);
  }
  const warnings: Warning[] = [];
  const warn = (code: Warning['code'], some: Named, text: string) => some.count > 0 && warnings.push({ code, message: `${some}: ${text}` });
  const known = recognised ? 'no rule knows the name' : 'the rules know few names of this model, or none';
  warn('W_UNKNOWN_NAMES', unknown, `${known}; averaged, which is right for weights and wrong for tables, masks and scales`);
  warn('W_LEFT_OUT', leftOut, 'adapters or optimizer states; left out of the merge');
  warn('W_DROPPED', needed, 'dropped by a policy, and the model does not load without');
  warn(
    'W_DROPPED',
    prediction,
    'multi-token prediction, dropped by a policy; config.json still counts these layers (num_nextn_predict_layers and the like)',
  );
  return warnings;
}
