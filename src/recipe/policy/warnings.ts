import type { Warning } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { otherModels } from '../../model/roles/several-models.ts';
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

/** Kinds of names that a warning lists. */
const KINDS_SHOWN = 8;

/** Names of some tensors, of which those that differ only in their numbers are one kind. */
class Kinds {
  count = 0;
  readonly #kinds = new Map<string, { count: number; first: string }>();

  add(name: string): void {
    this.count++;
    const key = name.replaceAll(/\d+/g, '*');
    const kind = this.#kinds.get(key);
    if (kind === undefined) this.#kinds.set(key, { count: 1, first: name });
    else kind.count++;
  }

  /** `model.layers.*.alpha (24), codebook, …`. */
  kinds(): string {
    const shown = [...this.#kinds].slice(0, KINDS_SHOWN).map(([key, { count, first }]) => (count === 1 ? first : `${key} (${count})`));
    const more = this.#kinds.size - shown.length;
    return `${shown.join(', ')}${more > 0 ? ` and ${more} more kinds` : ''}`;
  }
}

/** What there is to say of tensors that are averaged without being known, and of those that are left out. */
export function treatmentWarnings(
  tensors: readonly PolicyTensor[],
  treatments: readonly Treatment[],
  of: Int32Array,
  convert: boolean,
): Warning[] {
  const unknown = new Kinds();
  const [leftOut, needed, prediction] = [new Named(), new Named(), new Named()];
  const [partial, activations] = [new Named(), new Named()];
  // What is dropped of another model beside this one is nothing that this one needs.
  let others: readonly string[] | undefined;
  const isOthers = (name: string): boolean => {
    others ??= otherModels(tensors.map((tensor) => tensor.name)).map(({ key }) => `${key}.`);
    return others.some((key) => name.startsWith(key));
  };
  for (const [i, { name, role, apart }] of tensors.entries()) {
    const { kind, policy, default: row } = treatments[of[i]!]!;
    if (row === 'activation state' && policy === null) activations.add(name);
    // Of one checkpoint nothing is averaged.
    if (!convert && kind === 'average' && policy === null && role.role === null) unknown.add(name);
    if (kind !== 'drop') continue;
    // What a container keeps apart from the model is in every checkpoint of it: the table has it.
    if (policy === null && apart === true) continue;
    if (policy === null) (row === 'partial buffer' ? partial : leftOut).add(name);
    else if (role.mtp) prediction.add(name);
    else if (!OPTIONAL.has(roleOf(role)) && !isOthers(name)) needed.add(name);
  }
  const warnings: Warning[] = [];
  const warn = (code: Warning['code'], some: Named, text: string) => some.count > 0 && warnings.push({ code, message: `${some}: ${text}` });
  if (unknown.count > 0) {
    const [are, they] = unknown.count === 1 ? ['tensor is', 'it'] : ['tensors are', 'them'];
    const message = worded`${unknown.count} float ${are} averaged though no rule knows the name: ${unknown.kinds()}. Nothing says that this is wrong; where it is, --policy 'name=NAME:use=newest' takes ${they} from the newest member`;
    warnings.push({ code: 'W_UNKNOWN_NAMES', message });
  }
  warn('W_LEFT_OUT', leftOut, 'adapters or optimizer states; left out of the merge');
  warn('W_LEFT_OUT', partial, 'constant buffers that not all members have; left out of the merge, as models make them again themselves');
  warn(
    'W_ACTIVATION_SCALES',
    activations,
    'scales, histories or bounds of activations, which are not the same in all members; those of the newest were taken, and were measured on its weights: calibrate them anew where they matter',
  );
  warn('W_DROPPED', needed, 'dropped by a policy, and the model does not load without');
  warn(
    'W_DROPPED',
    prediction,
    'multi-token prediction, dropped by a policy; config.json still counts these layers (num_nextn_predict_layers and the like)',
  );
  return warnings;
}
