import { type NamedPosition, type NumbersOfName, numbersFromName, reasonAgainstName } from './names.ts';

/** Fewer than this have nothing in common that says anything. */
const SIBLINGS = 2;

/** Beginnings of names that speak of copies, and not of another training: `best-checkpoint-50`. */
const OF_COPIES = /(^|[-_=.])(best|final|last|latest|newest|top\d*|swa|avg|averaged?|merged?|ema)[-_=.]$/i;
/**
 * Words that count steps where they are all of a name; behind a beginning they may be those of an ablation's
 * settings.
 */
const WEAK_WORD = /^(batch|ba|updates?)[-_=]?\d/i;

/** What names of one folder say together. */
export interface NamesTogether {
  readonly positions: ReadonlyMap<string, NamedPosition>;
  /**
   * Epochs, where these names count nothing else (`epoch_3`), so that there are no positions. An epoch orders
   * checkpoints as a step does, and is none: what a state file says goes before.
   */
  readonly epochs: ReadonlyMap<string, number>;
  /** Names of steps or epochs in other forms than those that are read, with why that is. */
  readonly apart: ReadonlyMap<string, ApartName>;
}

/** A name of a step or an epoch in another form. */
export interface ApartName {
  readonly reason: string;
  /** Patterns of forms that are as frequent, of which one has to be named; empty where another is taken. */
  readonly patterns: readonly string[];
  /** Where it may well be missed, how many there are of its form; null for copies and epochs. */
  readonly missed: number | null;
}

/** Names of one form: what all of them begin with, and what they count. */
interface Form {
  readonly prefix: string;
  readonly counts: 'steps' | 'epochs';
  readonly found: Map<string, NumbersOfName>;
}

/**
 * What the names of one folder say together: those of the form that most of them have. Names that are those
 * of steps alone are such a form, of whatever number; others share a beginning (`llama-1b-step20` beside
 * `llama-1b-step40`; not beside `llama-7b-step40`, which is another training), or count epochs alone. Of
 * forms that are as frequent the first of these decides, and of two beginnings none. Where steps begin anew
 * in every epoch (`epoch_0_step_100`, `epoch_1_step_100`), positions have the epoch.
 * @param names of folders, or of files without their extension; others among them are passed over
 */
export function namesTogether(names: readonly string[]): NamesTogether {
  const forms = formsOf(names).sort((a, b) => b.found.size - a.found.size || rank(a) - rank(b));
  const isGroup = ({ prefix, counts, found }: Form) => (prefix === '' && counts === 'steps') || found.size >= SIBLINGS;
  const groups = forms.filter((form) => isGroup(form) && !OF_COPIES.test(form.prefix));
  const [first, second] = groups;
  const even = first !== undefined && second !== undefined && second.found.size === first.found.size;
  const tied = even && first.prefix !== '' && second.prefix !== first.prefix && rank(second) === rank(first);
  const chosen = tied ? undefined : first;
  const rivals = tied ? groups.filter(({ found }) => found.size === first.found.size) : [];
  const apart = new Map<string, ApartName>();
  if (first !== undefined) {
    const patterns = rivals.map(patternOf);
    for (const form of forms) {
      if (form === chosen) continue;
      const reason = tied
        ? reasonOfTie(first, rivals.length)
        : `named in another form than the ${first.found.size} that are taken (${patternOf(first)})`;
      const missed = form.counts === 'epochs' || OF_COPIES.test(form.prefix) ? null : form.found.size;
      for (const name of form.found.keys()) apart.set(name, { reason, patterns, missed });
    }
  }
  const ofEpochs = chosen?.counts === 'epochs';
  return {
    positions: chosen === undefined || ofEpochs ? new Map() : withEpochs(chosen.found),
    epochs: ofEpochs ? new Map([...chosen.found].map(([name, { epoch }]) => [name, epoch!])) : new Map(),
    apart,
  };
}

/** `llama-step*` of `llama-step20`, `llama-step40`. */
function patternOf({ prefix, found }: Form): string {
  const [name = ''] = found.keys();
  return `${name.slice(0, prefix.length)}${name.slice(prefix.length).replace(/\d.*$/, '')}*`;
}

function reasonOfTie({ found }: Form, rivals: number): string {
  return `there are ${rivals} trainings of ${found.size} checkpoints each, by their names, and nothing says which is meant`;
}

/** Of forms that are as frequent. */
function rank({ prefix, counts }: Form): number {
  return (prefix === '' ? 0 : 1) + (counts === 'steps' ? 0 : 2);
}

function formsOf(names: readonly string[]): Form[] {
  const forms = new Map<string, Form>();
  for (const name of names) {
    const { prefix, numbers } = ownNumbers(name) ?? behindPrefix(name) ?? {};
    if (prefix === undefined || numbers === undefined) continue;
    const counts = numbers.step === null ? 'epochs' : 'steps';
    const form = forms.get(`${counts} ${prefix}`) ?? { prefix, counts, found: new Map<string, NumbersOfName>() };
    forms.set(`${counts} ${prefix}`, form);
    form.found.set(name, numbers);
  }
  return [...forms.values()];
}

interface Read {
  readonly prefix: string;
  readonly numbers: NumbersOfName;
}

function ownNumbers(name: string, prefix = ''): Read | null {
  const numbers = numbersFromName(name);
  if (numbers === null) return null;
  const { epoch, ...others } = numbers;
  const epochAlone = epoch !== null && Object.values(others).every((value) => value === null);
  return numbers.step !== null || epochAlone ? { prefix, numbers } : null;
}

/** The longest end of a name that is the name of a step or an epoch, and says so with a word. */
function behindPrefix(name: string): Read | null {
  if (reasonAgainstName(name) !== null) return null;
  for (const { index } of name.matchAll(/[-_=.](?=[A-Za-z])/g)) {
    const end = name.slice(index + 1);
    const found = WEAK_WORD.test(end) ? null : ownNumbers(end, name.slice(0, index + 1));
    if (found !== null) return found;
  }
  return null;
}

/** Positions, with the epoch where steps begin anew in each of a stage. */
function withEpochs(found: ReadonlyMap<string, NumbersOfName>): ReadonlyMap<string, NamedPosition> {
  const all = [...found.values()];
  const anew = new Set<string>();
  const keyOf = ({ stage, ingredient }: NumbersOfName) => `${stage} ${ingredient}`;
  for (const key of new Set(all.map(keyOf))) if (beginAnew(all.filter((numbers) => keyOf(numbers) === key))) anew.add(key);
  return new Map(
    [...found].map(([name, numbers]) => {
      const { stage, ingredient, step, tokens, epoch } = numbers;
      return [name, { stage, ingredient, ...(anew.has(keyOf(numbers)) && { epoch: epoch! }), step: step!, tokens }];
    }),
  );
}

/**
 * Whether a later epoch has an earlier step than one before it, or each epoch one and the same. One that
 * begins at the step at which the one before ended is counted on: both were saved there.
 */
function beginAnew(all: readonly NumbersOfName[]): boolean {
  if (all.some(({ epoch }) => epoch === null)) return false;
  const sorted = [...all].sort((a, b) => a.epoch! - b.epoch! || a.step! - b.step!);
  const falls = sorted.some(({ step }, i) => i > 0 && step! < sorted[i - 1]!.step!);
  const epochs = new Set(all.map(({ epoch }) => epoch)).size;
  return falls || (epochs > 1 && epochs === all.length && all.every(({ step }) => step === all[0]!.step));
}
