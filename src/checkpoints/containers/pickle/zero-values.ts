import { operandsEnd } from './operands.ts';

/** Opcodes of texts, with the bytes of their length; of numbers, with those of the number. */
const TEXTS: Readonly<Record<number, number>> = { 88: 4, 140: 1 };
const NUMBERS: Readonly<Record<number, number>> = { 75: 1, 77: 2, 74: 4, 71: 8 };
const [PROTO, FRAME, MEMOIZE, BINPUT, LONG_BINPUT, BINGET, LONG_BINGET] = [128, 149, 148, 113, 114, 104, 106];

/**
 * A pickle in which the numbers are 0 that dicts have under a key: of as many bytes, and with nothing else
 * changed, not even what is a float and what is none.
 * @param key a text, or null for a pickle that is one number
 * @returns the number of them that there were, of which some may have been 0
 */
export function zeroValues(pickle: Buffer, key: string | null): { readonly bytes: Buffer; readonly count: number } {
  const bytes = Buffer.from(pickle);
  const memo = new Set<number>();
  let entries = 0;
  let count = 0;
  let isKey = key === null;
  for (let at = 0; at < bytes.length; ) {
    const opcode = bytes[at++]!;
    const end = operandsEnd(bytes, opcode, at);
    if (end < 0) break;
    if (opcode === MEMOIZE || opcode === BINPUT || opcode === LONG_BINPUT) {
      const entry = opcode === MEMOIZE ? entries : opcode === BINPUT ? bytes[at]! : bytes.readUInt32LE(at);
      entries++;
      if (isKey) memo.add(entry);
      else memo.delete(entry);
    } else if (opcode === BINGET || opcode === LONG_BINGET) {
      isKey = memo.has(opcode === BINGET ? bytes[at]! : bytes.readUInt32LE(at));
    } else if (TEXTS[opcode] !== undefined) {
      isKey = key !== null && bytes.toString('utf8', at + TEXTS[opcode], end) === key;
    } else if (opcode !== PROTO && opcode !== FRAME) {
      if (isKey && NUMBERS[opcode] !== undefined) {
        bytes.fill(0, at, end);
        count++;
      }
      isKey = false;
    }
    at = end;
  }
  return { bytes, count };
}
