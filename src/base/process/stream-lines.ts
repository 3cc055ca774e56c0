import type { Readable } from 'node:stream';
import { utf8Text } from '../utf8.ts';

/** Far beyond any message: whatever sends more has lost its way, and is not to eat the memory. */
const LIMIT = 2 ** 20;
const NEWLINE = 10;

/** A line of a stream, trimmed, or what is wrong with it. */
export type Line = { readonly number: number } & (
  | { readonly text: string; readonly problem: null }
  | { readonly text: null; readonly problem: string }
);

/**
 * The lines of a stream of UTF-8, as they come; a last line may lack its end. A stream that breaks has ended.
 * @param signal ends the wait for the next line; the stream is then closed
 * @throws signal.reason on an abort
 */
export async function* readLines(input: Readable, signal: AbortSignal): AsyncGenerator<Line, void> {
  const close = () => input.destroy();
  signal.throwIfAborted();
  signal.addEventListener('abort', close, { once: true });
  try {
    const collector = new LineCollector();
    for await (const chunk of chunks(input)) yield* collector.add(chunk);
    signal.throwIfAborted();
    yield* collector.end();
  } finally {
    signal.removeEventListener('abort', close);
  }
}

async function* chunks(input: Readable): AsyncGenerator<Buffer, void> {
  try {
    for await (const chunk of input) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
  } catch {
    // The other end is gone, or the stream was closed here: nothing more will come.
  }
}

class LineCollector {
  #parts: Buffer[] = [];
  #bytes = 0;
  #number = 1;

  *add(chunk: Buffer): Generator<Line, void> {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#keep(chunk.subarray(start, end));
      yield this.#take();
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
  }

  *end(): Generator<Line, void> {
    if (this.#bytes > 0) yield this.#take();
  }

  #keep(part: Buffer): void {
    this.#bytes += part.length;
    if (this.#bytes > LIMIT) this.#parts = [];
    else if (part.length > 0) this.#parts.push(part);
  }

  #take(): Line {
    const [bytes, content, number] = [this.#bytes, Buffer.concat(this.#parts), this.#number++];
    this.#parts = [];
    this.#bytes = 0;
    if (bytes > LIMIT) return { number, text: null, problem: `a line has at most ${LIMIT} bytes, and this has ${bytes}` };
    const text = utf8Text(content)?.trim() ?? null;
    return text === null ? { number, text, problem: 'the line is not UTF-8' } : { number, text, problem: null };
  }
}
