import { expect, test } from 'vitest';
import { crc32cCombineReference, crc32cReference } from '../../../src/analysis/verify/twin/crc32c.ts';

const ascii = (text: string) => new TextEncoder().encode(text);

// RFC 3720 (iSCSI), appendix B.4, and the check value of the CRC catalogues.
test.each([
  ['123456789', ascii('123456789'), 0xe3069283],
  ['32 bytes of 0', new Uint8Array(32), 0x8a9136aa],
  ['32 bytes of ff', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['0 to 31', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['31 down to 0', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  ['nothing', new Uint8Array(0), 0],
] as const)('published value of %s', (_, bytes, expected) => {
  expect(crc32cReference(bytes)).toBe(expected);
});

test('any split of a text, continued or combined, gives the CRC of the whole', () => {
  const text = ascii('the merged checkpoint appears whole or not at all');
  const whole = crc32cReference(text);
  for (let cut = 0; cut <= text.length; cut++) {
    const head = text.subarray(0, cut);
    const tail = text.subarray(cut);
    expect(crc32cReference(tail, crc32cReference(head))).toBe(whole);
    expect(crc32cCombineReference(crc32cReference(head), crc32cReference(tail), tail.length)).toBe(whole);
  }
});

test('combining over lengths beyond 32 bits is consistent with doing it in two steps', () => {
  const length = 2 ** 40 + 12345;
  const zeros = (n: number) => crc32cCombineReference(0x12345678, 0, n);
  expect(zeros(length)).toBe(crc32cCombineReference(zeros(length - 777), 0, 777));
  expect(zeros(length)).not.toBe(zeros(12345));
});
