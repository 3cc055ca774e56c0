/**
 * Characters gathered before they become bytes: long strings of half a million pieces keep the garbage
 * collector busy.
 */
const CHUNK_LENGTH = 32 * 1024;

/** UTF-8 text that is made in many small pieces. */
export class TextChunks {
  readonly #chunks: Buffer[] = [];
  #text = '';
  #size = 0;

  add(text: string): void {
    this.#text += text;
    if (this.#text.length >= CHUNK_LENGTH) this.#flush();
  }

  /** Bytes so far. */
  get size(): number {
    this.#flush();
    return this.#size;
  }

  /** All of it, with `before` in front. */
  bytes(before: Uint8Array = new Uint8Array(0)): Buffer {
    this.#flush();
    return Buffer.concat([before, ...this.#chunks]);
  }

  #flush(): void {
    const bytes = Buffer.from(this.#text);
    this.#chunks.push(bytes);
    this.#size += bytes.length;
    this.#text = '';
  }
}
