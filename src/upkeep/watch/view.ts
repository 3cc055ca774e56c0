import { join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { reasonAgainstName } from '../../checkpoints/names.ts';
import { discoverRun } from '../../checkpoints/run/discover.ts';
import { comparePositions } from '../../checkpoints/run/position.ts';
import { withTokens } from '../../checkpoints/run/token-source.ts';
import type { BrokenCheckpoint, Run, RunCheckpoint, TokenSource } from '../../checkpoints/run/types.ts';
import { copiedFrom } from '../../merge/record/copied-from.ts';
import { pin, pinName, unpin } from './pins.ts';
import { firstNeeded } from './selection.ts';
import { Settling, type Signature, signatureOf } from './settle.ts';
import type { StateWriter, WatchState } from './state.ts';
import type { WatchEvent, WatchOptions } from './types.ts';

/** Seconds that a complete checkpoint must have stayed the same. */
export const DEFAULT_SETTLE = 10;
/** Checkpoints looked at together. */
const AT_ONCE = 16;

/** A run as a look found it. */
export interface Look {
  /** Checkpoints that are complete and stay as they are, in order; pinned ones at their pin. */
  readonly run: Run;
  /** The same without pins: what is there itself. */
  readonly saves: Run;
  /** Signatures of their tensors, by name. */
  readonly signatures: ReadonlyMap<string, string>;
  /** Those that need a round, oldest first. */
  readonly todo: readonly RunCheckpoint[];
  /** Whether some need a round as soon as they have stayed the same for long enough. */
  readonly settling: boolean;
}

/** A later one that is complete has a window without it. */
function stillChanging({ path, name, stage, ingredient, epoch, step, tokens }: RunCheckpoint): BrokenCheckpoint[] {
  return step === null
    ? []
    : [{ path, name, stage, ingredient, epoch, step, tokens, reason: 'it is being written, or changed a moment ago' }];
}

/** Without what its trainer writes anew again and again: `last` is another step at every look. */
function withoutRolling(run: Run): Run {
  return { ...run, checkpoints: run.checkpoints.filter(({ name }) => reasonAgainstName(name) === null) };
}

/** What will never be the folder of a run: a file, or what holds the run in one of its folders. */
function isElsewhere({ code, details }: MergeError): boolean {
  const { excluded, runs } = details as { readonly excluded?: readonly unknown[]; readonly runs?: readonly string[] };
  return code === 'E_NO_RUN' && (excluded === undefined || (excluded.length === 0 && runs !== undefined && runs.length > 0));
}

interface Signed {
  readonly checkpoint: RunCheckpoint;
  readonly signature: Signature;
}

/** Looks at a run again and again, by listing it: events of file systems do not cross a network. */
export class RunView {
  readonly #options: WatchOptions;
  readonly #state: WatchState;
  readonly #writer: StateWriter;
  readonly #emit: (event: WatchEvent) => void;
  readonly #settling: Settling;
  readonly #said = new Set<string>();
  readonly #tokens: TokenSource;
  #fresh: boolean;

  /** @param fresh whether this is the first start of the watch */
  constructor(
    options: WatchOptions,
    { state, fresh, writer }: { readonly state: WatchState; readonly fresh: boolean; readonly writer: StateWriter },
    emit: (event: WatchEvent) => void,
  ) {
    this.#options = options;
    this.#state = state;
    this.#fresh = fresh;
    this.#writer = writer;
    this.#emit = emit;
    this.#settling = new Settling(options.settle ?? DEFAULT_SETTLE);
    const { tokensPerStep, batchSchedule, tokensFile } = options;
    this.#tokens = { tokensPerStep, batchSchedule, tokensFile };
  }

  /**
   * What the run has now, with new members pinned.
   * @throws MergeError where an option does not fit the run; a run that cannot be listed is waited for
   *   instead
   */
  async look(signal: AbortSignal): Promise<Look> {
    const source = await this.#discover(signal);
    const complete = await this.#signed(source.checkpoints);
    await this.#takeAsDone(complete);
    await this.#takeCopiesAsDone(complete);
    for (const { path, step, reason } of source.excluded) this.say(path, step, reason);
    const settled = complete.filter(({ checkpoint, signature }) => {
      const known = this.#state.done.get(checkpoint.name) === signature.tensors;
      return this.#settling.settled(checkpoint.path, signature) || known;
    });
    const settling = complete.length > settled.length;
    const changing = complete.filter((one) => !settled.includes(one)).flatMap(({ checkpoint }) => stillChanging(checkpoint));
    const broken = [...source.broken, ...changing];
    let checkpoints = settled.map(({ checkpoint }) => checkpoint);
    const saves: Run = { ...source, checkpoints, broken };
    const signatures = new Map(settled.map(({ checkpoint, signature }) => [checkpoint.name, signature.tensors]));
    if (this.#options.pin !== undefined)
      checkpoints = await this.#pinned(this.#options.pin, { ...source, checkpoints }, signatures, signal);
    const todo = checkpoints.filter(({ name }) => this.#state.done.get(name) !== signatures.get(name));
    return { run: { ...source, checkpoints, broken }, saves, signatures, todo, settling };
  }

  /** Reports something once. */
  say(path: string, step: number | null, reason: string): void {
    if (this.#said.has(path)) return;
    this.#said.add(path);
    this.#emit({ type: 'waiting', path, step, reason });
  }

  async #discover(signal: AbortSignal): Promise<Run> {
    const { run } = this.#options;
    let found: Run;
    try {
      found = withoutRolling(await discoverRun(run, { signal, mixedDtypes: this.#options.allowMixedDtypes }));
    } catch (error) {
      signal.throwIfAborted();
      // A trainer that has not begun, or a file server that is away: both come.
      if (!(error instanceof MergeError) || error.exitCode === 2) throw error;
      if (this.#options.once && error.code === 'E_NOT_FOUND') throw error;
      // A watch that has merged here goes on: what it watched may come again.
      if ((this.#options.once || this.#state.done.size === 0) && isElsewhere(error)) throw error;
      this.say(run, null, error.message);
      return { path: run, checkpoints: [], excluded: [], broken: [], abandoned: [], log: [], warnings: [] };
    }
    return withTokens(found, this.#tokens);
  }

  async #signed(checkpoints: readonly RunCheckpoint[]): Promise<readonly Signed[]> {
    const signed = await mapBounded(checkpoints, AT_ONCE, async (checkpoint) => ({
      checkpoint,
      signature: await signatureOf(checkpoint.path),
    }));
    return signed.flatMap(({ checkpoint, signature }) => (signature === null ? [] : [{ checkpoint, signature }]));
  }

  /**
   * What was there before the first start is history, but for the newest: a watch is about what comes. An
   * accumulator wants everything.
   */
  async #takeAsDone(complete: readonly Signed[]): Promise<void> {
    if (!this.#fresh) return;
    this.#fresh = false;
    if (this.#options.accumulate === undefined) {
      for (const { checkpoint, signature } of complete.slice(0, -1)) this.#state.done.set(checkpoint.name, signature.tensors);
    }
    await this.#writer.save(this.#state);
  }

  /** A save whose place a copy of its model alone has taken (`merge keep`) was merged, if it was, and is what it was. */
  async #takeCopiesAsDone(complete: readonly Signed[]): Promise<void> {
    const { done, bad } = this.#state;
    let changed = false;
    for (const { checkpoint, signature } of complete) {
      const { name, path } = checkpoint;
      const known = done.get(name);
      if (known === undefined || known === signature.tensors || (await copiedFrom(path)) === null) continue;
      if (bad.get(name) === known) bad.set(name, signature.tensors);
      done.set(name, signature.tensors);
      changed = true;
    }
    if (changed) await this.#writer.save(this.#state);
  }

  /**
   * Pins what a window may still need, lets go of the rest, and answers with the run's checkpoints and the
   * pins of those that are gone.
   */
  async #pinned(folder: string, source: Run, signatures: Map<string, string>, signal: AbortSignal): Promise<RunCheckpoint[]> {
    const held = new Set(this.#state.pins);
    const there = held.size === 0 ? [] : await this.#pinsIn(folder, signal);
    const pins = new Map(there.filter(({ name }) => held.has(name)).map((checkpoint) => [checkpoint.name, checkpoint]));
    const live = new Set(source.checkpoints.map(({ name }) => name));
    for (const { checkpoint, signature } of await this.#signed([...pins.values()])) {
      if (!live.has(checkpoint.name)) signatures.set(checkpoint.name, signature.tensors);
    }
    const gone = [...pins.values()].filter(({ name }) => !live.has(name));
    const all = [...source.checkpoints, ...gone].sort(comparePositions);
    const needed = firstNeeded(
      this.#options,
      { ...source, checkpoints: all },
      (name) => this.#state.done.get(name) !== signatures.get(name),
    );
    // What has still to be scored stays, too.
    const waiting = new Set(this.#state.waiting.flatMap((one) => (one.kind === 'single' ? [one.checkpoint] : [])));
    const wanted = all.filter(({ name }, i) => i >= needed || waiting.has(name));
    await this.#claim(folder, wanted);
    const members: RunCheckpoint[] = [];
    for (const checkpoint of wanted) {
      const { name } = checkpoint;
      const own = this.#state.pins.has(name);
      try {
        const { followLinks, for: purpose, weightsFrom } = this.#options;
        const options = { followLinks, name: pinName(checkpoint), withState: purpose === 'resume' || weightsFrom === 'master' };
        const path = live.has(name) ? await pin(checkpoint.path, folder, signatures.get(name)!, own, options) : checkpoint.path;
        members.push({ ...checkpoint, path });
        if (!held.has(name)) this.#emit({ type: 'pinned', path });
      } catch (error) {
        if (!(error instanceof MergeError)) throw error;
        this.say(checkpoint.path, checkpoint.step, error.message);
        members.push(checkpoint);
      }
    }
    const kept = new Set(members.map(({ name }) => name));
    const passed = [...held].filter((name) => !kept.has(name));
    for (const name of passed) {
      const path = join(folder, name);
      await unpin(path);
      this.#state.pins.delete(name);
      this.#emit({ type: 'unpinned', path });
    }
    if (passed.length > 0) await this.#writer.save(this.#state);
    const pinned = new Map(members.map((member) => [member.name, member]));
    return all.flatMap((checkpoint) => pinned.get(checkpoint.name) ?? (live.has(checkpoint.name) ? [checkpoint] : []));
  }

  /**
   * Notes which pins will be made, before they are: what has their names already is not the watch's, and is
   * never removed.
   */
  async #claim(folder: string, wanted: readonly RunCheckpoint[]): Promise<void> {
    let claimed = false;
    for (const { name, path } of wanted) {
      if (this.#state.pins.has(name) || (await signatureOf(join(folder, pinName({ name, path })))) !== null) continue;
      this.#state.pins.add(name);
      claimed = true;
    }
    if (claimed) await this.#writer.save(this.#state);
  }

  async #pinsIn(folder: string, signal: AbortSignal): Promise<readonly RunCheckpoint[]> {
    try {
      return (await withTokens(await discoverRun(folder, { signal }), this.#tokens)).checkpoints;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof MergeError) || error.exitCode === 2) throw error;
      this.say(folder, null, error.message);
      return [];
    }
  }
}
