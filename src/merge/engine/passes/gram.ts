import { dtypeByName } from '../../../base/dtype.ts';
import { defaultThreads } from '../../../base/machine/threads.ts';
import type { NativeBinding, NativeEngine } from '../../native/binding.ts';
import { GRAM_SPAN, type GramJob, type GramResult } from '../../native/gram.ts';
import type { NativeInput } from '../../native/handles.ts';
import { loadBinding } from '../../native/load.ts';
import { DEFAULT_MEMORY } from '../../plan/build.ts';
import { describeFailure } from '../failure.ts';
import { bestMode, type IoChoice } from '../input-files.ts';
import type { EngineChoices } from '../native-engine.ts';
import { BoxLists, Numbering } from './box-lists.ts';
import { CallRunner } from './calls.ts';
import { Gram } from './gram-matrix.ts';
import { type GramSource, pathsOf } from './gram-source.ts';

/** Elements to sum over: `sources[i]` is the input i of {@link Gram}. */
export interface GramRange {
  readonly elements: number;
  readonly sources: readonly GramSource[];
}

export interface GramOptions {
  /**
   * Sum the squares of the steps x_i − x_(i−1) too: distances of neighbours are then exact however close they
   * are. Default false.
   */
  readonly steps?: boolean | undefined;
  readonly threads?: number | undefined;
  /** Bound of native buffers in bytes. */
  readonly memory?: number | undefined;
  readonly io?: IoChoice | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((bytesRead: number, bytesTotal: number) => void) | undefined;
  /** Odd shapes for tests and benches. */
  readonly tuning?: EngineChoices['tuning'];
}

/** Segments of a call: their columns are made on this thread. */
const MOST_SEGMENTS = 1 << 14;

/**
 * The inner products of the inputs of each range, in float64, with one fixed order of additions: the same
 * bits whatever instruction set, threads, memory and calls. Many small ranges are as good as few large ones.
 *
 * @param ranges all with the same number of sources, 1 to 32; neighbours in a file best in the order of the
 *   file
 * @returns one {@link Gram} for each range
 * @throws MergeError E_IO, E_INPUT_CHANGED, E_NO_MEMORY and others, naming the file; what `signal` was
 *   aborted with
 */
export async function gramOf(ranges: readonly GramRange[], options: GramOptions = {}): Promise<Gram[]> {
  options.signal?.throwIfAborted();
  const run = new GramRun(ranges, options, loadBinding());
  try {
    return await run.run();
  } finally {
    await run.end();
  }
}

/** A run of spans of one range. */
interface Part {
  readonly range: number;
  readonly from: number;
  readonly to: number;
}

interface Batch {
  readonly parts: readonly Part[];
  readonly job: GramJob;
  readonly paths: readonly string[];
  readonly bytesRead: number;
}

class GramRun {
  readonly #ranges: readonly GramRange[];
  readonly #options: GramOptions;
  readonly #binding: NativeBinding;
  readonly #inputs: number;
  /** The last range that reads a file. */
  readonly #lastUse = new Map<string, number>();
  readonly #open = new Map<string, NativeInput>();
  readonly #calls: CallRunner;
  #engine: NativeEngine | undefined;
  #reads = false;
  #engineReads = false;
  #at = { range: 0, element: 0 };

  constructor(ranges: readonly GramRange[], options: GramOptions, binding: NativeBinding) {
    this.#ranges = ranges;
    this.#options = options;
    this.#binding = binding;
    this.#inputs = ranges[0]?.sources.length ?? 0;
    for (const [r, { sources }] of ranges.entries()) {
      if (sources.length !== this.#inputs) throw new RangeError(`range ${r} has ${sources.length} sources, the first has ${this.#inputs}`);
      for (const source of sources) for (const path of pathsOf(source)) this.#lastUse.set(path, r);
    }
    this.#calls = new CallRunner(options.signal);
  }

  async run(): Promise<Gram[]> {
    const width = new Gram(this.#inputs, false).values.length;
    const all = new Float64Array(this.#ranges.length * width);
    const grams = this.#ranges.map(
      ({ elements }, r) => new Gram(this.#inputs, this.#options.steps === true, elements, all.subarray(r * width, (r + 1) * width)),
    );
    const total = this.#ranges.reduce((sum, range) => sum + range.elements * elementBytes(range), 0);
    let read = 0;
    const calls = this.#calls.run<Batch, GramResult>({
      next: (budget) => this.#next(budget),
      start: (batch) => this.#start(batch),
      add: ({ parts }, { sums }) => {
        let span = 0;
        for (const { range, from, to } of parts) {
          for (let element = from; element < to; element += GRAM_SPAN) grams[range]!.addValues(sums, span++ * width);
        }
      },
      failure: (cause, { paths }) => {
        const path = paths[(cause as { fileIndex?: number }).fileIndex ?? -1];
        return describeFailure(cause, path === undefined ? {} : { input: path });
      },
    });
    for await (const { bytesRead } of calls) {
      read += bytesRead;
      this.#options.onProgress?.(read, total);
    }
    return grams;
  }

  /** Waits for calls in flight and gives everything back. */
  async end(): Promise<void> {
    await this.#calls.end();
    this.#engine?.close();
    for (const input of this.#open.values()) input.close();
  }

  #next(budget: number): Batch | undefined {
    const parts = this.#nextParts(budget);
    return parts.length === 0 ? undefined : { parts, ...this.#jobOf(parts) };
  }

  #start({ job, paths }: Batch): Promise<GramResult> {
    const result = this.#engineFor().gram(job);
    for (const path of paths) {
      if (this.#lastUse.get(path)! > this.#at.range || (this.#lastUse.get(path) === this.#at.range && this.#at.element > 0)) continue;
      // The call in flight holds it too.
      this.#open.get(path)!.close();
      this.#open.delete(path);
    }
    return result;
  }

  #nextParts(budget: number): Part[] {
    const parts: Part[] = [];
    for (let left = budget; left > 0 && parts.length < MOST_SEGMENTS && this.#at.range < this.#ranges.length; ) {
      const { range, element } = this.#at;
      const { elements } = this.#ranges[range]!;
      const perElement = elementBytes(this.#ranges[range]!);
      const to = Math.min(elements, element + Math.max(1, Math.ceil(left / perElement / GRAM_SPAN)) * GRAM_SPAN);
      if (to > element) parts.push({ range, from: element, to });
      left -= (to - element) * perElement;
      this.#at = to === elements ? { range: range + 1, element: 0 } : { range, element: to };
    }
    return parts;
  }

  #jobOf(parts: readonly Part[]): Omit<Batch, 'parts'> {
    const [S, N] = [parts.length, this.#inputs];
    const index = new Numbering<string>();
    const boxes = new BoxLists(S * N);
    const count = new Float64Array(S);
    const file = new Int32Array(S * N).fill(-1);
    const offset = new Float64Array(S * N);
    const dtype = new Uint8Array(S * N);
    let bytes = 0;
    for (const [s, { range, from, to }] of parts.entries()) {
      count[s] = to - from;
      for (const [n, source] of this.#ranges[range]!.sources.entries()) {
        const { code, bits } = dtypeByName(source.dtype)!;
        dtype[s * N + n] = code;
        bytes += ((to - from) * bits) / 8;
        if ('matrix' in source) {
          boxes.add(s * N + n, source, { from, to }, { unit: 1, fileOf: (of) => index.of(source.files[of]!.path) });
          continue;
        }
        file[s * N + n] = index.of(source.path);
        offset[s * N + n] = source.offset + (from * bits) / 8;
      }
    }
    const paths = index.list();
    const files = paths.map((path) => this.#input(path));
    return {
      job: { files, count, file, offset, dtype, ...boxes.columns(), steps: this.#options.steps === true, cancel: this.#calls.cancel },
      paths,
      bytesRead: bytes,
    };
  }

  #input(path: string): NativeInput {
    let input = this.#open.get(path);
    if (input !== undefined) return input;
    const { io = 'auto' } = this.#options;
    try {
      input = this.#binding.openInput(path, io === 'auto' ? bestMode(this.#binding, path) : io);
    } catch (cause) {
      throw describeFailure(cause, { input: path });
    }
    this.#open.set(path, input);
    this.#reads ||= input.mode === 'read';
    return input;
  }

  /** The engine; made anew where the first file in mode `read` comes after others. */
  #engineFor(): NativeEngine {
    const { threads, memory = DEFAULT_MEMORY, tuning } = this.#options;
    if (this.#engine !== undefined && this.#engineReads === this.#reads) return this.#engine;
    this.#engine?.close();
    this.#engineReads = this.#reads;
    try {
      this.#engine = this.#binding.createEngine({
        ...tuning,
        threads: threads ?? defaultThreads(),
        memoryBytes: memory,
        maxInputs: this.#inputs,
        maxOutputs: 1,
        reads: this.#reads,
        gathers: this.#ranges.some(({ sources }) => sources.some((source) => 'matrix' in source)),
      });
    } catch (cause) {
      throw describeFailure(cause, {});
    }
    return this.#engine;
  }
}

/** Bytes of one element in all its sources. */
function elementBytes({ sources }: GramRange): number {
  return sources.reduce((sum, { dtype }) => sum + dtypeByName(dtype)!.bits / 8, 0);
}
