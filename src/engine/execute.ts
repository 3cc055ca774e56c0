import { assertUnchanged } from '../checkpoint/fingerprint.ts';
import { MergeError } from '../errors.ts';
import { availableMemory } from '../machine/memory.ts';
import { defaultThreads } from '../machine/threads.ts';
import type { CombineResult, NativeBinding, NativeEngine, NativeEngineOptions } from '../native/binding.ts';
import { loadBinding } from '../native/load.ts';
import type { Plan } from '../plan/types.ts';
import { unitKey } from '../publish/journal.ts';
import type { JournalUnit, Publication } from '../publish/types.ts';
import { type Batch, BatchCutter } from './batches.ts';
import type { MergeEvent, MergeResult, ProgressEvent } from './events.ts';
import { describeFailure, isCancelled } from './failure.ts';
import { beginPublications, type FinishedFile, publishOutput } from './finalize.ts';
import { type IoChoice, OpenInputs } from './input-files.ts';
import { NonfiniteTally } from './nonfinite.ts';
import { ShardOutputs } from './output-files.ts';
import { CallSizer, RateMeter } from './rate.ts';
import { MemoryWatch } from './resident.ts';
import { planUnits, type Unit } from './units.ts';

export interface ExecuteOptions {
  /** Compute threads; what this process may use when absent. */
  readonly threads?: number | undefined;
  /** Mapped or positioned reads; `auto` decides by file system. */
  readonly io?: IoChoice | undefined;
  /** `drop` keeps the page cache free of this merge; `auto` does so when it would touch more than half of the memory available. */
  readonly cache?: 'auto' | 'keep' | 'drop' | undefined;
  readonly force?: boolean | undefined;
  readonly resume?: boolean | undefined;
  /** Whether an interrupted merge leaves its finished units for `resume`. Default true. */
  readonly keep?: boolean | undefined;
  readonly failNonfinite?: boolean | undefined;
  /** False skips every fsync: benches only. */
  readonly sync?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Odd shapes for tests and benches. */
  readonly tuning?:
    | Partial<Pick<NativeEngineOptions, 'tileBytes' | 'requestBytes' | 'requestsInFlight' | 'isa' | 'readDelayMicros'>>
    | undefined;
}

/** Calls in flight: while one drains its last tiles, the next one's are already taken. */
const CALLS_IN_FLIGHT = 2;
/** Least seconds between progress events. */
const PROGRESS_SECONDS = 0.1;

/**
 * Carries out a plan: every tensor file of every output in one read of the inputs, then publishes each output whole. Ends by `return`, abort
 * (`signal.reason` is thrown as it is) or MergeError; in both latter cases nothing is published and, unless finished units are kept for a resume,
 * nothing is left.
 */
export async function* executePlan(plan: Plan, options: ExecuteOptions = {}): AsyncGenerator<MergeEvent, MergeResult> {
  options.signal?.throwIfAborted();
  const run = new MergeRun(plan, options, loadBinding());
  try {
    yield { type: 'plan', plan };
    yield* run.begin();
    for (const unit of planUnits(plan)) yield* run.unit(unit);
    return yield* run.finish();
  } catch (error) {
    for (const output of await run.end()) yield { type: 'kept', output };
    throw error;
  } finally {
    await run.end();
  }
}

class MergeRun {
  readonly #plan: Plan;
  readonly #options: ExecuteOptions;
  readonly #binding: NativeBinding;
  readonly #inputs: OpenInputs;
  readonly #cancel = new Int32Array(1);
  readonly #sizer = new CallSizer();
  readonly #memory = new MemoryWatch();
  readonly #nonfinite: NonfiniteTally;
  readonly #started = performance.now() / 1000;
  readonly #meter = new RateMeter(this.#started);
  readonly #finished: FinishedFile[][];
  readonly #sums = { bytesRead: 0, bytesWritten: 0, resumedBytes: 0, readSeconds: 0, computeSeconds: 0, writeSeconds: 0, syncSeconds: 0 };
  readonly #publications: Publication[] = [];
  #engine: NativeEngine | undefined;
  #engineReads = false;
  #outputs: ShardOutputs | undefined;
  #syncing: Promise<void> = Promise.resolve();
  #calls: Promise<unknown>[] = [];
  #ending: Promise<readonly string[]> | undefined;
  #lastProgress = 0;
  #published = 0;

  constructor(plan: Plan, options: ExecuteOptions, binding: NativeBinding) {
    this.#plan = plan;
    this.#options = options;
    this.#binding = binding;
    this.#inputs = new OpenInputs(binding, plan, options.io ?? 'auto');
    this.#nonfinite = new NonfiniteTally(plan);
    this.#finished = plan.outputs.map(() => []);
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  readonly #onAbort = (): void => {
    Atomics.store(this.#cancel, 0, 1);
  };

  async *begin(): AsyncGenerator<MergeEvent> {
    const found = [...this.#plan.warnings];
    await beginPublications(
      this.#plan,
      this.#binding,
      this.#options,
      (publication) => this.#publications.push(publication),
      (warning) => found.push(warning),
    );
    for (const warning of found) yield this.#warn(warning);
  }

  readonly #warnings: MergeResult['warnings'][number][] = [];
  #warn(warning: MergeResult['warnings'][number]): MergeEvent {
    this.#warnings.push(warning);
    return { type: 'warning', warning };
  }

  async *unit(unit: Unit): AsyncGenerator<MergeEvent> {
    if (this.#skipFinished(unit)) return;
    this.#options.signal?.throwIfAborted();
    this.#inputs.openFor(unit.shard);
    const engine = this.#engineForInputs();
    if (this.#outputs === undefined) {
      this.#outputs = new ShardOutputs(this.#binding, this.#plan, this.#publications, unit.shard, this.#options.resume === true);
    }
    const outputs = this.#outputs;
    if (unit.ranges.every((r) => r.start === 0)) outputs.writeHeaders(this.#plan, unit.shard);

    const cutter = new BatchCutter(this.#plan, unit);
    const inFlight: { batch: Batch; result: Promise<CombineResult> }[] = [];
    const launch = (): void => {
      const batch = cutter.next(this.#sizer.bytes);
      if (batch === undefined) return;
      const result = engine.combine({
        ...batch.job,
        files: batch.files.map((f) => this.#inputs.get(f)),
        outputs: outputs.files,
        weights: this.#plan.weights,
        cancel: this.#cancel,
      });
      // It is awaited later, maybe never: when an earlier call fails, this one's cancellation must not count as unhandled.
      result.catch(() => {});
      this.#calls.push(result);
      inFlight.push({ batch, result });
    };
    for (let i = 0; i < CALLS_IN_FLIGHT; i++) launch();
    for (let before = performance.now(), next = inFlight.shift(); next !== undefined; next = inFlight.shift()) {
      const { batch } = next;
      const result = await next.result.catch((cause: unknown) => {
        if (isCancelled(cause)) this.#options.signal?.throwIfAborted();
        throw describeFailure(cause, { batch, plan: this.#plan, shard: unit.shard });
      });
      this.#calls = this.#calls.filter((c) => c !== next!.result);
      const now = performance.now();
      this.#sizer.completed(batch.bytesRead, (now - before) / 1000);
      before = now;
      outputs.add(result.crc, result.crcLength);
      this.#account(unit, batch, result);
      launch();
      const progress = this.#progress('merge', unit.shard);
      if (progress !== undefined) yield progress;
    }
    await this.#completeUnit(unit, outputs);
  }

  /** Units that every output has in its journal are only added up. */
  #skipFinished(unit: Unit): boolean {
    const lines = this.#publications.map((p, k) =>
      p.finished.get(unitKey({ file: this.#plan.outputs[k]!.files[unit.shard]!.name, ...unit.ranges[k]! })),
    );
    if (!lines.every((line) => line !== undefined)) return false;
    for (const [k, line] of lines.entries()) {
      this.#addFinished(k, unit, line);
      this.#sums.resumedBytes += line.end - line.start;
    }
    return true;
  }

  #addFinished(k: number, unit: Unit, line: JournalUnit): void {
    const files = this.#finished[k]!;
    if (line.start === 0) files.push({ name: line.file, bytes: line.end, crc: line.crc });
    else {
      const file = files.at(-1)!;
      files[files.length - 1] = {
        name: file.name,
        bytes: line.end,
        crc: this.#binding.crc32cCombine(file.crc, line.crc, line.end - line.start),
      };
    }
    if (unit.last && files.at(-1)!.bytes !== this.#plan.outputs[k]!.files[unit.shard]!.bytes) {
      throw new MergeError(
        'E_INTERNAL',
        `${line.file} ended at byte ${line.end} instead of ${this.#plan.outputs[k]!.files[unit.shard]!.bytes}`,
      );
    }
  }

  #account(unit: Unit, batch: Batch, result: CombineResult): void {
    this.#nonfinite.add(unit.shard, batch.cellRow, result.nonfinite);
    this.#memory.look();
    this.#sums.bytesRead += result.bytesRead;
    this.#sums.bytesWritten += result.bytesWritten;
    this.#sums.readSeconds += result.readSeconds;
    this.#sums.computeSeconds += result.computeSeconds;
    this.#sums.writeSeconds += result.writeSeconds;
  }

  /** Starts the unit's fsync and journal, which overlap the next unit's work; at most one at a time. */
  async #completeUnit(unit: Unit, outputs: ShardOutputs): Promise<void> {
    const lines = outputs.takeUnit(this.#plan, unit);
    for (const [k, line] of lines.entries()) this.#addFinished(k, unit, line);
    if (unit.last) {
      this.#inputs.closeAfter(unit.shard);
      this.#outputs = undefined;
    }
    await this.#settleSync();
    this.#syncing = this.#syncUnit(lines, outputs, unit.last);
    this.#syncing.catch(() => {});
  }

  async #syncUnit(lines: readonly JournalUnit[], outputs: ShardOutputs, close: boolean): Promise<void> {
    try {
      if (this.#options.sync === false) return;
      await Promise.all(
        outputs.files.map((file, k) =>
          file.sync().catch((cause: unknown) => {
            throw describeFailure(cause, { path: this.#plan.outputs[k]!.path });
          }),
        ),
      );
      for (const [k, line] of lines.entries()) await this.#publications[k]!.journal(line);
    } finally {
      if (close) outputs.close();
    }
  }

  /** Waits for the running fsync, but no longer than until an abort. */
  async #settleSync(): Promise<void> {
    const { signal } = this.#options;
    const before = performance.now();
    if (signal === undefined) await this.#syncing;
    else {
      signal.throwIfAborted();
      let aborted = (): void => {};
      const abort = new Promise<never>((_, reject) => {
        aborted = () => reject(signal.reason);
        signal.addEventListener('abort', aborted, { once: true });
      });
      await Promise.race([this.#syncing, abort]).finally(() => signal.removeEventListener('abort', aborted));
    }
    this.#sums.syncSeconds += (performance.now() - before) / 1000;
  }

  /** The engine is made when the modes of the first inputs are known, and made anew if an input falls back to positioned reads later. */
  #engineForInputs(): NativeEngine {
    const reads = this.#inputs.modes.has('read');
    if (this.#engine !== undefined && (this.#engineReads || !reads)) return this.#engine;
    this.#engine?.close();
    const { threads, cache, sync, tuning } = this.#options;
    const touched = this.#plan.bytesRead + this.#plan.bytesWritten;
    try {
      this.#engine = this.#binding.createEngine({
        ...tuning,
        threads: threads ?? defaultThreads(),
        memoryBytes: this.#plan.memory,
        maxInputs: this.#plan.members.length,
        maxOutputs: this.#plan.outputs.length,
        reads,
        flushBehind: sync !== false,
        dropCache: cache === 'drop' || (cache !== 'keep' && touched > availableMemory() / 2),
      });
    } catch (cause) {
      throw describeFailure(cause, {});
    }
    this.#engineReads = reads;
    return this.#engine;
  }

  #progress(phase: ProgressEvent['phase'], shard: number): ProgressEvent | undefined {
    const now = performance.now() / 1000;
    if (phase === 'merge' && now - this.#lastProgress < PROGRESS_SECONDS) return undefined;
    this.#lastProgress = now;
    const { bytesRead, bytesWritten, resumedBytes } = this.#sums;
    const rates = this.#meter.rates(now, bytesRead, bytesWritten);
    const left = this.#plan.bytesWritten - bytesWritten - resumedBytes;
    return {
      type: 'progress',
      phase,
      bytesRead,
      bytesWritten: bytesWritten + resumedBytes,
      bytesReadTotal: this.#plan.bytesRead,
      bytesWrittenTotal: this.#plan.bytesWritten,
      readBytesPerSecond: rates.read,
      writeBytesPerSecond: rates.written,
      etaSeconds: rates.written > 0 ? Math.max(0, left) / rates.written : null,
      outputFile: this.#plan.outputs[0]!.files[shard]?.name ?? '',
    };
  }

  async *finish(): AsyncGenerator<MergeEvent, MergeResult> {
    const last = this.#plan.shards.length - 1;
    yield this.#progress('sync', last)!;
    await this.#settleSync();
    for (const member of this.#plan.members) if (member.participates) await assertUnchanged(member.checkpoint);
    if (this.#options.failNonfinite && this.#nonfinite.size > 0) {
      const first = this.#nonfinite.first()!;
      const messages = this.#nonfinite.warnings().map((w) => w.message);
      const conflicts = messages.map((message) => ({ code: 'E_NONFINITE' as const, message }));
      throw new MergeError('E_NONFINITE', messages[0]!, { details: { ...first, conflicts } });
    }
    for (const warning of this.#nonfinite.warnings()) yield this.#warn(warning);
    this.#options.signal?.throwIfAborted();
    yield this.#progress('publish', last)!;
    const seconds = (): number => performance.now() / 1000 - this.#started;
    for (const [k, publication] of this.#publications.entries()) {
      const timings = { seconds: seconds(), bytesRead: this.#sums.bytesRead, bytesWritten: this.#plan.outputs[k]!.bytes };
      const dataCrc = (file: FinishedFile): number => this.#dataCrc(this.#plan.outputs[k]!.files[0]!.header, file);
      await publishOutput(this.#plan, k, publication, this.#finished[k]!, { warnings: this.#warnings, timings, dataCrc });
      this.#published = k + 1;
    }
    this.#memory.look();
    const result = this.#result(seconds());
    yield { type: 'done', result };
    return result;
  }

  /** CRC32C of a file without its header: combining is a sum over GF(2), so the header's part can be taken out again. */
  #dataCrc(header: Uint8Array, file: FinishedFile): number {
    const withoutData = this.#binding.crc32cCombine(this.#binding.crc32c(header, 0), 0, file.bytes - header.length);
    return (file.crc ^ withoutData) >>> 0;
  }

  #result(seconds: number): MergeResult {
    const { bytesRead, resumedBytes, readSeconds, computeSeconds, writeSeconds, syncSeconds } = this.#sums;
    const { modes } = this.#inputs;
    return {
      schema: 'ckpt-merge/average',
      version: 1,
      outputs: this.#plan.outputs.map((o) => ({
        path: o.path,
        method: o.schedule.method,
        members: this.#plan.members.map((m, i) => ({ path: m.path, step: m.step, tokens: m.tokens, weight: o.schedule.weights[i]! })),
        bytesWritten: o.bytes,
        tensors: this.#plan.tensors,
      })),
      bytesRead,
      seconds,
      phases: { readSeconds, computeSeconds, writeSeconds, syncSeconds },
      peakRssBytes: this.#memory.rssBytes,
      peakAnonBytes: this.#memory.anonBytes,
      threads: this.#engine?.shape.threads ?? 0,
      isa: this.#options.tuning?.isa ?? this.#binding.cpuInfo().active,
      io: modes.size === 2 ? 'mixed' : modes.has('read') ? 'read' : 'map',
      resumedBytes,
      warnings: this.#warnings,
    };
  }

  /**
   * Gives everything back, whatever happened; outputs that were not published are abandoned. Resolves to those of which finished units were kept; a
   * second call does nothing more.
   */
  end(): Promise<readonly string[]> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<readonly string[]> {
    Atomics.store(this.#cancel, 0, 1);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    await Promise.allSettled(this.#calls);
    this.#outputs?.close();
    this.#inputs.closeAll();
    this.#engine?.close();
    const aborted = this.#options.signal?.aborted === true;
    const kept: string[] = [];
    for (const publication of this.#publications.slice(this.#published)) {
      if (await publication.abandon({ keep: aborted && this.#options.keep !== false })) kept.push(publication.output);
    }
    return kept;
  }
}
