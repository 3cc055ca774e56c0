import { setTimeout } from 'node:timers/promises';
import { MergeError, type Warning } from '../../base/errors.ts';
import { eventStream } from '../../base/event-stream.ts';
import { optionName } from '../../base/option-words.ts';
import { packageRoot } from '../../base/package-root.ts';
import { pick } from '../../base/pick.ts';
import { exitText, runInGroup } from '../../base/process/process-group.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import type { OutsidePath } from '../../recipe/outside.ts';
import { printable } from '../../render/format.ts';
import type { MergeEvent, MergeResult } from '../engine/events.ts';
import { executePlan } from '../engine/execute.ts';
import type { AskedMerge } from '../plan/request-digest.ts';
import { boardOutput } from '../ranks/board-place.ts';
import type { PlannedForRanks } from '../ranks/shared-plan.ts';
import { MessageReader, type RankMessage, type ToldFailure } from './messages.ts';
import { type LaunchOptions, newOrder, OF_RANK, removeOrder, type WrittenOrder, writeOrder } from './order.ts';
import { RANK_COMMAND } from './rank-command.ts';

/** Milliseconds that ranks have to stop in when their order is taken away, before signals end them. */
const STOP_MS = 10_000;
/** Milliseconds that a launcher has to end in when all of its ranks have. */
const END_MS = 1000;
/** Milliseconds that everything has to end in when one rank has the result. */
const LINGER_MS = 15_000;
/** Lines of a launcher that a message shows, and letters of each. */
const LINES = 5;
const LETTERS = 200;
/** Letters of a line that belong to no message. */
const MOST_LINE = 2 ** 16;

/** A merge for ranks that are started here. */
export interface LaunchedMerge extends PlannedForRanks {
  readonly asked: AskedMerge;
  readonly outside: readonly OutsidePath[];
}

/**
 * Has a plan carried out by ranks that a command starts, and tells of them as of a merge of this process.
 * Ended, it ends them, and leaves nothing of its own.
 * @param words of the command, before which a process is to be started several times
 * @throws MergeError that of the ranks; E_LAUNCHER where there were none; E_TEMPORARY where all ended early;
 *   `signal.reason` when aborted
 */
export async function* launchEvents(
  merge: LaunchedMerge,
  words: readonly string[],
  options: LaunchOptions,
): AsyncGenerator<MergeEvent, MergeResult> {
  const { plan, asked, record, outside } = merge;
  if (plan.outputs.length === 0) return yield* executePlan(plan, options);
  yield { type: 'plan', plan };
  return yield* eventStream<MergeEvent, MergeResult>(async (emit, signal) => {
    signal.throwIfAborted();
    const order = await writeOrder(boardOutput(asked)!, newOrder({ asked, record, outside, options: pick(options, OF_RANK) }));
    try {
      return await new Launch(words, order, emit).run(signal);
    } finally {
      await removeOrder(order);
    }
  }, options.signal);
}

/** A rank that has spoken, and its last word. */
interface Speaker {
  readonly rank: number | null;
  end: Exclude<RankMessage, { readonly type: 'begun' | 'event' }> | null;
}

/** One start of a launcher. */
class Launch {
  readonly #words: readonly string[];
  readonly #name: string;
  readonly #order: WrittenOrder;
  readonly #emit: (event: MergeEvent) => void;
  readonly #reader: MessageReader;
  readonly #speakers = new Map<string, Speaker>();
  /** What was said beside messages, the last lines. */
  readonly #said: string[] = [];
  readonly #kept = new Set<string>();
  /** Of stdout and stderr, what came of a line. */
  readonly #lines = { stdout: '', stderr: '' };
  #result: MergeResult | null = null;
  #onEnd: () => void = () => {};

  constructor(words: readonly string[], order: WrittenOrder, emit: (event: MergeEvent) => void) {
    this.#words = words;
    this.#name = words.map(shellQuote).join(' ');
    this.#order = order;
    this.#emit = emit;
    this.#reader = new MessageReader(launchId(order));
  }

  async run(signal: AbortSignal): Promise<MergeResult> {
    const stop = new AbortController();
    const over = new AbortController();
    const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    const { path, digest } = this.#order;
    const command = [...this.#words, process.execPath, `${packageRoot}bin/merge.js`, RANK_COMMAND, path, digest];
    const ending = this.#whenToEnd(signal, over.signal).then((isTime) => isTime && stop.abort(STOPPED));
    let code: number | null = null;
    try {
      const run = await runInGroup(command, {
        env: {},
        signal: stop.signal,
        onOutput: (chunk, stream) => this.#take(stream, decoders[stream].decode(chunk, { stream: true })),
      });
      code = run.code;
      await run.endLeftovers();
    } catch (error) {
      if (error !== STOPPED) throw error;
    } finally {
      over.abort();
      await ending;
      for (const stream of ['stdout', 'stderr'] as const) this.#take(stream, '\n');
    }
    if (this.#result !== null) return this.#finished(this.#result, code);
    signal.throwIfAborted();
    throw this.#failure(code);
  }

  /**
   * Resolves when the launcher is to be ended: what was asked of its ranks is done, or not wanted any more, and
   * it goes on all the same. False where it has ended before.
   */
  async #whenToEnd(signal: AbortSignal, over: AbortSignal): Promise<boolean> {
    const pause = (ms: number) => setTimeout(ms, undefined, { signal: over }).catch(() => {});
    const aborted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true, signal: over });
    });
    const ended = new Promise<void>((resolve) => {
      over.addEventListener('abort', () => resolve(), { once: true });
    });
    const made = new Promise<void>((resolve) => {
      this.#onEnd = () => this.#result !== null && resolve();
    });
    await Promise.race([aborted, ended, made]);
    if (over.aborted) return false;
    if (signal.aborted) {
      await removeOrder(this.#order);
      await Promise.race([pause(STOP_MS), this.#allEnded(over)]);
      await pause(END_MS);
    } else {
      await Promise.race([pause(LINGER_MS), aborted]);
    }
    return !over.aborted;
  }

  /** Resolves when no rank that has spoken is at work. */
  async #allEnded(over: AbortSignal): Promise<void> {
    while (!over.aborted && [...this.#speakers.values()].some(({ end }) => end === null)) {
      await new Promise<void>((resolve) => {
        this.#onEnd = resolve;
        over.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  #take(stream: 'stdout' | 'stderr', text: string): void {
    const lines = (this.#lines[stream] + text).split(/\r?\n/);
    const rest = lines.pop()!;
    this.#lines[stream] = rest.length > MOST_LINE && !rest.includes('@') ? '' : rest;
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    const read = this.#reader.read(line);
    if (read === 'part') return;
    if (read !== 'other') this.#message(read.speaker, read.message);
    else if (line.trim() !== '') this.#other(line);
  }

  #other(line: string): void {
    const shown = printable(line.trimEnd().slice(0, LETTERS));
    this.#said.push(shown);
    if (this.#said.length > LINES) this.#said.shift();
    this.#emit({ type: 'launcher', line: shown });
  }

  #message(id: string, message: RankMessage): void {
    if (message.type === 'begun') {
      this.#speakers.set(id, { rank: message.rank, end: null });
      return;
    }
    const speaker = this.#speakers.get(id) ?? { rank: null, end: null };
    this.#speakers.set(id, speaker);
    if (message.type === 'event') {
      this.#event(id, speaker, message.event);
      return;
    }
    speaker.end = message;
    // A rank that came when all was done has nothing to tell of it.
    if (message.type === 'result' && (this.#result === null || this.#result.outputs.length === 0)) this.#result = message.result;
    this.#onEnd();
  }

  #event(id: string, { rank }: Speaker, event: MergeEvent): void {
    if (event.type === 'kept') {
      if (!this.#kept.has(event.output)) this.#emit(event);
      this.#kept.add(event.output);
      return;
    }
    // It was not there when this process looked.
    if (event.type === 'warning' && event.warning.code === 'W_MADE_BEFORE') return;
    // Of several that all take themselves for the only one, the first is listened to.
    if (rank === 0 || id === [...this.#speakers.keys()][0]) this.#emit(event);
  }

  #finished(result: MergeResult, code: number | null): MergeResult {
    const all = [...this.#speakers.values()];
    const lost = all.filter(({ end }) => end?.type !== 'result');
    const warnings: Warning[] = [];
    const warn = (text: string) => warnings.push({ code: 'W_LAUNCHER', message: `${this.#name}: ${text}` });
    if (code === null) warn('did not end when the merge was made, and was ended');
    else if (lost.length > 0)
      warn(`${lost.length} of ${all.length} ranks ended early, and the others made the merge${this.#lastLines(lost)}`);
    else if (code !== 0) warn(`ended with ${exitText(code)}, and its ranks made the merge${this.#lastLines([])}`);
    else if (all.length === 1 && all[0]!.rank === null) warn('started one process, which knows of no other, and made the merge alone');
    const made = { ...result, warnings: [...result.warnings, ...warnings] };
    this.#emit({ type: 'done', result: made });
    return made;
  }

  /** Why there is no result. */
  #failure(code: number | null): MergeError {
    const all = [...this.#speakers.values()];
    const ends = all.flatMap(({ end }) => end ?? []);
    const failure = worst(ends.flatMap((end) => (end.type === 'failed' ? [end.error] : [])));
    if (failure !== null) {
      const { code, message, details, help } = failure;
      return new MergeError(code, message, { details, help });
    }
    const how = code === null ? 'was ended' : `ended with ${exitText(code)}`;
    const option = `${optionName('launcher')} ${this.#name}`;
    if (all.length === 0) return new MergeError('E_LAUNCHER', `${option}: ${how}, and no rank of the merge began${this.#lastLines([])}`);
    const signals = [...new Set(ends.flatMap((end) => (end.type === 'stopped' ? [end.signal] : [])))];
    const why = signals.length > 0 ? `${signals.join(', ')} ended them` : `it ${how}`;
    const count = all.length === 1 ? 'one rank began' : `${all.length} ranks began`;
    return new MergeError('E_TEMPORARY', `${option}: ${count}, and none made the merge: ${why}${this.#lastLines([])}`, {
      help: 'Start the same command again: it goes on where they stopped.',
    });
  }

  /** What the launcher and lost ranks said last, as lines of a message. */
  #lastLines(lost: readonly Speaker[]): string {
    const own = lost.flatMap(({ rank, end }) => (end?.type === 'failed' ? [`[rank ${rank}] ${end.error.message.split('\n')[0]}`] : []));
    return [...own.slice(0, LINES), ...this.#said].map((line) => `\n${line}`).join('');
  }
}

const STOPPED = Symbol('the launcher was ended');

/** Twelve hex digits that stand before the messages of an order's ranks. */
export function launchId({ digest }: WrittenOrder): string {
  return digest.slice(0, 12);
}

/** Of the failures of several ranks the one that is to be mended. */
function worst(failures: readonly ToldFailure[]): ToldFailure | null {
  const weight = ({ code }: ToldFailure) => (code === 'E_TEMPORARY' ? 2 : code === 'E_LAUNCHER' ? 1 : 0);
  return [...failures].sort((a, b) => weight(a) - weight(b))[0] ?? null;
}
