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
