import { join, relative } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { plural } from '../../render/format.ts';
import { checkKeep, type KeepNames, type KeepReport, type KeepRequest, type KeptSave, keepIn, savesOf } from '../keep/keep.ts';
import { bytesOfAll } from '../keep/save-bytes.ts';
import { deletionScript, listedSaves, newestOf } from '../keep/script.ts';
import { wholeOf } from '../keep/whole-save.ts';
import { firstNeeded } from './selection.ts';
import { STRIP_STARTS, Stripping, type StrippingTools } from './stripping.ts';
import type { KeptSaves, WatchEvent, WatchOptions, WatchSummary } from './types.ts';
import type { Look } from './view.ts';
import { pathsFrom, SCRIPT_START, scriptText, WrittenFiles } from './written-files.ts';

/** Which saves to keep, by the last look at the run; and the lines of a shell that delete the others. */
const PLAN_FILE = 'keep-saves.json';
const LINES_FILE = 'keep-saves.sh';
const STARTS = { [PLAN_FILE]: '{"schema":"ckpt-merge/keep"', [LINES_FILE]: SCRIPT_START };

const NAMES: KeepNames = {
  budget: 'keepSaves',
  windows: 'keepWindows',
  spacing: 'keepWindows',
  atLeast: 'keepAtLeast',
  saveEvery: 'saveEvery',
  keepSteps: 'keepSteps',
};

/** What beside the number of saves says which; without that number none of them has a meaning. */
const BESIDE_KEEP_SAVES = ['keepWindows', 'keepAtLeast', 'saveEvery', 'keepSteps', 'stripSaves'] as const;

/**
 * Refuses what no run could be kept by, before the first round.
 * @throws MergeError E_OPTION
 */
export function checkKeeping(options: WatchOptions): void {
  const request = requestOf(options);
  if (request !== null) checkKeep(request, NAMES);
}

/** What is asked of a plan of saves; null where none is. @throws MergeError E_OPTION */
function requestOf(options: WatchOptions): KeepRequest | null {
  const { run, keepSaves, keepWindows, keepAtLeast, saveEvery, keepSteps } = options;
  if (keepSaves === undefined) {
    const alone = BESIDE_KEEP_SAVES.find((name) => options[name] !== undefined);
    if (alone === undefined) return null;
    throw new MergeError('E_OPTION', `${optionName(alone)} has a meaning only with ${optionName('keepSaves')}`);
  }
  if (keepWindows === undefined) {
    throw new MergeError('E_OPTION', `${optionName('keepSaves')} is a number of saves, and nothing says for which windows`, {
      help: `Name them with ${optionName('keepWindows')}, as 125B,500B.`,
    });
  }
  return { run, budget: keepSaves, windows: keepWindows, atLeast: keepAtLeast, saveEvery, keepSteps };
}

interface Said extends Pick<WatchEvent & { type: 'keeping' }, 'due' | 'error'> {
  readonly plan: string;
  readonly newest: string;
}

/**
 * Says at each look which saves of the run are to be kept for windows of later, and writes it into the watch's folder.
 * It deletes nothing, and names no save that the watch itself has still to merge.
 */
export class Keeping {
  readonly #options: WatchOptions;
  readonly #request: KeepRequest;
  readonly #files: WrittenFiles;
  /** Makes copies of what is kept; null where none are asked for. */
  readonly #stripping: Stripping | null;
  readonly #emit: (event: WatchEvent) => void;
  readonly #sizes = new Map<string, number>();
  #written = '';
  /** What was said last, and of which newest save. */
  #said: Said = { plan: '', newest: '', due: false, error: null };
  /** Whether there was a look at saves. */
  #begun = false;
  #saves: KeptSaves | null = null;
  /** Why the files could not be written at the last look. */
  #unwritten: string | null = null;
  readonly #failed: WatchSummary['failed'][number][] = [];

  private constructor(options: WatchOptions, request: KeepRequest, { files, emit }: StrippingTools, stripping: Stripping | null) {
    this.#options = options;
    this.#request = request;
    this.#files = files;
    this.#stripping = stripping;
    this.#emit = emit;
  }

  /**
   * @returns null where nothing of the kind is asked for
   * @throws MergeError E_OUTPUT_EXISTS where somebody else's file lies where it would write
   */
  static async of(options: WatchOptions, tools: Omit<StrippingTools, 'files'>): Promise<Keeping | null> {
    const request = requestOf(options);
    if (request === null) return null;
    const { output, stripSaves } = options;
    const starts = { ...STARTS, ...(stripSaves !== undefined && STRIP_STARTS) };
    const all = { ...tools, files: await WrittenFiles.of(output, tools.lock.folder, starts) };
    return new Keeping(options, request, all, stripSaves === undefined ? null : new Stripping(options, stripSaves, all));
  }

  /** By the last look; null before the first that could tell. */
  get saves(): KeptSaves | null {
    if (this.#saves === null || this.#stripping === null) return this.#saves;
    return { ...this.#saves, copied: this.#stripping.copied };
  }

  /** What could not be written, and copies that could not be made. */
  get failed(): WatchSummary['failed'] {
    return [...this.#failed, ...(this.#stripping?.failed ?? [])];
  }

  /** Makes a copy that is missing. @returns whether there may be more to do @throws as {@link Stripping.next} */
  async copyNext(signal: AbortSignal): Promise<boolean> {
    return (await this.#stripping?.next(signal)) ?? false;
  }

  /**
   * Plans anew, and writes what has changed. A run that is too young, or that the options do not fit any more, is
   * said at each new save, and leaves no line that deletes anything.
   * @throws MergeError E_OPTION where the options do not fit the run as it is at the first look
   */
  async update(look: Look): Promise<void> {
    try {
      await this.#update(look);
      this.#unwritten = null;
    } catch (error) {
      // What cannot be written now is tried again at the next look, and merges go on.
      if (!(error instanceof MergeError) || error.code === 'E_OPTION') throw error;
      if (error.message === this.#unwritten) return;
      this.#unwritten = error.message;
      this.#failed.push({ checkpoint: LINES_FILE, error });
      this.#say({ ...this.#said, due: false, error: error.message });
    }
  }

  async #update(look: Look): Promise<void> {
    // A run that is not there yet, or was there and is away, has its own line.
    if (look.saves.checkpoints.length === 0) return;
    const first = !this.#begun;
    this.#begun = true;
    let report: KeepReport;
    try {
      report = this.#withheld(
        await keepIn(
          () => look.saves,
          this.#request,
          NAMES,
          (path) => this.#sizeOf(path),
        ),
        look,
      );
    } catch (error) {
      if (!(error instanceof MergeError)) throw error;
      this.#saves = null;
      const document = { schema: 'ckpt-merge/keep', version: 1, error: error.message };
      if (first && error.code === 'E_OPTION' && !this.#isYoung(look)) {
        // What an earlier watch wrote would delete what these options may need.
        await this.#replaceBoth(`${JSON.stringify(document)}\n`, [], null);
        await this.#stripping?.update(look, null);
        throw error;
      }
      await this.#write(look, document, { keep: [], delete: [] }, error.message);
      await this.#stripping?.update(look, null);
      return;
    }
    const named = (saves: readonly KeptSave[]) => saves.map(({ path }) => relative(this.#options.run, path));
    this.#saves = { keep: named(report.keep), delete: named(report.delete) };
    await this.#write(look, report, report, null);
    await this.#stripping?.update(look, report);
  }

  /** Whether there is nothing yet that says how often the trainer saves. */
  #isYoung({ saves }: Look): boolean {
    return this.#request.saveEvery === undefined && savesOf(saves).length < 2;
  }

  /** A save that is complete stays as large as it is; one that its trainer deletes meanwhile has no size. */
  async #sizeOf(path: string): Promise<number> {
    const size = this.#sizes.get(path) ?? (await bytesOfAll(path).catch(() => null));
    if (size === null) return 0;
    this.#sizes.set(path, size);
    return size;
  }

  /** Without what rounds to come may need: their members stand at distances of their own. */
  #withheld(report: KeepReport, { saves, todo }: Look): KeepReport {
    const due = new Set(todo.map(({ name }) => name));
    const first = firstNeeded(this.#options, saves, (name) => due.has(name));
    const needed = new Set(saves.checkpoints.slice(first).map((save) => wholeOf(saves, save)));
    const why = 'the watch has still to merge it';
    const held = report.delete.filter(({ path }) => needed.has(path)).map((save) => ({ ...save, why: [why], held: [why] }));
    // A member of a round that is to come stays whole, whatever else it is kept for.
    const whole = report.keep.map((save) =>
      save.held.length > 0 || !needed.has(save.path) ? save : { ...save, why: [...save.why, why], held: [why] },
    );
    if (held.length === 0) return { ...report, keep: whole };
    const order = new Map(saves.checkpoints.map((save, i) => [wholeOf(saves, save), i]));
    const keep = [...whole, ...held].sort((a, b) => order.get(a.path)! - order.get(b.path)!);
    const note = `${plural(held.length, 'save')} beside these ${held.length === 1 ? 'stays' : 'stay'} until no round to come needs ${held.length === 1 ? 'it' : 'them'}`;
    return { ...report, keep, delete: report.delete.filter(({ path }) => !needed.has(path)), notes: [...report.notes, note] };
  }

  async #write(look: Look, document: object, saves: Pick<KeepReport, 'keep' | 'delete'>, error: string | null): Promise<void> {
    const plan = `${JSON.stringify(document)}\n`;
    if (plan !== this.#written) await this.#replaceBoth(plan, saves.delete, newestOf(saves));
    this.#written = plan;
    const said = { plan, newest: look.saves.checkpoints.at(-1)!.name, due: look.todo.length > 0 || look.settling, error };
    const before = this.#said;
    const again = error !== null ? said.newest !== before.newest : before.due && !said.due;
    if (plan === before.plan && !again) return;
    this.#say(said);
  }

  /** Says at the end what waited for rounds that are not to come. */
  end(): void {
    if (this.#said.due && this.#said.error === null) this.#say({ ...this.#said, due: false });
  }

  #say(said: Said): void {
    this.#said = said;
    const { due, error } = said;
    this.#emit({ type: 'keeping', saves: error === null ? this.saves : null, lines: join(this.#options.output, LINES_FILE), error, due });
  }

  async #replaceBoth(plan: string, going: readonly KeptSave[], newest: string | null): Promise<void> {
    // A copy that waits for a save's place goes with it.
    const waiting = (await this.#stripping?.waitingFor(going)) ?? [];
    const saves = await listedSaves(this.#options.run, [...going, ...waiting.map((path) => ({ path, step: null }))]);
    const paths = await pathsFrom(
      this.#options.output,
      saves.map(({ path }) => path),
    );
    const [last = null] = newest === null ? [] : await pathsFrom(this.#options.output, [newest]);
    const lines = deletionScript(
      saves.map((save, i) => ({ ...save, path: paths[i]! })),
      last,
    );
    const about = [
      'It deletes the saves that no window of later needs,',
      `${waiting.length > 0 ? 'and copies of them, ' : ''}as of the last look at the run; read it before you run it.`,
    ] as const;
    // Nothing that is deleted before its plan can be read.
    await this.#files.replace(PLAN_FILE, plan);
    await this.#files.replace(LINES_FILE, scriptText(about, lines));
  }
}
