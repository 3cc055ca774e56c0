/** Bytes of a batch of pieces, but for a single longer one. */
export const BATCH_BYTES = 4 * 2 ** 20;
/** Kept for the next batch: one that is looked at, and those on their way. */
const MOST_UNUSED = 3;

const unused: Buffer[] = [];

/** A buffer for pieces: new memory for each of hundreds of batches would be cleared and collected every time. */
export function batchBuffer(bytes: number): Buffer {
  if (bytes > BATCH_BYTES) return Buffer.allocUnsafeSlow(bytes);
  const whole = bytes < BATCH_BYTES / 8 ? undefined : (unused.pop() ?? Buffer.allocUnsafeSlow(BATCH_BYTES));
  return whole?.subarray(0, bytes) ?? Buffer.allocUnsafeSlow(bytes);
}

/** To be called once for a buffer, when nobody looks at it any more. */
export function giveBack(buffer: Buffer): void {
  if (buffer.buffer.byteLength === BATCH_BYTES && unused.length < MOST_UNUSED) unused.push(Buffer.from(buffer.buffer));
}
