import { MAX_MEMO_INDEX } from './limits.ts';
import { OPERANDS } from './operands.ts';

const BINGET = 0x68;
const LONG_BINGET = 0x6a;
const LINE_END = 0x0a;

/**
 * Which entries of its memo a pickle comes back to. Python notes each object, and speaks of few of them
 * again: with all of them kept, none could be forgotten before the end.
 * @returns [entries] 1 for those; what lies beyond has to be kept. Where the pickle is damaged, those up to
 * there.
 */
export function referencedEntries(bytes: Buffer): Uint8Array {
  // There is no entry without an opcode of its own, unless it has a number out of order.
  const found = new Uint8Array(Math.min(bytes.length, MAX_MEMO_INDEX + 1));
  const end = bytes.length;
  for (let at = 0; at < end; ) {
    const opcode = bytes[at++]!;
    const operand = OPERANDS[opcode]!;
    if (operand === 0) continue;
    if (operand === -2) {
      const line = bytes.indexOf(LINE_END, at);
      const second = line < 0 ? -1 : bytes.indexOf(LINE_END, line + 1);
      if (second < 0) break;
      at = second + 1;
      continue;
    }
    if (end - at < (operand < 0 ? -operand : operand)) break;
    if (operand === -1) at += 1 + bytes[at]!;
    else if (operand === -4) at += 4 + bytes.readUInt32LE(at);
    else if (operand === -8) at += 8 + Number(bytes.readBigUInt64LE(at));
    else {
      if (opcode === BINGET) found[bytes[at]!] = 1;
      else if (opcode === LONG_BINGET) {
        const entry = bytes.readUInt32LE(at);
        if (entry < found.length) found[entry] = 1;
      }
      at += operand;
    }
  }
  return found;
}
