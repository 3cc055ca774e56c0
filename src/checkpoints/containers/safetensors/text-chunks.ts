/**
 * Characters gathered before they become bytes: long strings of half a million pieces keep the garbage
 * collector busy.
 */
const CHUNK_LENGTH = 32 * 1024;
/** The most bytes of UTF-8 that a UTF-16 unit becomes. */
const MOST_BYTES = 3;

/** UTF-8 text that is made in many small pieces. */
export class TextChunks {
  #bytes: Buffer;
  #text = '';
  #size = 0;

  /** @param expected bytes of most of it: what is not used costs no memory, and more is copied once or twice */
  constructor(expected = 0) {
    this.#bytes = Buffer.allocUnsafeSlow(expected + CHUNK_LENGTH);
  }

  add(text: string): void {
    this.#text += text;
    if (this.#text.length >= CHUNK_LENGTH) this.#flush();
  }

  /** Bytes so far. */
  get size(): number {
    this.#flush();
    return this.#size;
  }

  /** All of it. */
  bytes(): Buffer {
    this.#flush();
    return this.#bytes.subarray(0, this.#size);
  }

  #flush(): void {
    const needed = this.#size + MOST_BYTES * this.#text.length;
    if (needed > this.#bytes.length && this.#size + Buffer.byteLength(this.#text) > this.#bytes.length) {
      const longer = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.length));
      this.#bytes.copy(longer, 0, 0, this.#size);
      this.#bytes = longer;
    }
    this.#size += this.#bytes.write(this.#text, this.#size);
    this.#text = '';
  }
}
