import { newId } from '../../base/disk/new-id.ts';
import { ERROR_CODES, type ErrorCode, type ErrorDetails } from '../../base/errors.ts';
import type { MergeEvent, MergeResult } from '../engine/events.ts';

/** What a rank tells the process that had it started. */
export type RankMessage =
  /** The first that it says; null and 1 where it knows of no other. */
  | { readonly type: 'begun'; readonly rank: number | null; readonly size: number }
  /** Of the first rank alone. */
  | { readonly type: 'event'; readonly event: MergeEvent }
  /** The last that it says: one of these. */
  | { readonly type: 'result'; readonly result: MergeResult }
  | { readonly type: 'failed'; readonly error: ToldFailure }
  /** By a signal, or because its order was taken away. */
  | { readonly type: 'stopped'; readonly signal: string };

export interface ToldFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
  readonly help: string;
}

/**
 * Messages go through what launchers do with lines: they put names before them, mix those of several ranks, and
 * write between them. So a message is cut into lines that a pipe takes in one piece.
 */
const MOST_LETTERS = 1000;
const MARK = '@ckpt-merge-rank';
const LINE = /^(.*?)@ckpt-merge-rank ([0-9a-f]{12}) ([0-9a-f]{12}) ([+.])([0-9a-f]{3}) (.*)$/;
/** Letters of one message. */
const MOST_MESSAGE = 2 ** 26;

/** What turns a rank's messages into lines. @param launch twelve hex digits that name the order */
export function messageWriter(launch: string): (message: RankMessage) => string {
  const speaker = newId();
  return (message) => {
    const text = JSON.stringify(message);
    const lines: string[] = [];
    for (let at = 0; at < text.length; at += MOST_LETTERS) {
      const isLast = at + MOST_LETTERS >= text.length;
      const part = text.slice(at, at + MOST_LETTERS);
      lines.push(`${MARK} ${launch} ${speaker} ${isLast ? '.' : '+'}${part.length.toString(16).padStart(3, '0')} ${part}\n`);
    }
    return lines.join('');
  };
}

/** A line of a message, as far as it came. */
interface TornLine {
  readonly speaker: string;
  readonly isLast: boolean;
  /** How many letters the whole has. */
  readonly letters: number;
  readonly part: string;
}

/** Puts messages together again. */
export class MessageReader {
  readonly #launch: string;
  /** By what a launcher writes before lines: of which the rest is to come. `srun --label` cuts lines where it reads. */
  readonly #torn = new Map<string, TornLine>();
  /** Of each rank, what came of a message. */
  readonly #parts = new Map<string, string>();

  constructor(launch: string) {
    this.#launch = launch;
  }

  /** @returns whose a message is that this line ends; `part` of one; `other` for what is none */
  read(line: string): { readonly speaker: string; readonly message: RankMessage } | 'part' | 'other' {
    const [, label = '', launch, speaker, how, letters = '', begun = ''] = LINE.exec(line.replace(/\r$/, '')) ?? [];
    if (launch === this.#launch && speaker !== undefined) {
      const torn = { speaker, isLast: how === '.', letters: Number.parseInt(letters, 16), part: begun };
      this.#torn.delete(label);
      return this.#take(label, torn);
    }
    for (const [before, torn] of this.#torn) {
      if (!line.startsWith(before)) continue;
      this.#torn.delete(before);
      return this.#take(before, { ...torn, part: torn.part + line.slice(before.length) });
    }
    return 'other';
  }

  /** Takes a line as far as it came. */
  #take(label: string, line: TornLine): ReturnType<MessageReader['read']> {
    const { speaker, isLast, letters, part } = line;
    if (part.length < letters) {
      // Without a label nothing says whose the rest is.
      if (label !== '') {
        this.#torn.set(label, line);
        return 'part';
      }
      this.#parts.delete(speaker);
      return 'other';
    }
    const text = (this.#parts.get(speaker) ?? '') + part.slice(0, letters);
    if (!isLast && text.length < MOST_MESSAGE) {
      this.#parts.set(speaker, text);
      return 'part';
    }
    this.#parts.delete(speaker);
    try {
      const message = JSON.parse(text) as RankMessage;
      const isKnown = message.type !== 'failed' || Object.hasOwn(ERROR_CODES, message.error.code);
      return isKnown ? { speaker, message } : 'other';
    } catch {
      // Another process wrote into it.
      return 'other';
    }
  }
}
