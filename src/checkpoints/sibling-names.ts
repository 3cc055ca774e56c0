import { type NamedPosition, type NumbersOfName, numbersFromName, reasonAgainstName } from './names.ts';

/** Fewer than this have nothing in common that says anything. */
const SIBLINGS = 2;

type Numbers = NumbersOfName & { readonly step: number };

/**
 * The positions that the names of one folder give: each its own, and where none has one, what stands behind the
 * beginning that all of them share (`llama-1b-step20` beside `llama-1b-step40`; not beside `llama-7b-step40`, which is
 * another training). Where steps begin anew in every epoch (`epoch_0_step_100`, `epoch_1_step_100`) epochs are stages.
 * @param names of folders, or of files without their extension; others among them are passed over
 */
export function positionsAmong(names: readonly string[]): ReadonlyMap<string, NamedPosition> {
  const own = new Map(
    names.flatMap((name): [string, Numbers][] => {
      const numbers = stepFrom(name);
      return numbers === null ? [] : [[name, numbers]];
    }),
  );
  return inStages(own.size > 0 ? own : behindPrefix(names.filter((name) => reasonAgainstName(name) === null)));
}

/**
 * By name, the epoch, where the names of one folder count nothing else (`epoch_3`); none where they give steps. An
 * epoch orders checkpoints as a step does, and is none: what a state file says goes before.
 */
export function epochsAmong(names: readonly string[]): ReadonlyMap<string, number> {
  const epochs = new Map<string, number>();
  for (const name of names) {
    const numbers = numbersFromName(name);
    if (numbers === null) continue;
    const { epoch, ...others } = numbers;
    if (others.step !== null) return new Map();
    if (epoch !== null && Object.values(others).every((value) => value === null)) epochs.set(name, epoch);
  }
  return epochs.size < SIBLINGS ? new Map() : epochs;
}

function stepFrom(name: string): Numbers | null {
  const numbers = numbersFromName(name);
  return numbers === null || numbers.step === null ? null : { ...numbers, step: numbers.step };
}

function behindPrefix(names: readonly string[]): ReadonlyMap<string, Numbers> {
  const found = new Map<string, Numbers>();
  const prefixes = new Set<string>();
  for (const name of names) {
    // The longest end of it that is the name of a step, and says so with a word.
    for (const { index } of name.matchAll(/[-_=](?=[A-Za-z])/g)) {
      const numbers = stepFrom(name.slice(index + 1));
      if (numbers === null) continue;
      found.set(name, numbers);
      prefixes.add(name.slice(0, index + 1));
      break;
    }
  }
  return found.size < SIBLINGS || prefixes.size > 1 ? new Map() : found;
}

function inStages(numbers: ReadonlyMap<string, Numbers>): ReadonlyMap<string, NamedPosition> {
  const all = [...numbers.values()].sort((a, b) => (a.epoch ?? 0) - (b.epoch ?? 0) || a.step - b.step);
  const counted = all.every(({ epoch, stage }) => epoch !== null && stage === null);
  const anew = counted && all.some(({ epoch, step }, i) => i > 0 && epoch! > all[i - 1]!.epoch! && step <= all[i - 1]!.step);
  return new Map([...numbers].map(([name, { epoch, ...position }]) => [name, anew ? { ...position, stage: epoch! + 1 } : position]));
}
