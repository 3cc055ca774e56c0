import { isUtf8 } from 'node:buffer';
import { type ErrorCode, MergeError } from '../../../base/errors.ts';
import { MAX_JSON_DEPTH } from './limits.ts';
import { firstInvalidUtf8 } from './utf8.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;

/** A JSON number as RFC 8259 writes it. */
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPES: Readonly<Record<string, string>> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/**
 * What a scanner reads, and which codes its faults have: a header and an index fail with codes of their own.
 */
export interface ScanSource {
  readonly path: string;
  /** Byte of the file at which the JSON starts, for positions in messages. */
  readonly offset: number;
  /** What the JSON is, for messages: 'header' or 'index'. */
  readonly what: string;
  readonly syntax: ErrorCode;
  readonly utf8: ErrorCode;
}

/**
 * A cursor over JSON bytes that reads strictly. `JSON.parse` keeps the last of two equal keys, accepts lone
 * surrogates and 1e3 for an integer, loses the place of a fault, and makes an object for each tensor; this
 * one does none of that. Names are slices of one string, not copies.
 */
export class JsonScanner {
  /** Where the next byte is read. */
  pos = 0;
  /** The tensor being read, for messages. */
  tensor: string | undefined;
  /** One character per byte, so that an ASCII string is a slice of it. */
  readonly text: string;
  readonly #bytes: Uint8Array;
  readonly #source: ScanSource;

  /** @throws MergeError with the source's utf8 code */
  constructor(bytes: Uint8Array, source: ScanSource) {
    this.#bytes = bytes;
    this.#source = source;
    this.text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    if (!isUtf8(bytes)) this.fail(source.utf8, `the ${source.what} is not valid UTF-8`, firstInvalidUtf8(bytes));
  }

  /** Throws with file, tensor and the byte position in the file. */
  fail(code: ErrorCode, message: string, at = this.pos): never {
    const { path, offset } = this.#source;
    const position = offset + at;
    const where = this.tensor === undefined ? '' : `, tensor ${JSON.stringify(this.tensor)}`;
    throw new MergeError(code, `${path}${where}, byte ${position}: ${message}`, {
      details: this.tensor === undefined ? { file: path, position } : { file: path, tensor: this.tensor, position },
    });
  }

  /** Throws for JSON that is malformed at the cursor. */
  unexpected(wanted: string): never {
    const byte = this.#bytes[this.pos];
    const found = byte === undefined ? 'the end' : byte < 0x80 ? JSON.stringify(String.fromCharCode(byte)) : 'a character beyond ASCII';
    this.fail(this.#source.syntax, `the ${this.#source.what} has ${found} where ${wanted} is expected`);
  }

  /** Skips white space and returns the byte at the cursor, or -1 at the end. */
  peek(): number {
    const bytes = this.#bytes;
    let p = this.pos;
    let byte = bytes[p];
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++p];
    this.pos = p;
    return byte === undefined ? -1 : byte;
  }

  /** Skips white space and takes `byte` if it is next. */
  take(byte: number): boolean {
    if (this.peek() !== byte) return false;
    this.pos++;
    return true;
  }

  /** Skips white space and one ASCII character that must be there. */
  expect(char: string): void {
    if (!this.take(char.charCodeAt(0))) this.unexpected(`'${char}'`);
  }

  /** Takes what is the same, byte for byte, as what was read from `from` to `to`; false, and nothing taken, where it is not. */
  repeats(from: number, to: number): boolean {
    const bytes = this.#bytes;
    const shift = this.pos - from;
    for (let p = from; p < to; p++) if (bytes[p] !== bytes[p + shift]) return false;
    this.pos += to - from;
    return true;
  }

  /** Nothing but padding may follow: spaces, and what else the format allows. */
  finish(padding = ''): void {
    const bytes = this.#bytes;
    while (bytes[this.pos] === 0x20 || (this.pos < bytes.length && padding.includes(this.text[this.pos]!))) this.pos++;
    if (this.pos < bytes.length) this.unexpected('nothing but padding');
  }

  /** Reads the members of an object: `member` is called at each value, with its key, and must consume it. */
  object(member: (key: string, keyStart: number) => void): void {
    this.expect('{');
    if (this.take(0x7d)) return;
    do {
      this.peek();
      const start = this.pos;
      const key = this.string();
      this.expect(':');
      member(key, start);
    } while (this.take(0x2c));
    this.expect('}');
  }

  /** Reads a string. White space before it is skipped. */
  string(): string {
    if (this.peek() !== QUOTE) this.unexpected('a string');
    const bytes = this.#bytes;
    const start = this.pos + 1;
    const length = bytes.length;
    let seen = 0;
    for (let p = start; p < length; p++) {
      const byte = bytes[p]!;
      if (byte === QUOTE) {
        this.pos = p + 1;
        return seen < 0x80 ? this.text.substring(start, p) : utf8(bytes, start, p);
      }
      if (byte === BACKSLASH || byte < 0x20) break;
      seen |= byte;
    }
    return this.#escaped(start);
  }

  /** The slow path of {@link string}: escapes, and faults. */
  #escaped(start: number): string {
    const bytes = this.#bytes;
    const opening = this.pos;
    let value = '';
    let run = start;
    this.pos = start;
    for (;;) {
      const byte = bytes[this.pos];
      if (byte === undefined) this.fail(this.#source.syntax, 'a string has no closing quote', opening);
      if (byte < 0x20) this.fail(this.#source.syntax, 'a string holds a raw control character');
      if (byte !== QUOTE && byte !== BACKSLASH) {
        this.pos++;
        continue;
      }
      value += utf8(bytes, run, this.pos);
      if (byte === QUOTE) {
        this.pos++;
        return value;
      }
      value += this.#escape();
      run = this.pos;
    }
  }

  #escape(): string {
    const at = this.pos;
    const letter = this.text[at + 1] ?? '';
    const simple = ESCAPES[letter];
    if (simple !== undefined) {
      this.pos = at + 2;
      return simple;
    }
    const high = this.#codeUnit(at);
    if (high === undefined) this.fail(this.#source.syntax, 'a string holds an escape that JSON does not know');
    this.pos = at + 6;
    if (high < 0xd800 || high > 0xdfff) return String.fromCharCode(high);
    const low = high < 0xdc00 ? this.#codeUnit(at + 6) : undefined;
    if (low === undefined || low < 0xdc00 || low > 0xdfff) this.fail('E_SURROGATE', 'a string holds half of a surrogate pair', at);
    this.pos = at + 12;
    return String.fromCharCode(high, low);
  }

  /** The code unit of a \uXXXX escape, or undefined where there is none. */
  #codeUnit(at: number): number | undefined {
    const written = this.text.slice(at, at + 6);
    return /^\\u[0-9a-fA-F]{4}$/.test(written) ? Number.parseInt(written.slice(2), 16) : undefined;
  }

  /** Reads an integer from 0 to 2^53 - 1. White space before it is skipped. `what` names it in messages. */
  integer(what: string): number {
    let byte = this.peek();
    if (byte < DIGIT_0 || byte > DIGIT_9) this.#notInteger(what, byte);
    const bytes = this.#bytes;
    const start = this.pos;
    let p = start;
    let value = 0;
    do {
      value = value * 10 + (byte - DIGIT_0);
      byte = bytes[++p] ?? -1;
    } while (byte >= DIGIT_0 && byte <= DIGIT_9 && value <= Number.MAX_SAFE_INTEGER);
    if (value > Number.MAX_SAFE_INTEGER) this.fail('E_HEADER_NUMBER', `${what} is beyond 2^53 - 1`, start);
    if (bytes[start] === DIGIT_0 && p > start + 1) this.fail('E_HEADER_NUMBER', `${what} has a leading zero`, start);
    if (byte === 0x2e || byte === 0x65 || byte === 0x45) this.fail('E_HEADER_NUMBER', `${what} has a fraction or an exponent`, start);
    this.pos = p;
    return value;
  }

  #notInteger(what: string, byte: number): never {
    if (byte === -1 || !/[-+.NI"{[tfn]/.test(String.fromCharCode(byte))) this.unexpected(what);
    if (/[-+.NI]/.test(String.fromCharCode(byte))) this.fail('E_HEADER_NUMBER', `${what} is not a plain non-negative integer`);
    this.fail('E_HEADER_TYPE', `${what} is not a number`);
  }

  /** Reads any JSON value; objects become maps, so that `__proto__` is a key like any other. */
  value(depth = 0): unknown {
    if (depth > MAX_JSON_DEPTH) this.fail(this.#source.syntax, `values are nested deeper than ${MAX_JSON_DEPTH}`);
    const byte = this.peek();
    if (byte === QUOTE) return this.string();
    if (byte === 0x7b) {
      const map = new Map<string, unknown>();
      this.object((key, start) => {
        if (map.has(key)) this.fail('E_DUPLICATE_KEY', `the key ${JSON.stringify(key)} is there twice`, start);
        map.set(key, this.value(depth + 1));
      });
      return map;
    }
    if (byte === 0x5b) {
      this.pos++;
      const list: unknown[] = [];
      if (this.take(0x5d)) return list;
      do list.push(this.value(depth + 1));
      while (this.take(0x2c));
      this.expect(']');
      return list;
    }
    return this.#scalar();
  }

  #scalar(): unknown {
    for (const [word, value] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (this.text.startsWith(word, this.pos)) {
        this.pos += word.length;
        return value;
      }
    }
    NUMBER.lastIndex = this.pos;
    const digits = NUMBER.exec(this.text)?.[0];
    if (digits === undefined) this.unexpected('a value');
    this.pos += digits.length;
    return Number(digits);
  }
}

function utf8(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString();
}
