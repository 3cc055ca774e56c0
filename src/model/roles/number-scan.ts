/** Whole-number components that are told apart from the rest of the name. */
const MAX_NUMBERS = 8;
/** Digits of a number that an int32 holds; what is longer counts nothing. */
const MAX_DIGITS = 9;

/**
 * The components of a name that are whole numbers. Reused from name to name: millions of them are read in a
 * second.
 */
export class NumberScan {
  readonly values = new Int32Array(MAX_NUMBERS);
  readonly #starts = new Int32Array(MAX_NUMBERS);
  readonly #ends = new Int32Array(MAX_NUMBERS);
  #count = 0;

  /** Finds them, and hashes (FNV-1a) what lies between. */
  read(name: string, seed: number): number {
    const { length } = name;
    let hash = 0x811c9dc5 ^ seed;
    this.#count = 0;
    let first = true;
    for (let i = 0; i < length; i++) {
      const c = name.charCodeAt(i);
      if (first && c >= 48 && c <= 57) {
        const end = this.#number(name, i);
        if (end > 0) {
          hash = Math.imul(hash ^ 35, 0x01000193);
          i = end - 1;
          first = false;
          continue;
        }
      }
      hash = Math.imul(hash ^ c, 0x01000193);
      first = c === 46;
    }
    return hash;
  }

  /** Takes the number that begins at `start`; its end, or 0 where the component is no whole number. */
  #number(name: string, start: number): number {
    let end = start;
    let value = 0;
    for (let c = name.charCodeAt(end); c >= 48 && c <= 57; c = name.charCodeAt(++end)) value = value * 10 + c - 48;
    const whole = end - start <= MAX_DIGITS && this.#count < MAX_NUMBERS && (end === name.length || name.charCodeAt(end) === 46);
    if (!whole) return 0;
    this.values[this.#count] = value;
    this.#starts[this.#count] = start;
    this.#ends[this.#count++] = end;
    return end;
  }

  /**
   * Whether {@link literals} are these, and if so takes the numbers between them: one look at the name, where
   * the kind is already guessed.
   */
  matches(name: string, literals: readonly Uint16Array[]): boolean {
    const { length } = name;
    const last = literals.length - 1;
    let at = 0;
    for (let i = 0; i <= last; i++) {
      const literal = literals[i]!;
      if (at + literal.length > length) return false;
      for (let c = 0; c < literal.length; c++) if (name.charCodeAt(at + c) !== literal[c]) return false;
      at += literal.length;
      if (i === last) break;
      const start = at;
      let value = 0;
      for (let c = name.charCodeAt(at); c >= 48 && c <= 57; c = name.charCodeAt(++at)) value = value * 10 + c - 48;
      // What follows a number begins with a dot, so this is a whole component, as it was in the name of that
      // kind.
      if (at === start || at - start > MAX_DIGITS) return false;
      this.values[i] = value;
    }
    return at === length;
  }

  /** What lies before, between and after the numbers. */
  literals(name: string): string[] {
    return Array.from({ length: this.#count + 1 }, (_, i) =>
      name.slice(i === 0 ? 0 : this.#ends[i - 1], i === this.#count ? undefined : this.#starts[i]),
    );
  }

  /** Whether {@link literals} would be these: equal hashes prove nothing. */
  separates(name: string, literals: readonly Uint16Array[]): boolean {
    if (literals.length !== this.#count + 1) return false;
    let start = 0;
    for (let i = 0; i <= this.#count; i++) {
      const literal = literals[i]!;
      const end = i === this.#count ? name.length : this.#starts[i]!;
      if (literal.length !== end - start) return false;
      for (let c = 0; c < literal.length; c++) if (name.charCodeAt(start + c) !== literal[c]) return false;
      start = this.#ends[i]!;
    }
    return true;
  }
}

/** Slices of a name would keep it alive, and are slow to compare with. */
export const codesOf = (text: string) => Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
