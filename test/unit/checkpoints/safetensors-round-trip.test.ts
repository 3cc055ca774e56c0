import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  DTYPES,
  encodeHeader,
  encodeIndex,
  layOutTensors,
  readHeader,
  readIndex,
  scanHeader,
  type TensorSpec,
  writeSafetensors,
} from '../../../src/safetensors.ts';
import { CAMPAIGN_MS, seedOf, TIMES } from '../../support/campaign.ts';
import { mergeError, seeded, temporaryFolder } from '../../support/safetensors.ts';

const GOLDEN = join(import.meta.dirname, '../../golden/safetensors');

interface GoldenFile {
  file: string;
  metadata: Record<string, string> | null;
  sha256: string;
  tensors: Record<string, { dtype: string; shape: number[]; sha256: string }>;
}
const golden = JSON.parse(readFileSync(join(GOLDEN, 'golden.json'), 'utf8')) as { files: GoldenFile[]; index: Record<string, unknown> };
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Own entries of what JSON.parse made, `__proto__` included. */
const asMap = (object: object | null): Map<string, unknown> | null => object && new Map(Object.entries(object));

test.each(golden.files)('reads $file as the Python library wrote it', async ({ file, metadata, sha256: whole, tensors }) => {
  const path = join(GOLDEN, file);
  const bytes = readFileSync(path);
  expect(sha256(bytes)).toBe(whole);
  const header = await readHeader(path);
  expect(header.fileSize).toBe(bytes.length);
  expect(header.metadata).toEqual(asMap(metadata));
  expect(header.tensors.count).toBe(Object.keys(tensors).length);
  for (const [name, expected] of Object.entries(tensors)) {
    const { dtype, shape, begin, end } = header.tensors.info(header.tensors.rowOf(name));
    const data = bytes.subarray(header.dataStart + begin, header.dataStart + end);
    expect({ dtype, shape, sha256: sha256(data) }).toEqual(expected);
  }
});

test.each(golden.files)('writes $file back, byte for byte', async ({ file }) => {
  const bytes = readFileSync(join(GOLDEN, file));
  const { dataStart, metadata, tensors } = await readHeader(join(GOLDEN, file));
  const copy = join(temporaryFolder(), 'copy.safetensors');
  const rows = Array.from(tensors.names, (_, row) => tensors.info(row));
  const data = rows.map((tensor) => ({ ...tensor, data: bytes.subarray(dataStart + tensor.begin, dataStart + tensor.end) }));
  await writeSafetensors(copy, data, { metadata });
  expect(readFileSync(copy).equals(bytes)).toBe(true);
  expect(Buffer.from(encodeHeader(tensors, metadata)).equals(bytes.subarray(0, dataStart))).toBe(true);
});

test('reads and writes an index as transformers wrote it', async () => {
  const path = join(GOLDEN, 'model.safetensors.index.json');
  const index = await readIndex(path);
  const { metadata, weight_map } = golden.index as { metadata: Record<string, unknown>; weight_map: Record<string, string> };
  const found = Object.fromEntries(index.names.map((name, i) => [name, index.shards[index.shardOf[i]!]]));
  expect(found).toEqual(weight_map);
  expect(index.metadata?.get('total_size')).toBe(metadata.total_size);
  expect(index.metadata?.get('nested')).toEqual(
    new Map<string, unknown>([
      ['a', new Map()],
      ['b', [1, 'x']],
      ['c', []],
    ]),
  );
  for (const [i, name] of index.names.entries()) expect(index.entryOf(name)).toBe(i);
  const shuffled = Object.entries(weight_map).reverse();
  expect(Buffer.from(encodeIndex({ metadata: index.metadata!, weightMap: shuffled })).toString()).toBe(readFileSync(path, 'utf8'));
});

/** Names that are hard on a JSON writer. */
const NODE = Number(process.versions.node.split('.')[0]);
const ALPHABET = [
  'a',
  'model.',
  '0',
  '"',
  '\\',
  '\u0000',
  '\u001f',
  '\u007f',
  'é',
  '\u2028',
  '重',
  '😀',
  '\u{10ffff}',
  '\ufffe',
  '__proto__',
];

test(
  'scanHeader(encodeHeader(x)) is x',
  () => {
    for (let seed = 0; seed < 300 * TIMES; seed++) {
      const random = seeded(seedOf(seed));
      const names = new Set(
        Array.from({ length: random(40) }, () => Array.from({ length: random(6) }, () => ALPHABET[random(ALPHABET.length)]).join('')),
      );
      const specs: TensorSpec[] = [...names].map((name) => {
        const { name: dtype, bits } = DTYPES[random(DTYPES.length)]!;
        const shape = Array.from({ length: random(5) }, () => random(7));
        // Dtypes of 4 and 6 bits fill whole bytes at multiples of 4 elements.
        return { name, dtype, shape: bits % 8 === 0 ? shape : [...shape, 4] };
      });
      const metadata = random(3) === 0 ? null : new Map([...names].slice(0, 3).map((name) => [name, `${name}!`]));
      const bytes = encodeHeader(specs, metadata);
      const table = layOutTensors(specs);
      const read = scanHeader(bytes, { path: 'x', fileSize: bytes.length + (table.end.at(-1) ?? 0) });
      expect(read.dataStart % 8).toBe(0);
      expect(read.metadata).toEqual(metadata);
      const written = specs.map((spec, row) => ({ ...spec, begin: table.begin[row]!, end: table.end[row]! }));
      // Tensors of no bytes share their place with the next one, and come before it either way.
      expect(Array.from(read.tensors.names, (_, row) => read.tensors.info(row))).toEqual(written);
      // JSON.parse is more lenient, but agrees on what is valid.
      const parsed = JSON.parse(Buffer.from(bytes.subarray(8)).toString()) as Record<string, { data_offsets: number[] }>;
      // V8 of Node 24.21 takes a key that begins with an escape for another one, in objects of many names.
      if (NODE >= 24 && [...names].some((name) => JSON.stringify(name).length > name.length + 2)) continue;
      for (const { name, begin, end } of written)
        expect(Object.getOwnPropertyDescriptor(parsed, name)?.value.data_offsets).toEqual([begin, end]);
    }
  },
  CAMPAIGN_MS,
);

test(
  'a damaged header parses or is refused, and nothing else happens',
  () => {
    const valid = readFileSync(join(GOLDEN, 'odd.safetensors'));
    const random = seeded(seedOf(7));
    let refused = 0;
    for (let round = 0; round < 20_000 * TIMES; round++) {
      const bytes = Uint8Array.from(valid);
      for (let flips = 1 + random(3); flips > 0; flips--) bytes[random(300)]! ^= 1 << random(8);
      const fileSize = random(4) === 0 ? random(valid.length + 1) : valid.length;
      try {
        const { tensors } = scanHeader(bytes.subarray(0, fileSize), { path: 'x', fileSize });
        expect(tensors.end.at(-1) ?? 0).toBeLessThan(fileSize);
      } catch (error) {
        refused++;
        expect((error as { code?: string }).code).toMatch(/^E_(?!INTERNAL)/);
      }
    }
    expect(refused).toBeGreaterThan(10_000 * TIMES);
  },
  CAMPAIGN_MS,
);

test('columns and objects give the same header', () => {
  const specs: TensorSpec[] = [
    { name: 'a', dtype: 'BF16', shape: [2, 3] },
    { name: 'b', dtype: 'F32', shape: [] },
  ];
  const columns = { names: ['a', 'b'], dtypes: Uint8Array.of(0, 2), shapes: [[2, 3], []] };
  const text =
    '{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[],"data_offsets":[12,16]}}';
  for (const bytes of [encodeHeader(specs, { format: 'pt' }), encodeHeader(columns, new Map([['format', 'pt']]))]) {
    expect(Buffer.from(bytes.subarray(8)).toString()).toBe(text.padEnd(Math.ceil(text.length / 8) * 8));
    expect(Buffer.from(bytes).readBigUInt64LE()).toBe(BigInt(bytes.length - 8));
  }
});

test('an index sorts by code point, not by UTF-16 unit', () => {
  const names = ['\u{1f600}', '\ufb01', 'b', 'ab', 'a'];
  const text = Buffer.from(encodeIndex({ metadata: {}, weightMap: names.map((name) => [name, 's']) })).toString();
  expect(Object.keys((JSON.parse(text) as { weight_map: object }).weight_map)).toEqual(['a', 'ab', 'b', '\ufb01', '\u{1f600}']);
});

const F32 = { dtype: 'F32', shape: [1], data: new Uint8Array(4) } as const;

test.each([
  ['E_SIZE_MISMATCH', [{ ...F32, name: 'a', data: new Uint8Array(5) }], undefined],
  ['E_SIZE_MISMATCH', [{ ...F32, name: 'a', dtype: 'F4', data: new Uint8Array(1) }], undefined],
  ['E_SHAPE_OVERFLOW', [{ ...F32, name: 'a', shape: [2 ** 52, 4] }], undefined],
  [
    'E_DUPLICATE_KEY',
    [
      { ...F32, name: 'a' },
      { ...F32, name: 'a' },
    ],
    undefined,
  ],
  ['E_METADATA', [{ ...F32, name: '__metadata__' }], undefined],
  ['E_HEADER_NUMBER', [{ ...F32, name: 'a', shape: [-1, -1] }], undefined],
  ['E_HEADER_NUMBER', [{ ...F32, name: 'a', shape: [0.5, 2] }], undefined],
  ['E_SURROGATE', [{ ...F32, name: '\ud800' }], undefined],
  ['E_SURROGATE', [{ ...F32, name: 'a' }], { k: 'x\udfff' }],
  ['E_DTYPE', [{ ...F32, name: 'a', dtype: 'F31' as 'F32' }], undefined],
] as const)('refuses to write what no reader would take: %s', async (code, tensors, metadata) => {
  const folder = temporaryFolder();
  const error = await mergeError(() => writeSafetensors(join(folder, 'x.safetensors'), tensors, { metadata: metadata ?? null }));
  expect(error.code).toBe(code);
  expect(readdirSync(folder)).toEqual([]);
});

test('a file is replaced whole, and keeps what it was when the write fails', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'x.safetensors');
  writeFileSync(path, 'old');
  await writeSafetensors(path, [{ ...F32, name: 'a' }]);
  expect((await readHeader(path)).tensors.names).toEqual(['a']);
  // Ordinary permissions, as umask gives them, not those of a temporary file.
  expect(statSync(path).mode & 0o777).toBe(0o666 & ~process.umask());
  mkdirSync(join(folder, 'taken.safetensors'));
  const error = await mergeError(() => writeSafetensors(join(folder, 'taken.safetensors'), [{ ...F32, name: 'a' }]));
  expect(error.code).toBe('E_OUTPUT_KIND');
  expect(readdirSync(folder).sort()).toEqual(['taken.safetensors', 'x.safetensors']);
});

test('a file of many tensors of every size', async () => {
  const path = join(temporaryFolder(), 'x.safetensors');
  const random = seeded(1);
  const tensors = Array.from({ length: 200 }, (_, i) => {
    const data = Buffer.alloc(i % 50 === 0 ? 5_000_000 : random(100), i);
    return { name: `t${i}`, dtype: 'U8' as const, shape: [data.length], data };
  });
  await writeSafetensors(path, tensors);
  const { dataStart } = await readHeader(path);
  expect(
    readFileSync(path)
      .subarray(dataStart)
      .equals(Buffer.concat(tensors.map(({ data }) => data))),
  ).toBe(true);
});
