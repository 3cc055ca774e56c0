import { generator } from './checkpoints.ts';

/** Bytes and numbers at which readers decide something. */
const BYTES = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff];
const NUMBERS = [0, 1, 0xff, 0x100, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
/** Opcodes of pickles, signatures of zips, and what stands in headers of JSON. */
const TOKENS: readonly Buffer[] = [
  ...Array.from('()}]tsuearRbQNc0.2hjqrXKMJGT', (text) => Buffer.from(text, 'latin1')),
  ...[0x80, 0x81, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x93, 0x94, 0x95].map((opcode) => Buffer.of(opcode)),
  ...['PK\x01\x02', 'PK\x03\x04', 'PK\x05\x06', 'PK\x06\x06', 'PK\x06\x07'].map((text) => Buffer.from(text, 'latin1')),
  ...['cos\nsystem\n', 'cbuiltins\neval\n', '"', '{', '[', '-1', '1e308', '9007199254740993', 'null', '../', '\\u0000'].map((text) =>
    Buffer.from(text),
  ),
];

/** Damages bytes as `seed` says, at a few places. @param others what pieces may come from */
export function mutated(bytes: Buffer, others: readonly Buffer[], seed: number): Buffer {
  const next = generator(seed);
  const below = (count: number): number => (count === 0 ? 0 : next() % count);
  const pick = <T>(from: readonly T[]): T => from[below(from.length)]!;
  let out: Buffer = Buffer.from(bytes);
  for (let times = 1 + below(4); times > 0; times--) {
    // Headers and directories stand at the ends.
    const near = below(2) === 0 ? out.length : Math.min(out.length, 512);
    const at = below(2) === 0 ? below(near) : out.length - 1 - below(near);
    const length = Math.min(out.length - at, 1 + below(below(4) === 0 ? 4096 : 16));
    const [before, behind] = [out.subarray(0, at), out.subarray(at + length)];
    switch (below(9)) {
      case 0:
        if (out.length > 0) out[at]! ^= 1 << below(8);
        break;
      case 1:
        if (out.length > 0) out[at] = pick(BYTES);
        break;
      case 2:
        if (out.length - at >= 4) out.writeUInt32LE(pick(NUMBERS), at);
        break;
      case 3:
        if (out.length - at >= 8) out.writeBigUInt64LE(BigInt(pick(NUMBERS)) << BigInt(below(33)), at);
        break;
      case 4:
        out = Buffer.concat([before, behind]);
        break;
      case 5:
        out = Buffer.concat([before, out.subarray(at, at + length), out.subarray(at)]);
        break;
      case 6:
        out = Buffer.concat([before, pick(TOKENS), below(2) === 0 ? behind : out.subarray(at)]);
        break;
      case 7: {
        const other = pick(others);
        const from = below(other.length);
        out = Buffer.concat([before, other.subarray(from, from + length), below(2) === 0 ? behind : out.subarray(at)]);
        break;
      }
      default:
        if (below(8) === 0) out = Buffer.from(before);
    }
  }
  return out;
}
