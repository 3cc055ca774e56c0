import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readHeader, scanHeader } from '../../../src/safetensors.ts';
import { HOSTILE_HEADERS } from '../../support/hostile-headers.ts';
import { entry, fileBytes, mergeError, temporaryFolder } from '../../support/safetensors.ts';

test.each(HOSTILE_HEADERS)('refuses $what with $code', async ({ bytes, code, position, tensor }) => {
  const path = join(temporaryFolder(), 'model.safetensors');
  writeFileSync(path, bytes);
  const error = await mergeError(() => readHeader(path));
  expect({ code: error.code, position: error.details.position, tensor: error.details.tensor ?? null }).toEqual({ code, position, tensor });
  expect(error.details.file).toBe(path);
  expect(error.message).toContain(path);
  expect(error.message).toContain(`byte ${position}`);
  if (tensor !== null) expect(error.message).toContain(JSON.stringify(tensor));
  expect(error.exitCode).toBe(3);
  expect(error.help).not.toBe('');
});

test('there are at least 40 distinct (code, place) rows', () => {
  const rows = HOSTILE_HEADERS.map(({ code, position, tensor, what }) => [code, what, position, tensor ?? '-'] as const);
  console.log(['code, what, byte, tensor', ...rows.map((cells) => cells.join(', ')).sort()].join('\n'));
  expect(new Set(HOSTILE_HEADERS.map(({ what }) => what)).size).toBe(HOSTILE_HEADERS.length);
  expect(new Set(rows.map(([code, , position, tensor]) => `${code} ${position} ${tensor}`)).size).toBeGreaterThanOrEqual(40);
});

/** Unusual, and allowed. Each row: what, file, rows expected as [name, dtype, shape, begin, end]. */
const VALID: readonly [what: string, bytes: Uint8Array, rows: readonly (readonly [string, string, number[], number, number])[]][] = [
  ['no tensors', fileBytes('{}'), []],
  ['no tensors, padded', fileBytes('{}      '), []],
  ['scalar', fileBytes(`{${entry('a', 'F32', [], 0, 4)}}`, 4), [['a', 'F32', [], 0, 4]]],
  ['tensor of no elements', fileBytes(`{${entry('a', 'F32', [3, 0], 0, 0)}}`), [['a', 'F32', [3, 0], 0, 0]]],
  [
    'a zero before sizes whose product overflows',
    fileBytes(`{${entry('a', 'F32', [0, 2 ** 53 - 1, 9], 0, 0)}}`),
    [['a', 'F32', [0, 2 ** 53 - 1, 9], 0, 0]],
  ],
  ['high rank', fileBytes(`{${entry('a', 'U8', Array(64).fill(1), 0, 1)}}`, 1), [['a', 'U8', Array(64).fill(1), 0, 1]]],
  [
    'entries that are not in the order of their data',
    fileBytes(
      `{${entry('c', 'U8', [2], 6, 8)},${entry('b', 'U8', [4], 2, 6)},${entry('z', 'U8', [0], 6, 6)},${entry('a', 'U8', [2], 0, 2)},${entry('y', 'U8', [0], 6, 6)}}`,
      8,
    ),
    [
      ['a', 'U8', [2], 0, 2],
      ['b', 'U8', [4], 2, 6],
      ['z', 'U8', [0], 6, 6],
      ['y', 'U8', [0], 6, 6],
      ['c', 'U8', [2], 6, 8],
    ],
  ],
  [
    'data that is not aligned',
    fileBytes(`{${entry('a', 'U8', [1], 0, 1)},${entry('b', 'F64', [1], 1, 9)}} `, 9),
    [
      ['a', 'U8', [1], 0, 1],
      ['b', 'F64', [1], 1, 9],
    ],
  ],
  [
    'dtypes of less than a byte',
    fileBytes(`{${entry('a', 'F4', [2, 3], 0, 3)},${entry('b', 'F6_E3M2', [4], 3, 6)}}`, 6),
    [
      ['a', 'F4', [2, 3], 0, 3],
      ['b', 'F6_E3M2', [4], 3, 6],
    ],
  ],
  [
    'names of object members',
    fileBytes(`{${entry('__proto__', 'U8', [1], 0, 1)},${entry('constructor', 'U8', [1], 1, 2)}}`, 2),
    [
      ['__proto__', 'U8', [1], 0, 1],
      ['constructor', 'U8', [1], 1, 2],
    ],
  ],
  ['empty name', fileBytes(`{${entry('', 'U8', [1], 0, 1)}}`, 1), [['', 'U8', [1], 0, 1]]],
  [
    'escapes',
    fileBytes('{"\\u0061\\ud83d\\ude00\\n\\/":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
    [['a😀\n/', 'U8', [1], 0, 1]],
  ],
  ['escaped field names', fileBytes('{"a":{"\\u0064type":"U\\u0038","shape":[1],"data_offsets":[0,1]}}', 1), [['a', 'U8', [1], 0, 1]]],
  [
    'white space and another order of fields',
    fileBytes('{ "a" :\t{\n"data_offsets" : [ 0 , 2 ] ,\r\n"shape": [ 2 ] , "dtype" : "U8" } }', 2),
    [['a', 'U8', [2], 0, 2]],
  ],
];

test.each(VALID)('accepts %s', (_what, bytes, rows) => {
  const { tensors } = scanHeader(bytes, { path: 'x.safetensors', fileSize: bytes.length });
  expect(Array.from(tensors.names, (_, i) => Object.values(tensors.info(i)))).toEqual(rows);
  for (const [i, [name]] of rows.entries()) expect(tensors.rowOf(name)).toBe(i);
  expect(tensors.rowOf('not there')).toBe(-1);
});

test('equal shapes share one array, however they are written', () => {
  const header = `{"a":{"dtype":"U8","shape":[2,1],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2, 1],"data_offsets":[2,4]},${entry('c', 'U8', [2, 1], 4, 6)}}`;
  const bytes = fileBytes(header, 6);
  const { shapes } = scanHeader(bytes, { path: 'x', fileSize: bytes.length }).tensors;
  expect(shapes[1]).toBe(shapes[0]);
  expect(shapes[2]).toBe(shapes[0]);
});

test('metadata is a map, so that no key is special', () => {
  const bytes = fileBytes('{"__metadata__":{"__proto__":"p","":"e","format":"pt"}}');
  const { metadata } = scanHeader(bytes, { path: 'x', fileSize: bytes.length });
  expect([...metadata!]).toEqual([
    ['__proto__', 'p'],
    ['', 'e'],
    ['format', 'pt'],
  ]);
});

test('a header as long as the limit is accepted, one byte more is not', async () => {
  const limit = 100_000_000;
  const bytes = Buffer.alloc(8 + limit, ' ');
  bytes.writeBigUInt64LE(BigInt(limit));
  bytes.write('{}', 8);
  expect(scanHeader(bytes, { path: 'x', fileSize: bytes.length }).tensors.count).toBe(0);
  bytes.writeBigUInt64LE(BigInt(limit + 1));
  expect((await mergeError(() => scanHeader(bytes, { path: 'x', fileSize: bytes.length + 1 }))).code).toBe('E_HEADER_TOO_LARGE');
});

/** Entries as they follow ones that are written alike; what is wrong begins behind that part. */
const AFTER_ALIKE: readonly [what: string, entry: string, code: string | null][] = [
  ['as before', '"c":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}', null],
  ['white space', '"c":{"dtype":"U8","shape":[2],"data_offsets":[ 4 , 6 ] }', null],
  ['other white space before', '"c" : {"dtype":"U8", "shape":[2],"data_offsets":[4,6]}', null],
  ['fields in another order', '"c":{"data_offsets":[4,6],"dtype":"U8","shape":[2]}', null],
  ['too many bytes', '"c":{"dtype":"U8","shape":[2],"data_offsets":[4,7]}', 'E_SIZE_MISMATCH'],
  ['backwards', '"c":{"dtype":"U8","shape":[2],"data_offsets":[6,4]}', 'E_OFFSETS'],
  ['a fraction', '"c":{"dtype":"U8","shape":[2],"data_offsets":[4.0,6]}', 'E_HEADER_NUMBER'],
  ['a leading zero', '"c":{"dtype":"U8","shape":[2],"data_offsets":[04,6]}', 'E_HEADER_NUMBER'],
  ['three offsets', '"c":{"dtype":"U8","shape":[2],"data_offsets":[4,6,8]}', 'E_HEADER_JSON'],
  ['an offset twice', '"c":{"dtype":"U8","shape":[2],"data_offsets":[4,6],"data_offsets":[4,6]}', 'E_DUPLICATE_KEY'],
  ['a field more', '"c":{"dtype":"U8","shape":[2],"data_offsets":[4,6],"x":1}', 'E_HEADER_FIELD'],
  ['a field less', '"c":{"dtype":"U8","data_offsets":[4,6]}', 'E_HEADER_FIELD'],
  ['the name of another', '"a":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}', 'E_DUPLICATE_KEY'],
  ['cut short', '"c":{"dtype":"U8","shape":[2],"data_offsets":[4,', 'E_HEADER_JSON'],
];

test.each(AFTER_ALIKE)('an entry behind others of its form: %s', async (_, last, code) => {
  const header = `{${entry('a', 'U8', [2], 0, 2)},${entry('b', 'U8', [2], 2, 4)},${last}}`;
  const bytes = fileBytes(header, 6);
  if (code === null) {
    const { tensors } = scanHeader(bytes, { path: 'f', fileSize: bytes.length });
    expect(tensors.info(2)).toEqual({ name: 'c', dtype: 'U8', shape: [2], begin: 4, end: 6 });
    return;
  }
  const error = await mergeError(() => scanHeader(bytes, { path: 'f', fileSize: bytes.length }));
  expect([error.code, error.details.tensor]).toEqual([code, last.slice(1, 2)]);
});
