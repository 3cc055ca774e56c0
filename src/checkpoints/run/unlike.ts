import { worded } from '../../base/option-words.ts';
import { likeness, type ModelForm } from './model-form.ts';

/** The beginning of a reason: sound by itself, and not like the others. */
export const UNLIKE = 'unlike the others of the run';

/** Less than this in common is another model, and not one that lacks or has a part more. */
const ALIKE = 0.5;

/**
 * Which members of a run are odd ones, and why: another model than the run's, or one that is stored
 * otherwise, as torchtitan casts its last step whole to `export_dtype`.
 *
 * A change that lasts is a change of the run, and no odd member: only what stands alone among its neighbours
 * counts, against more that are alike; and where there are as many, what was saved without the trainer's
 * state against what has it. Dtypes count where containers tell the model from the rest, as those of trainers
 * do.
 * @param forms of the members, in the order of their run
 * @param mixedDtypes whether different dtypes are wanted
 * @returns by index, half sentences
 */
export function unlikeMembers(forms: readonly ModelForm[], mixedDtypes: boolean): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  const models = oddOnes(forms, all(forms), ({ names }) => names);
  for (const i of models.odd) {
    const share = likeness(forms[i]!.names, models.main!.names);
    if (share < ALIKE) found.set(i, anotherModel(forms[i]!, models.main!, share));
  }
  if (mixedDtypes) return found;
  const rest = all(forms).filter((i) => !found.has(i));
  const stored = oddOnes(forms, rest, ({ dtypeDigest }) => dtypeDigest);
  if (stored.main?.told !== true) return found;
  for (const i of stored.odd) {
    if (forms[i]!.names === stored.main.names) found.set(i, otherDtypes(forms[i]!, stored.main));
  }
  return found;
}

interface Odd {
  /** One of those that are alike; null where nothing says which are the run's. */
  readonly main: ModelForm | null;
  readonly odd: readonly number[];
}

function all(forms: readonly ModelForm[]): number[] {
  return [...forms.keys()];
}

function oddOnes(forms: readonly ModelForm[], among: readonly number[], kindOf: (form: ModelForm) => unknown): Odd {
  const kinds = new Map<unknown, number[]>();
  for (const i of among) kinds.set(kindOf(forms[i]!), [...(kinds.get(kindOf(forms[i]!)) ?? []), i]);
  if (kinds.size < 2) return { main: null, odd: [] };
  const trained = (members: readonly number[]): number => Number(members.some((i) => forms[i]!.others > 0));
  const [first, second] = [...kinds.values()].sort((a, b) => b.length - a.length || trained(b) - trained(a));
  if (first!.length === second!.length && trained(first!) === trained(second!)) return { main: null, odd: [] };
  const alone = (at: number): boolean => {
    const kind = kindOf(forms[among[at]!]!);
    return [at - 1, at + 1].every((other) => among[other] === undefined || kindOf(forms[among[other]!]!) !== kind);
  };
  return {
    // One that a container tells apart says more than a copy of a model alone.
    main: forms[first!.find((i) => forms[i]!.told) ?? first![0]!]!,
    odd: among.filter((i, at) => !first!.includes(i) && alone(at)),
  };
}

function anotherModel(form: ModelForm, main: ModelForm, share: number): string {
  const [own, theirs] = [form.names.tensors.size, main.names.tensors.size];
  const has = share === 0 ? 'none of it' : `${Math.round(share * theirs)} of them`;
  return `${UNLIKE}: ${own} tensors of another model or of other names, where they have ${theirs} and ${has} as here; merge it with its like`;
}

function otherDtypes(form: ModelForm, main: ModelForm): string {
  const only = form.others === 0 && main.others > 0 ? 'the model alone, ' : '';
  // As the newest of a training that is to go on it would be refused: it has no optimizer.
  const never = only === '' ? '' : worded`, into a merge without --for resume`;
  return worded`${UNLIKE}: ${only}stored as ${form.dtypes.join('+')} where they are ${main.dtypes.join('+')}, as an export or a last step may be; --allow-mixed-dtypes merges it${never}`;
}
