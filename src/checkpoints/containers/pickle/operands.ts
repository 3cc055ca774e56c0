/**
 * Bytes of operands, by opcode; -1 a byte and as many more as it says, -4 and -8 the same of four and eight
 * bytes, -2 two lines.
 */
export const OPERANDS = new Int8Array(256);
for (const [bytes, opcodes] of [
  [1, [0x71, 0x68, 0x4b, 0x80]],
  [2, [0x4d]],
  [4, [0x72, 0x6a, 0x4a]],
  [8, [0x47, 0x95]],
  [-1, [0x8c, 0x8a, 0x43]],
  [-4, [0x58, 0x8b, 0x42]],
  [-8, [0x96]],
  [-2, [0x63]],
] as const)
  for (const opcode of opcodes) OPERANDS[opcode] = bytes;

const LINE_END = 0x0a;

/** Where the operands of an opcode end that begin at `at`; -1 where the pickle is damaged. */
export function operandsEnd(bytes: Buffer, opcode: number, at: number): number {
  const operand = OPERANDS[opcode]!;
  let end = at + Math.max(0, operand);
  if (operand === -2) {
    const line = bytes.indexOf(LINE_END, at);
    end = line < 0 ? -1 : bytes.indexOf(LINE_END, line + 1) + 1;
    return end > 0 ? end : -1;
  }
  if (operand === -1 && at < bytes.length) end = at + 1 + bytes[at]!;
  else if (operand === -4 && at + 4 <= bytes.length) end = at + 4 + bytes.readUInt32LE(at);
  else if (operand === -8 && at + 8 <= bytes.length) end = at + 8 + Number(bytes.readBigUInt64LE(at));
  else if (operand < 0) return -1;
  return end <= bytes.length ? end : -1;
}
