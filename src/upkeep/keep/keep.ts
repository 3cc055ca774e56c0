import { MergeError } from '../../base/errors.ts';
import { MOST } from '../../base/limits.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { optionName } from '../../base/option-words.ts';
import { refuse } from '../../base/problems.ts';
import { discoverRun } from '../../checkpoints/run/discover.ts';
import { countsAnew } from '../../checkpoints/run/position.ts';
import { aboutQuantity, formatQuantity, parseDistance } from '../../checkpoints/run/quantity.ts';
import { withTokens } from '../../checkpoints/run/token-source.ts';
import type { Quantity, Run, RunCheckpoint, TokenSource } from '../../checkpoints/run/types.ts';
import { checkGiven, type Taken } from '../../recipe/given.ts';
import { TOKENS } from '../../recipe/options.ts';
import { heldFast } from './held-saves.ts';
import { mostKept, type RetainedWindow, retained, retainedBy, type Spacing, savesWithin, windowsFor } from './retention.ts';
import { bytesOfAll } from './save-bytes.ts';
import { wholeOf } from './whole-save.ts';

export interface KeepOptions extends TokenSource {
  /** Run folder. */
  readonly run: string;
  /** Saves that there may be at once, the newest and those of `keepSteps` among them. */
  readonly budget: number;
  /** Windows that are to be merged later: lengths (`125B`, `5000steps`), or all of them shares of the training (`5%`). */
  readonly windows: readonly string[];
  /** `uniform` for lengths, `ratio` for shares of the training; as the windows are when absent. */
  readonly spacing?: Spacing | undefined;
  /** Members that each window is to hold at least; default 4. More where the budget allows. */
  readonly atLeast?: number | undefined;
  /** Distance between two saves of the trainer; the smallest that there is when absent. */
  readonly saveEvery?: string | number | undefined;
  /** Steps that are never let go. */
  readonly keepSteps?: readonly number[] | undefined;
}

/** What it takes, in the library. */
export const OF_KEEP = {
  run: { kind: 'path', needed: true },
  budget: { kind: 'count', needed: true },
  windows: { kind: 'texts', needed: true },
  spacing: { kind: 'choice', choices: ['uniform', 'ratio'] },
  atLeast: { kind: 'count' },
  saveEvery: { kind: 'distance' },
  keepSteps: { kind: 'steps' },
  ...TOKENS,
} as const satisfies Taken<KeepOptions>;

/** A save and why it stays. */
export interface KeptSave {
  /** All of it: where the model lies deeper in the folder of a step, that folder. */
  readonly path: string;
  readonly step: number | null;
  readonly tokens: number | null;
  /** Of all its files. */
  readonly bytes: number;
  /** Windows that it is a member of, and what holds it besides; `room in the budget` where nothing else does. */
  readonly why: readonly string[];
  /** Of these what holds it besides windows: then it stays as it is. */
  readonly held: readonly string[];
}

/** Which saves of a run to keep. Nothing was deleted. */
export interface KeepReport {
  readonly schema: 'ckpt-merge/keep';
  readonly version: 1;
  readonly run: string;
  readonly budget: number;
  readonly spacing: Spacing;
  /** Distance between saves that the future is reckoned with. */
  readonly saveEvery: string;
  readonly windows: readonly {
    readonly window: string;
    /** Members that it will hold at least at every save, from when so many were made in it. */
    readonly members: number;
    /** Distance between them, or ratio of one to the one before. */
    readonly apart: string;
    /** Members that it holds now, of those that are kept. */
    readonly now: number;
  }[];
  /** The most saves that windows need at once, now and later, with those that are held fast. */
  readonly most: number;
  readonly keep: readonly KeptSave[];
  readonly delete: readonly KeptSave[];
  readonly notes: readonly string[];
}

const SIZED_AT_ONCE = 8;
/** Why a save stays that no window needs. */
const ROOM = 'room in the budget';
/** Members of a window where nothing is said: with fewer, WSM lost most of its gain. */
const LEAST = 4;

/**
 * Which saves of a run to keep so that each window holds at least so many members at every save from now on, and
 * which may go: none while all of them are within the budget. Never the newest, the newest that training can go on from, one that a tracker or a link in the run
 * leads to, one of `keepSteps`, or what is of another stage or incomplete. Nothing is deleted.
 *
 * @throws MergeError E_OPTION for values that cannot be, windows of different kinds, and a budget below what the
 *   windows need, with the least that would do; E_NO_TOKENS, E_NO_POSITION where positions are unknown; what
 *   discovery and token sources throw
 */
export async function keep(options: KeepOptions): Promise<KeepReport> {
  checkGiven('keep', options, OF_KEEP);
  return keepIn(() => runOf(options), options);
}

async function runOf(options: KeepOptions): Promise<Run> {
  return withTokens(await discoverRun(options.run), options);
}

/** What is asked of a plan of saves, whoever asks for it and where the run comes from. */
export type KeepRequest = Omit<KeepOptions, keyof TokenSource>;

/** What the caller calls each of these, for messages. */
export type KeepNames = Readonly<Record<'budget' | 'windows' | 'spacing' | 'atLeast' | 'saveEvery' | 'keepSteps', string>>;

const OWN_NAMES: KeepNames = {
  budget: 'budget',
  windows: 'windows',
  spacing: 'spacing',
  atLeast: 'atLeast',
  saveEvery: 'saveEvery',
  keepSteps: 'keepSteps',
};

/** Refuses what no run could be kept by. @throws MergeError E_OPTION with everything that is wrong */
export function checkKeep(options: KeepRequest, names: KeepNames): void {
  askedWindows(options, names);
}

/**
 * {@link keep} of a run that was looked at before.
 * @param find is asked when all that can be said of the options alone was said
 * @param sizeOf bytes of all files of a save
 */
export async function keepIn(
  find: () => Run | Promise<Run>,
  options: KeepRequest,
  names: KeepNames = OWN_NAMES,
  sizeOf: (path: string) => Promise<number> = bytesOfAll,
): Promise<KeepReport> {
  const asked = askedWindows(options, names);
  const run = await find();
  const saves = savesOf(run);
  const unit = asked.unit ?? (saves.every(({ tokens }) => tokens !== null) ? 'tokens' : 'steps');
  const positions = positionsOf(run, saves, unit);
  const interval = intervalOf(options, positions, unit, names);
  const fast = await heldFast(run, saves, options.keepSteps ?? [], names);
  const at = (saves: Iterable<number>) => new Set([...saves].map((i) => positions[i]!));
  const held = at(fast.now.keys());
  const future: Future = { positions, spacing: asked.spacing, interval, held, fast: at(fast.later) };
  const windows = fitting(options, asked, unit, { ...future, names });
  const members = retainedBy(positions, windows, asked.spacing);
  const needed = retained(positions, windows, asked.spacing, held);
  const spare = withinBudget(positions.length, needed, options.budget);
  const kept = new Set([...needed, ...spare]);
  const newest = saves.length - 1;
  const texts = asked.windows.map(({ text }) => text);
  const bytes = await mapBounded(saves, SIZED_AT_ONCE, (save) => sizeOf(wholeOf(run, save)));
  const list = saves.map((save, i): KeptSave => {
    const { step, tokens } = save;
    const why = texts.filter((_, w) => members[w]!.includes(i));
    const held = [...(i === newest ? ['the newest'] : []), ...(fast.now.get(i) ?? [])];
    return { path: wholeOf(run, save), step, tokens, bytes: bytes[i]!, why: [...why, ...held, ...(spare.has(i) ? [ROOM] : [])], held };
  });
  const others = run.checkpoints.length - saves.length;
  return {
    schema: 'ckpt-merge/keep',
    version: 1,
    run: options.run,
    budget: options.budget,
    spacing: asked.spacing,
    saveEvery: formatQuantity({ value: interval, unit }),
    windows: windows.map(({ members: least, bucket, length }, w) => {
      const apart = asked.spacing === 'ratio' ? `× ${Math.exp(bucket).toFixed(4)}` : aboutQuantity({ value: bucket, unit });
      const from = asked.spacing === 'ratio' ? positions[newest]! * (1 - length) : positions[newest]! - length;
      return { window: texts[w]!, members: least, apart, now: positions.filter((t, i) => kept.has(i) && t > from).length };
    }),
    most: mostAtOnce(windows, future),
    keep: list.filter((_, i) => kept.has(i)),
    delete: list.filter((_, i) => !kept.has(i)),
    notes: [
      ...(spare.size === 0
        ? []
        : [
            `${spare.size} of them ${spare.size === 1 ? 'is' : 'are'} not needed for these windows; the budget has room for ${spare.size === 1 ? 'it' : 'them'}`,
          ]),
      ...(options.saveEvery === undefined
        ? [
            `saves are taken to come every ${aboutQuantity({ value: interval, unit })}, the smallest distance here; ${optionName(names.saveEvery)} says it otherwise`,
          ]
        : []),
      ...run.warnings.flatMap(({ code, message }) => (code === 'W_SAVE_ASIDE' ? [message] : [])),
      ...(others === 0 ? [] : [`${others} checkpoints of other stages are not looked at, and stay`]),
      ...(run.broken.length === 0 ? [] : [`${run.broken.length} that are incomplete or damaged are not looked at, and stay`]),
    ],
  };
}

/** The newest saves that nothing needs, as many as there is room for: what is deleted is not there for another window. */
function withinBudget(count: number, needed: ReadonlySet<number>, budget: number): ReadonlySet<number> {
  const others = Array.from({ length: count }, (_, i) => i).filter((i) => !needed.has(i));
  return new Set(others.slice(Math.max(0, others.length - Math.max(0, budget - needed.size))));
}

/** What is asked for, narrowest window first. */
interface Asked {
  readonly spacing: Spacing;
  /** Of lengths; null where windows are shares of the training. */
  readonly unit: 'tokens' | 'steps' | null;
  readonly windows: readonly { readonly text: string; readonly length: number }[];
}

function askedWindows({ windows, spacing, budget, atLeast }: KeepRequest, names: KeepNames): Asked {
  const problems: string[] = [];
  const name = optionName(names.windows);
  const units = new Set<Quantity['unit'] | 'share'>();
  const read = windows.flatMap((text) => {
    const [, share] = /^(\d+(?:\.\d+)?)\s*%$/.exec(text.trim()) ?? [];
    if (share !== undefined) {
      units.add('share');
      if (!(Number(share) > 0 && Number(share) < 100)) problems.push(`${name}: ${text} is no share over 0 % and below 100 %`);
      return [{ text, length: Number(share) / 100 }];
    }
    try {
      const { value, unit } = parseDistance(text, name);
      if (unit === 'checkpoints') problems.push(`${name} takes tokens, steps or shares of the training, not ${text}`);
      units.add(unit);
      return [{ text, length: value }];
    } catch (error) {
      if (!(error instanceof MergeError)) throw error;
      problems.push(error.message);
      return [];
    }
  });
  if (windows.length === 0) problems.push(`${name} names no window`);
  if (units.size > 1) problems.push(`${name} are all tokens, all steps or all shares of the training, not ${windows.join(', ')}`);
  const sorted = read.toSorted((a, b) => a.length - b.length);
  const twice = sorted.find(({ length }, i) => sorted[i - 1]?.length === length);
  if (twice !== undefined) problems.push(`${name} names ${twice.text} twice`);
  const own: Spacing = units.has('share') ? 'ratio' : 'uniform';
  if (spacing !== undefined && spacing !== own && units.size === 1) {
    const why =
      spacing === 'ratio'
        ? 'saves at a constant ratio thin out, and a window of fixed length would empty: give shares, as 10%'
        : 'a share of the training grows, and uniform saves with it: give lengths, as 125B';
    problems.push(`${optionName(names.spacing)} ${spacing} does not go with windows such as ${windows[0]}: ${why}`);
  }
  for (const [option, value] of Object.entries({ [names.budget]: budget, [names.atLeast]: atLeast })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1 && value <= MOST.count))
      problems.push(`${optionName(option)} takes a whole number of at least 1, not ${value}`);
  }
  refuse(problems, { several: (count) => `${count} things are wrong with what is to be kept` });
  const [unit] = [...units];
  return { spacing: own, unit: unit === 'share' ? null : (unit as 'tokens' | 'steps'), windows: sorted };
}

/** The saves of the newest stage, which are planned for. @throws MergeError E_NO_MEMBERS, E_SIBLINGS */
export function savesOf({ path, checkpoints }: Run): readonly RunCheckpoint[] {
  const newest = checkpoints.at(-1);
  if (newest === undefined) throw new MergeError('E_NO_MEMBERS', `${path}: there is no complete checkpoint`, { details: { file: path } });
  if (newest.ingredient !== null) {
    throw new MergeError('E_SIBLINGS', `${path}: its newest checkpoints are of ingredients, which no window spans`, {
      details: { file: path },
    });
  }
  return checkpoints.filter(({ stage, ingredient }) => stage === newest.stage && ingredient === null);
}

function positionsOf(run: Run, saves: readonly RunCheckpoint[], unit: 'tokens' | 'steps'): number[] {
  const at = saves.map((save) => (unit === 'tokens' ? save.tokens : countsAnew(save) ? null : save.step));
  const unknown = at.indexOf(null);
  if (unknown >= 0) {
    const message = `${run.path}: windows are in ${unit}, and ${saves[unknown]!.path} has none`;
    throw new MergeError(unit === 'tokens' ? 'E_NO_TOKENS' : 'E_NO_POSITION', message, { details: { file: saves[unknown]!.path } });
  }
  const falls = at.findIndex((position, i) => i > 0 && position! <= at[i - 1]!);
  if (falls > 0) {
    throw new MergeError('E_ORDER', `${run.path}: ${unit} do not rise from ${saves[falls - 1]!.path} to ${saves[falls]!.path}`, {
      details: { file: saves[falls]!.path },
    });
  }
  return at as number[];
}

function intervalOf({ saveEvery }: KeepRequest, positions: readonly number[], unit: 'tokens' | 'steps', names: KeepNames): number {
  const name = optionName(names.saveEvery);
  if (saveEvery !== undefined) {
    const { value, unit: own } = parseDistance(saveEvery, name);
    if (own !== unit) throw new MergeError('E_OPTION', `${name} is in ${own}, and windows are in ${unit}`);
    return value;
  }
  if (positions.length < 2) {
    const help = `Say it with ${name}, as 25B.`;
    throw new MergeError('E_OPTION', `there is one checkpoint, and so nothing says how often the trainer saves`, { help });
  }
  return Math.min(...positions.slice(1).map((t, i) => t - positions[i]!));
}

/** What a plan is reckoned with: where saves are, how they go on, and which of them are held now, and which later too. */
interface Future {
  readonly positions: readonly number[];
  readonly spacing: Spacing;
  readonly interval: number;
  readonly held: ReadonlySet<number>;
  readonly fast: ReadonlySet<number>;
}

/** The most saves that are kept at once, now and later. */
function mostAtOnce(windows: readonly RetainedWindow[], future: Future): number {
  const { positions, spacing, held } = future;
  return Math.max(retained(positions, windows, spacing, held).size, mostKept(positions, windows, future));
}

/** The windows with as many members as the budget allows. @throws MergeError E_OPTION where it allows too few */
function fitting(
  { budget, atLeast = LEAST }: KeepRequest,
  { windows, spacing }: Asked,
  unit: 'tokens' | 'steps',
  future: Future & { readonly names: KeepNames },
): readonly RetainedWindow[] {
  const { positions, interval, names } = future;
  const at = (position: number) => aboutQuantity({ value: position, unit });
  const first = positions[0]!;
  if (spacing === 'ratio' && first <= 0) {
    throw new MergeError('E_OPTION', `a checkpoint is at ${at(first)}: shares of the training begin after its start`, {
      help: 'Move it out of the run, or give windows as lengths.',
    });
  }
  const lengths = windows.map(({ length }) => length);
  const narrow = spacing === 'uniform' ? windows.find(({ length }) => savesWithin(length, interval) < atLeast) : undefined;
  if (narrow !== undefined) {
    const saves = savesWithin(narrow.length, interval);
    throw new MergeError(
      'E_OPTION',
      `a window of ${narrow.text} holds ${saves} of the saves, one every ${at(interval)}, and ${atLeast} members are asked for`,
      {
        help: `Ask for a window wider than ${at((atLeast - 1) * interval)}, or for fewer members with ${optionName(names.atLeast)} ${saves}.`,
      },
    );
  }
  const need = (members: number): readonly [RetainedWindow[], number] => {
    const found = windowsFor(lengths, members, spacing, interval);
    return [found, mostAtOnce(found, future)];
  };
  let [best, cost] = need(atLeast);
  if (cost > budget) {
    const help = `Give ${optionName(names.budget)} ${cost} or more, narrower or fewer windows, or fewer members with ${optionName(names.atLeast)}.`;
    throw new MergeError(
      'E_OPTION',
      `${optionName(names.budget)} ${budget} is too small: ${atLeast} members in each of ${windows.map(({ text }) => text).join(', ')} need ${cost} saves at once`,
      { help },
    );
  }
  // More members where there is room: the need grows with them, but for a step back where buckets divide well.
  const most = spacing === 'uniform' ? savesWithin(lengths.at(-1)!, interval) : budget;
  let [low, high] = [atLeast, Math.min(most, budget)];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const [found, needed] = need(middle);
    if (needed <= budget) [low, best, cost] = [middle, found, needed];
    else high = middle - 1;
  }
  return best;
}
