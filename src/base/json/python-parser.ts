import { stringEnd } from './tokens.ts';

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

/** What may stand where a value does, and is neither text, number, list nor object. */
const WORDS: readonly (readonly [word: string, value: unknown])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
];

/**
 * Reads a JSON text that holds the words that Python writes for floats which JSON has no number for. One pass
 * over the text; calls itself for each level of nesting, which the caller has looked at.
 */
export class PythonParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** All of the text as one value. @throws SyntaxError */
  document(): unknown {
    const value = this.#value();
    this.#skip();
    if (this.#at < this.#text.length) this.#unexpected();
    return value;
  }

  #value(): unknown {
    this.#skip();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object();
      case '[':
        return this.#list();
      case '"':
        return this.#string();
    }
    const word = WORDS.find(([text]) => this.#text.startsWith(text, this.#at));
    if (word !== undefined) {
      this.#at += word[0].length;
      return word[1];
    }
    NUMBER.lastIndex = this.#at;
    const number = NUMBER.exec(this.#text)?.[0];
    if (number === undefined) this.#unexpected();
    this.#at += number.length;
    return Number(number);
  }

  #object(): object {
    const object: Record<string, unknown> = {};
    this.#at++;
    if (this.#take('}')) return object;
    do {
      this.#skip();
      if (this.#text[this.#at] !== '"') this.#unexpected();
      const key = this.#string();
      if (!this.#take(':')) this.#unexpected();
      const value = this.#value();
      // An assignment to this name would set the prototype.
      if (key === '__proto__') Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
      else object[key] = value;
    } while (this.#take(','));
    if (!this.#take('}')) this.#unexpected();
    return object;
  }

  #list(): unknown[] {
    const list: unknown[] = [];
    this.#at++;
    if (this.#take(']')) return list;
    do list.push(this.#value());
    while (this.#take(','));
    if (!this.#take(']')) this.#unexpected();
    return list;
  }

  #string(): string {
    const start = this.#at;
    this.#at = stringEnd(this.#text, start);
    return JSON.parse(this.#text.slice(start, this.#at)) as string;
  }

  /** Skips white space, and takes a character where it comes next. */
  #take(character: string): boolean {
    this.#skip();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skip(): void {
    while (' \t\r\n'.includes(this.#text[this.#at] ?? 'x')) this.#at++;
  }

  #unexpected(): never {
    const found = this.#at < this.#text.length ? JSON.stringify(this.#text[this.#at]) : 'the end';
    throw new SyntaxError(`unexpected ${found} at character ${this.#at} of the JSON`);
  }
}
