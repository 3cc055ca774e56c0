import { availableMemory } from '../../base/machine/memory.ts';
import { defaultThreads } from '../../base/machine/threads.ts';
import type { NativeBinding, NativeEngine, NativeEngineOptions } from '../native/binding.ts';
import type { Plan } from '../plan/types.ts';
import { describeFailure } from './failure.ts';

export interface EngineChoices {
  /** Compute threads; what this process may use when absent. */
  readonly threads?: number | undefined;
  /**
   * `drop` keeps the page cache free of this merge; `auto` does so when it would touch more than half of the
   * memory available.
   */
  readonly cache?: 'auto' | 'keep' | 'drop' | undefined;
  /** Requests in flight of positioned reads; 32, or one a thread where these are more, when absent. */
  readonly ioDepth?: number | undefined;
  /** False skips every fsync: benches only. */
  readonly sync?: boolean | undefined;
  /** Odd shapes for tests and benches. */
  readonly tuning?:
    | Partial<Pick<NativeEngineOptions, 'tileBytes' | 'requestBytes' | 'requestsInFlight' | 'isa' | 'readDelayMicros'>>
    | undefined;
}

/**
 * The native engine of a merge: made when the modes of the first inputs are known, and anew if a later input
 * falls back to positioned reads.
 */
export class EngineHolder {
  readonly #binding: NativeBinding;
  readonly #plan: Plan;
  readonly #choices: EngineChoices;
  #engine: NativeEngine | undefined;
  #reads = false;

  constructor(binding: NativeBinding, plan: Plan, choices: EngineChoices) {
    this.#binding = binding;
    this.#plan = plan;
    this.#choices = choices;
  }

  /** @throws MergeError E_NO_MEMORY when no shape fits the memory, E_ISA */
  get(reads: boolean): NativeEngine {
    if (this.#engine !== undefined && (this.#reads || !reads)) return this.#engine;
    this.close();
    const { threads, cache, ioDepth, sync, tuning } = this.#choices;
    const { members, outputs, memory, bytesRead, bytesWritten } = this.#plan;
    try {
      this.#engine = this.#binding.createEngine({
        ...(ioDepth !== undefined && { requestsInFlight: ioDepth }),
        ...tuning,
        threads: threads ?? defaultThreads(),
        memoryBytes: memory,
        maxInputs: members.length,
        maxOutputs: outputs.length,
        reads,
        gathers: this.#plan.shards.some(({ segments }) => segments.gathered.size > 0),
        flushBehind: sync !== false,
        dropCache: cache === 'drop' || (cache !== 'keep' && bytesRead + bytesWritten > availableMemory() / 2),
      });
    } catch (cause) {
      throw describeFailure(cause, {});
    }
    this.#reads = reads;
    return this.#engine;
  }

  /** Threads in use; 0 where nothing had to be computed. */
  get threads(): number {
    return this.#engine?.shape.threads ?? 0;
  }

  close(): void {
    this.#engine?.close();
    this.#engine = undefined;
  }
}
