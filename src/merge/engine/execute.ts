import { MergeError, type Warning } from '../../base/errors.ts';
import { assertUnchanged } from '../../checkpoints/fingerprint.ts';
import type { NativeBinding } from '../native/binding.ts';
import { loadBinding } from '../native/load.ts';
import type { JournalUnit, Publication } from '../output/types.ts';
import type { Plan } from '../plan/types.ts';
import { type FoundOf, severalAsOne } from '../plan/warnings.ts';
import { checkFinished } from './check-finished.ts';
import type { MergeEvent, MergeResult } from './events.ts';
import { describeFailure } from './failure.ts';
import { beginPublications, publishOutput } from './finalize.ts';
import { FinishedFiles } from './finished-files.ts';
import { type IoChoice, OpenInputs } from './input-files.ts';
import { type EngineChoices, EngineHolder } from './native-engine.ts';
import { NonfiniteTally } from './nonfinite.ts';
import { ShardOutputs } from './output-files.ts';
import { PASSES } from './passes/all.ts';
import { CallRunner, type Calls } from './passes/calls.ts';
import type { UnitBatch, UnitWork } from './passes/pass.ts';
import { RoundingTally } from './rounding.ts';
import type { SharedTotals, SharedWork } from './shared-work.ts';
import { Pace, type ThrottleChoices } from './throttle.ts';
import { type CallTotals, MergeTotals } from './totals.ts';
import { planUnits, type Unit } from './units.ts';

export interface ExecuteOptions extends EngineChoices, ThrottleChoices {
  /** Mapped or positioned reads; `auto` decides by file system. */
  readonly io?: IoChoice | undefined;
  readonly force?: boolean | undefined;
  readonly resume?: boolean | undefined;
  /**
   * Whether a merge that is interrupted, or fails for want of space or the like, leaves its finished units
   * for `resume`. Default true.
   */
  readonly keep?: boolean | undefined;
  /**
   * NaN or infinity in an input, or a sum that overflows, fails the whole run, though it may be in the
   * members of one output only.
   */
  readonly failNonfinite?: boolean | undefined;
  /**
   * Bytes of output that are fsynced and journaled together, what an interruption loses at most; default
   * 4 GiB. A resume makes units of another size anew.
   */
  readonly unitBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Indices of units (`planUnits`), in the order in which they are to be made: known beforehand, or found out
 * as the work goes on. Units that are finished already are passed over.
 */
export type UnitSequence = Iterable<number> | AsyncIterable<number>;

/**
 * Carries out a plan: every tensor file of every output in one read of the inputs, then publishes each output
 * whole. Ends by `return`, abort (`signal.reason` is thrown as it is) or MergeError; in both latter cases
 * nothing is published and, unless finished units are kept for a resume, nothing is left.
 *
 * @param order of the units; all in the order of the files when absent. With `resume` it may leave out those
 *   that the partial has. Nothing that is published depends on it.
 */
export async function* executePlan(
  plan: Plan,
  options: ExecuteOptions = {},
  order?: UnitSequence,
): AsyncGenerator<MergeEvent, MergeResult> {
  return yield* carryOut(plan, options, order, (run) => run.finish());
}

/**
 * Makes some units of a plan and leaves them in the partials of its outputs, from where `executePlan` with
 * `resume` publishes them when all are there. Ends otherwise as `executePlan` does.
 */
export async function* executeUnits(plan: Plan, options: ExecuteOptions, units: UnitSequence): AsyncGenerator<MergeEvent, void> {
  yield* carryOut(plan, options, units, (run) => run.leave());
}

/**
 * Carries out this process's share of a plan on which several work, and publishes the outputs where it is the
 * one to do so. Its publications are the caller's to end, whatever happens.
 * @throws what `shared.check` throws
 */
export async function* executeShared(plan: Plan, options: ExecuteOptions, shared: SharedWork): AsyncGenerator<MergeEvent, MergeResult> {
  return yield* carryOut(plan, options, undefined, (run) => run.finish(), shared);
}

async function* carryOut<T>(
  plan: Plan,
  options: ExecuteOptions,
  units: UnitSequence | undefined,
  end: (run: MergeRun) => AsyncGenerator<MergeEvent, T>,
  shared?: SharedWork,
): AsyncGenerator<MergeEvent, T> {
  options.signal?.throwIfAborted();
  const run = new MergeRun(plan, options, loadBinding(), shared);
  try {
    yield { type: 'plan', plan };
    yield* run.begin();
    for await (const index of units ?? run.sequence()) {
      if (index === null) yield* run.waiting();
      else yield* run.unit(index);
    }
    return yield* end(run);
  } catch (error) {
    const kept = await run.end(error);
    for (const output of kept) yield { type: 'kept', output };
    throw kept.length > 0 && error instanceof MergeError ? withKept(error, kept) : error;
  } finally {
    await run.end();
  }
}

/**
 * Exit codes of failures that pass, or that the user can mend: of the disk, of space and memory, of the
 * moment.
 */
const PASSING: ReadonlySet<number> = new Set([1, 6, 75]);

/**
 * Whether finished units may be of use to a later run: not where an input changed or is gone, or the same
 * merge would fail again; nor of a defect of this program, whose work is not to be relied on.
 */
export function canGoOn(error: unknown): boolean {
  return error instanceof MergeError && PASSING.has(error.exitCode) && error.code !== 'E_INTERNAL';
}

function withKept({ code, message, details, help, cause }: MergeError, kept: readonly string[]): MergeError {
  return new MergeError(code, message, { details: { ...details, kept }, help, cause });
}

class MergeRun {
  readonly units: readonly Unit[];
  readonly #plan: Plan;
  readonly #options: ExecuteOptions;
  readonly #binding: NativeBinding;
  readonly #inputs: OpenInputs;
  readonly #engine: EngineHolder;
  readonly #finished: FinishedFiles;
  readonly #nonfinite: NonfiniteTally;
  readonly #rounding: RoundingTally;
  readonly #totals: MergeTotals;
  readonly #calls: CallRunner;
  readonly #pace: Pace;
  readonly #shared: SharedWork | undefined;
  readonly #publications: Publication[] = [];
  /** [K] what there was to say of each output: all that its provenance records. */
  readonly #warnings: Warning[][];
  readonly #said: Warning[] = [];
  /** What publishing found since the last event. */
  readonly #unsaid: Warning[] = [];
  /** Shards whose files were made, maybe for another unit. */
  readonly #begun = new Set<number>();
  #outputs: ShardOutputs | undefined;
  #leaving = false;
  #syncing: Promise<void> = Promise.resolve();
  #ending: Promise<readonly string[]> | undefined;
  #published = 0;

  constructor(plan: Plan, options: ExecuteOptions, binding: NativeBinding, shared?: SharedWork) {
    this.units = planUnits(plan, { size: options.unitBytes });
    this.#plan = plan;
    this.#options = options;
    this.#binding = binding;
    this.#inputs = new OpenInputs(binding, plan, options.io ?? 'auto');
    this.#engine = new EngineHolder(binding, plan, options);
    this.#finished = new FinishedFiles(plan, this.units, binding);
    this.#nonfinite = new NonfiniteTally(plan);
    this.#rounding = new RoundingTally(plan.outputs.length);
    this.#totals = new MergeTotals(plan);
    this.#warnings = plan.outputs.map((output) => [...output.warnings]);
    this.#pace = new Pace(options);
    this.#shared = shared;
    this.#calls = new CallRunner(options.signal, () => {
      this.#shared?.check();
      this.#tell();
    });
  }

  /** Units in the order in which this process makes them; null while others make those that are left. */
  sequence(): Iterable<number> | AsyncIterable<number | null> {
    return this.#shared?.units(this.units, () => this.#settleSync()) ?? this.units.keys();
  }

  /** Tells the others what this process did, and counts what they did. */
  #tell(): SharedTotals | undefined {
    const all = this.#shared?.totals(this.#totals.own);
    if (all !== undefined) this.#totals.share(all);
    return all;
  }

  /** While others work. */
  *waiting(): Generator<MergeEvent> {
    this.#options.signal?.throwIfAborted();
    this.#tell();
    const progress = this.#totals.progress('merge', this.#plan.shards.length - 1);
    if (progress !== undefined) yield progress;
  }

  /** Says each warning once, though it may be about several outputs. */
  *#say(warnings: Iterable<Warning>): Generator<MergeEvent> {
    for (const warning of warnings) {
      if (this.#said.some(({ code, message }) => code === warning.code && message === warning.message)) continue;
      this.#said.push(warning);
      yield { type: 'warning', warning };
    }
  }

  async *begin(): AsyncGenerator<MergeEvent> {
    if (this.#shared !== undefined) {
      this.#publications.push(...this.#shared.publications);
      yield* this.#say(this.#plan.warnings);
      return;
    }
    await beginPublications(
      this.#plan,
      this.#binding,
      this.#options,
      (publication) => this.#publications.push(publication),
      (k, warning) => {
        this.#unsaid.push(warning);
        this.#warnings[k]!.push(warning);
      },
    );
    yield* this.#say([...this.#plan.warnings, ...this.#unsaid.splice(0)]);
    const changed = yield* checkFinished(this.#publications, {
      binding: this.#binding,
      totals: this.#totals,
      signal: this.#options.signal,
    });
    for (const [k, warning] of changed.entries()) {
      if (warning === null) continue;
      this.#warnings[k]!.push(warning);
      yield* this.#say([warning]);
    }
  }

  async *unit(index: number): AsyncGenerator<MergeEvent> {
    const unit = this.units[index];
    if (unit === undefined) throw new MergeError('E_INTERNAL', `there is no unit ${index} among ${this.units.length}`);
    if (this.#found(unit)) return;
    this.#options.signal?.throwIfAborted();
    this.#inputs.openFor(unit.shard);
    const outputs = this.#outputsOf(unit.shard);
    // While the first calls are at work: what lies between thousands of tensors takes a moment.
    const framed = new Promise<void>((resolve) => setImmediate(resolve)).then(() => outputs.writeFrame(this.#plan, unit));
    framed.catch(() => {});
    const work = this.#work(unit, outputs);
    for (const pass of PASSES) if (pass.concerns(this.#plan, unit)) yield* pass.carryOut(work);
    await framed;
    await this.#complete(unit, outputs);
  }

  /** Whether a unit is finished: made by this run, or found in the journals. */
  #found(unit: Unit): boolean {
    if (this.#finished.has(unit)) return true;
    const before = this.#finished.resumable(unit, this.#publications);
    if (before === undefined) return false;
    this.#finished.add(unit, before);
    // What others made counts among what all did.
    if (this.#shared === undefined) for (const { start, end } of before) this.#totals.resumed(end - start);
    return true;
  }

  /** The files of a shard, opened where the unit before was of another one. */
  #outputsOf(shard: number): ShardOutputs {
    if (this.#outputs?.shard === shard) return this.#outputs;
    this.#leaveShard();
    const shared = this.#shared !== undefined;
    const begun = shared || this.#options.resume === true || this.#begun.has(shard);
    this.#begun.add(shard);
    this.#outputs = new ShardOutputs(this.#binding, this.#plan, this.#publications, shard, { begun, shared });
    return this.#outputs;
  }

  /** Closes the files in work when the last unit of them is safe. */
  #leaveShard(): void {
    const outputs = this.#outputs;
    if (outputs === undefined) return;
    this.#outputs = undefined;
    this.#syncing = this.#syncing.finally(() => outputs.close());
    this.#syncing.catch(() => {});
  }

  #work(unit: Unit, outputs: ShardOutputs): UnitWork {
    return {
      plan: this.#plan,
      unit,
      engine: this.#engine.get(this.#inputs.modes.has('read')),
      outputs,
      nonfinite: this.#nonfinite,
      rounding: this.#rounding,
      cancel: this.#calls.cancel,
      inputs: ({ files }) => files.map((f) => this.#inputs.get(f)),
      run: (calls) => this.#run(unit, calls),
    };
  }

  async *#run<B extends UnitBatch, R extends CallTotals>(unit: Unit, calls: Omit<Calls<B, R>, 'failure'>): AsyncGenerator<MergeEvent> {
    const failure = (cause: unknown, batch: B): unknown => describeFailure(cause, { batch, plan: this.#plan, shard: unit.shard });
    for await (const result of this.#calls.run({ ...calls, next: this.#pace.of(calls.next), failure })) {
      this.#totals.called(result);
      const progress = this.#totals.progress('merge', unit.shard);
      if (progress !== undefined) yield progress;
    }
  }

  /** Starts the unit's fsync and journal, which overlap the next unit's work; at most one at a time. */
  async #complete(unit: Unit, outputs: ShardOutputs): Promise<void> {
    const counted = this.#nonfinite.endUnit(await outputs.takeUnit(this.#plan, unit));
    const rounding = this.#rounding.endUnit();
    const lines = counted.map((line, k) => (rounding[k]!.length === 0 ? line : { ...line, rounding: rounding[k]! }));
    this.#finished.add(unit, lines);
    await this.#settleSync();
    this.#syncing = this.#makeSafe(lines, outputs);
    this.#syncing.catch(() => {});
  }

  async #makeSafe(lines: readonly JournalUnit[], outputs: ShardOutputs): Promise<void> {
    if (this.#options.sync === false) return;
    const syncs = outputs.files.map((file, k) =>
      file.sync().catch((cause: unknown) => {
        throw describeFailure(cause, { path: this.#plan.outputs[k]!.path });
      }),
    );
    await Promise.all(syncs);
    // Before: whoever sees that all is journaled, and publishes, has seen what it took.
    await this.#shared?.tell(this.#totals.own);
    // Together: a unit that only some of the journals have is made anew.
    await Promise.all(lines.map((line, k) => this.#publications[k]!.journal(line)));
  }

  /** Waits for the running fsync, but no longer than until an abort. */
  async #settleSync(): Promise<void> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    const before = performance.now();
    let aborted = (): void => {};
    const abort = new Promise<never>((_, reject) => {
      aborted = () => reject(signal?.reason);
      signal?.addEventListener('abort', aborted, { once: true });
    });
    await Promise.race([this.#syncing, abort]).finally(() => signal?.removeEventListener('abort', aborted));
    this.#totals.waitedForSync((performance.now() - before) / 1000);
  }

  async *finish(): AsyncGenerator<MergeEvent, MergeResult> {
    const { members, shards, outputs } = this.#plan;
    if (outputs.length === 0) return yield* this.#done();
    const isWhole = this.units.map((unit) => this.#found(unit)).every(Boolean);
    yield this.#totals.progress('sync', shards.length - 1)!;
    this.#inputs.closeAll();
    this.#leaveShard();
    await this.#settleSync();
    const publishes = this.#shared === undefined || (await this.#shared.publishes());
    if (publishes || isWhole) yield* this.#sumUp();
    if (!publishes) return yield* this.#done();
    for (const member of members) if (member.participates) await assertUnchanged(member.checkpoint);
    this.#options.signal?.throwIfAborted();
    const all = this.#tell();
    yield this.#totals.progress('publish', shards.length - 1)!;
    for (const [k, publication] of this.#publications.entries()) {
      if (await this.#shared?.isPublished(k)) continue;
      const { seconds, bytesRead } = all ?? this.#totals;
      const timings = {
        ...{ seconds, bytesRead, bytesWritten: outputs[k]!.bytes },
        ...(all !== undefined && { ranks: all.ranks, hosts: all.hosts, job: all.job }),
      };
      const rounding = this.#rounding.figures(k);
      await publishOutput(
        this.#plan,
        k,
        publication,
        this.#finished,
        this.#binding,
        { warnings: this.#warnings[k]!, rounding, timings },
        this.#options.signal,
      );
      this.#published = k + 1;
      yield* this.#say(this.#unsaid.splice(0));
    }
    return yield* this.#done();
  }

  /** Puts together what was found in all units, and says it. @throws MergeError E_NONFINITE */
  *#sumUp(): Generator<MergeEvent> {
    for (const [{ shard }, lines] of this.#finished.inOrder()) {
      this.#nonfinite.restore(shard, lines);
      this.#rounding.restore(lines.map((line) => line.rounding ?? []));
    }
    this.#reportNonfinite();
    const all: FoundOf[] = [];
    for (const [k, found] of this.#nonfinite.warnings().entries()) {
      const { path } = this.#plan.outputs[k]!;
      const warnings = [...found, ...this.#rounding.warnings(k, path)];
      this.#warnings[k]!.push(...warnings);
      all.push(...warnings.map((warning) => ({ warning, of: warning.message.includes(path) ? [path] : [], named: true })));
    }
    yield* this.#say(severalAsOne(all));
  }

  *#done(): Generator<MergeEvent, MergeResult> {
    const { outputs } = this.#plan;
    const { modes } = this.#inputs;
    const io = modes.size === 2 ? 'mixed' : modes.has('read') ? 'read' : 'map';
    const isa = this.#options.tuning?.isa ?? this.#binding.cpuInfo().active;
    const rounding = outputs.map((_, k) => this.#rounding.figures(k));
    this.#tell();
    const result = this.#totals.result({ threads: this.#engine.threads, isa, io }, rounding, this.#said);
    yield { type: 'done', result };
    return result;
  }

  /** Makes the units safe and lets go of the partials, for a later run to go on with. */
  async *leave(): AsyncGenerator<MergeEvent, void> {
    yield this.#totals.progress('sync', this.#plan.shards.length - 1)!;
    await this.#settleSync();
    this.#leaving = true;
    for (const output of await this.end()) yield { type: 'kept', output };
  }

  /** @throws MergeError E_NONFINITE with every tensor at fault, where that was asked for. */
  #reportNonfinite(): void {
    const first = this.#nonfinite.first();
    if (!this.#options.failNonfinite || first === undefined) return;
    const messages = new Set(this.#nonfinite.warnings().flatMap((of) => of.map((w) => w.message)));
    const conflicts = [...messages].map((message) => ({ code: 'E_NONFINITE' as const, message }));
    throw new MergeError('E_NONFINITE', conflicts[0]!.message, { details: { ...first, conflicts } });
  }

  /**
   * Gives everything back, whatever happened; outputs that were not published are abandoned. Resolves to
   * those of which finished units were kept; a second call does nothing more.
   * @param error what ended the work, if anything did
   */
  end(error?: unknown): Promise<readonly string[]> {
    this.#ending ??= this.#end(error);
    return this.#ending;
  }

  async #end(error: unknown): Promise<readonly string[]> {
    const aborted = this.#options.signal?.aborted === true;
    await this.#calls.end();
    // The last unit that was made counts, too; who aborts does not want to wait for it.
    if (!aborted) await this.#syncing.catch(() => {});
    try {
      this.#outputs?.close();
    } catch {
      // What brought the merge here is the one to report, and the partial is still to be seen to.
    }
    this.#inputs.closeAll();
    this.#engine.close();
    // They go on without this run.
    if (this.#shared !== undefined) return [];
    const keep = this.#leaving || ((aborted || canGoOn(error)) && this.#options.keep !== false);
    const kept: string[] = [];
    // The first one made the folders above all of them, and can remove them when the others are gone.
    for (const publication of this.#publications.slice(this.#published).reverse()) {
      if (await publication.abandon({ keep })) kept.unshift(publication.output);
    }
    return kept;
  }
}
