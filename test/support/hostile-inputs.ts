import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { type FixtureTensor, writeCheckpoint } from './checkpoints.ts';
import type { HostileCase } from './hostile-case.ts';
import { HOSTILE_FOLDERS } from './hostile-folders.ts';
import { HOSTILE_HEADERS } from './hostile-headers.ts';
import { indexText, smallFile } from './safetensors.ts';

export const EMBED: FixtureTensor = { name: 'embed.weight', dtype: 'BF16', shape: [8, 4] };
export const NORM: FixtureTensor = { name: 'norm.weight', dtype: 'F32', shape: [4] };

/** A valid folder with one tensor file of two tensors. */
export function good(folder: string, name: string, seed = 1): string {
  writeCheckpoint(join(folder, name), [[EMBED, NORM]], seed);
  return name;
}

/** Where the bad file is put, and which command meets it there. */
const PLACES = {
  'inspect, single file': (folder: string, bytes: Uint8Array) => {
    writeFileSync(join(folder, 'bad.safetensors'), bytes);
    return { args: ['inspect', 'bad.safetensors'], file: 'bad.safetensors' };
  },
  'average, file of input 2': (folder: string, bytes: Uint8Array) => {
    mkdirSync(join(folder, 'bad'));
    writeFileSync(join(folder, 'bad/model.safetensors'), bytes);
    return { args: ['average', good(folder, 'a'), 'bad', '-o', 'out'], file: 'bad/model.safetensors' };
  },
  'plan, second shard': (folder: string, bytes: Uint8Array) => {
    mkdirSync(join(folder, 'bad'));
    writeFileSync(join(folder, 'bad/s1.safetensors'), smallFile('first'));
    writeFileSync(join(folder, 'bad/s2.safetensors'), bytes);
    writeFileSync(join(folder, 'bad/model.safetensors.index.json'), indexText({ first: 's1.safetensors', a: 's2.safetensors' }));
    return { args: ['plan', 'bad', '-o', 'out'], file: 'bad/s2.safetensors' };
  },
  'average, file of --like': (folder: string, bytes: Uint8Array) => {
    writeFileSync(join(folder, 'bad.safetensors'), bytes);
    return { args: ['average', good(folder, 'a'), '--like', 'bad.safetensors', '-o', 'new/out'], file: 'bad.safetensors' };
  },
  'verify, file of the merge': (folder: string, bytes: Uint8Array) => {
    mkdirSync(join(folder, 'merged'));
    writeFileSync(join(folder, 'merged/model.safetensors'), bytes);
    return { args: ['verify', 'merged'], file: 'merged/model.safetensors' };
  },
} as const;

const FILE = 'inspect, single file';
const INPUT = 'average, file of input 2';
const SHARD = 'plan, second shard';
const LIKE = 'average, file of --like';
const MERGE = 'verify, file of the merge';

/** The name of a row of HOSTILE_HEADERS, where to put it, and which part of the file is at fault. */
const HEADERS: readonly (readonly [what: string, place: keyof typeof PLACES, part: string])[] = [
  ['empty file', FILE, 'header length'],
  ['header longer than the file', INPUT, 'header'],
  ['length of nothing', FILE, 'first byte'],
  ['a list', INPUT, 'first byte'],
  ['header over the limit', INPUT, 'header length'],
  ['length of 2^64 - 1', FILE, 'header length'],
  ['no closing brace', FILE, 'end of the header'],
  ['second object', INPUT, 'after the header'],
  ['line break in a name', SHARD, 'tensor name'],
  ['three offsets', LIKE, 'data_offsets'],
  ['shape without end', MERGE, 'shape'],
  ['lone high surrogate', INPUT, 'tensor name'],
  ['lone surrogate in metadata', FILE, '__metadata__'],
  ['invalid byte', INPUT, 'tensor name'],
  ['tensor named twice', INPUT, 'tensor name'],
  ['__proto__ named twice', FILE, 'tensor name'],
  ['field twice', SHARD, 'field'],
  ['metadata key twice', LIKE, '__metadata__'],
  ['metadata is a list', FILE, '__metadata__'],
  ['entry is a string', FILE, 'entry'],
  ['dtype is null', INPUT, 'dtype'],
  ['size is a string', SHARD, 'shape'],
  ['deeply nested entry', MERGE, 'entry'],
  ['unknown dtype', INPUT, 'dtype'],
  ['unknown field', INPUT, 'field'],
  ['negative size', FILE, 'shape'],
  ['NaN size', INPUT, 'shape'],
  ['float offset', INPUT, 'data_offsets'],
  ['Infinity offset', SHARD, 'data_offsets'],
  ['size beyond 2^53', LIKE, 'shape'],
  ['offset beyond 2^53', FILE, 'data_offsets'],
  ['elements beyond 2^53', INPUT, 'shape'],
  ['elements that wrap to 0 in 64 bits', FILE, 'shape'],
  ['fewer bytes than the shape', INPUT, 'data_offsets'],
  ['more bytes than the shape', FILE, 'data_offsets'],
  ['offsets run backwards', INPUT, 'data_offsets'],
  ['begins beyond the file', FILE, 'data_offsets'],
  ['shared bytes', INPUT, 'data'],
  ['empty tensor inside another', SHARD, 'data'],
  ['unused bytes between', INPUT, 'data'],
  ['data cut short', INPUT, 'data'],
  ['no data', MERGE, 'data'],
  ['a byte too many', INPUT, 'end of the file'],
  ['data without tensors', FILE, 'end of the file'],
];

/**
 * The name of a row of HOSTILE_FOLDERS, the command that meets it, and which part of the checkpoint is at
 * fault.
 */
const FOLDERS: readonly (readonly [what: string, command: 'inspect' | 'average' | 'plan' | 'verify', part: string])[] = [
  ['nothing there', 'average', 'path'],
  ['below a file', 'inspect', 'path'],
  ['empty folder', 'average', 'folder'],
  ['folder with an empty pytorch_model.bin', 'plan', 'pytorch_model.bin'],
  ['one of two shards, without index', 'inspect', 'folder'],
  ['single file and index', 'average', 'folder'],
  ['no tensors in a file', 'average', 'model.safetensors'],
  ['no tensors in an index', 'inspect', 'index'],
  ['FIFO as model', 'average', 'model.safetensors'],
  ['FIFO as shard', 'inspect', 'second shard'],
  ['FIFO as index', 'plan', 'index'],
  ['folder as shard', 'average', 'second shard'],
  ['folder as model', 'inspect', 'model.safetensors'],
  ['shard missing', 'average', 'second shard'],
  ['shard links to nothing', 'inspect', 'first shard'],
  ['shard cut short', 'average', 'second shard'],
  ['tensor in two shards', 'average', 'second shard'],
  ['tensor in two shards, the first unnamed', 'inspect', 'first shard'],
  ['tensor in no shard', 'average', 'index'],
  ['tensor in another shard', 'inspect', 'index'],
  ['tensor that the index does not name', 'average', 'second shard'],
  ['index cut short', 'inspect', 'end of the index'],
  ['weight_map is a list', 'average', 'weight_map'],
  ['index not UTF-8', 'inspect', 'tensor name in the index'],
  ['index names a tensor twice', 'average', 'tensor name in the index'],
  ['index name with half a surrogate pair', 'average', 'tensor name in the index'],
  ['shard above the folder', 'average', 'shard name'],
  ['shard above, escaped', 'plan', 'escaped shard name'],
  ['absolute shard', 'inspect', 'absolute shard name'],
  ['shard with NUL', 'verify', 'shard name'],
];

function named<T extends { readonly what: string }>(rows: readonly T[], what: string): T {
  const row = rows.find((candidate) => candidate.what === what);
  if (row === undefined) throw new Error(`no row is called ${what}`);
  return row;
}

const headers = HEADERS.map(([what, place, part]): HostileCase => {
  const { code, bytes, tensor } = named(HOSTILE_HEADERS, what);
  const make = (folder: string) => ({ ...PLACES[place](folder, bytes), ...(tensor !== null && { tensor }) });
  return { code, exit: 3, what, place: `${place}: ${part}`, make };
});

const folders = FOLDERS.map(([what, command, part]): HostileCase => {
  const { code, file, tensor, make } = named(HOSTILE_FOLDERS, what);
  const setup = (folder: string) => {
    const path = make();
    const also = join(tmpdir(), relative(tmpdir(), path).split(sep)[0]!);
    const args = {
      average: () => ['average', good(folder, 'a'), path, '-o', 'out'],
      plan: () => ['plan', path, good(folder, 'b'), '-o', 'out'],
      inspect: () => ['inspect', path],
      verify: () => ['verify', path],
    }[command]();
    return { args, also, file: file === '' ? path : file, ...(tensor !== undefined && { tensor }) };
  };
  return { code, exit: 3, what, place: `${command}: ${part}`, make: setup };
});

const others: readonly HostileCase[] = [
  {
    code: 'E_INDEX_TOO_LARGE',
    exit: 3,
    what: 'index larger than any real one',
    place: 'inspect: index',
    make: (folder) => {
      const index = join(folder, 'bad/model.safetensors.index.json');
      mkdirSync(dirname(index));
      writeFileSync(index, indexText({ a: 's.safetensors' }));
      truncateSync(index, 500_000_001);
      return { args: ['inspect', 'bad'], file: 'bad/model.safetensors.index.json' };
    },
  },
  {
    code: 'E_NOT_READABLE',
    exit: 3,
    what: 'tokenizer that is a link to nothing',
    place: 'average: side file of the newest member',
    make: (folder) => {
      symlinkSync('../blobs/absent', join(folder, good(folder, 'b'), 'tokenizer.json'));
      return { args: ['average', good(folder, 'a'), 'b', '-o', 'out'], file: 'b/tokenizer.json', says: 'a link that leads to nothing' };
    },
  },
  {
    code: 'E_NO_OPTIMIZER',
    exit: 3,
    what: 'optimizer state that is a link to elsewhere',
    place: 'average --optimizer newest: link',
    make: (folder) => {
      writeFileSync(join(folder, 'elsewhere.pt'), '');
      symlinkSync('../elsewhere.pt', join(folder, good(folder, 'b'), 'optimizer.pt'));
      const args = ['average', good(folder, 'a'), 'b', '--for', 'resume', '--optimizer', 'newest', '-o', 'out'];
      return { args, file: 'b', says: '--follow-links' };
    },
  },
  {
    code: 'E_NOT_READABLE',
    exit: 3,
    what: 'socket as model',
    place: 'average: socket in place of the file',
    make: (folder) => {
      mkdirSync(join(folder, 'bad'));
      createServer().listen(join(folder, 'bad/model.safetensors')).unref();
      return { args: ['average', good(folder, 'a'), 'bad', '-o', 'out'], file: 'bad/model.safetensors' };
    },
  },
  {
    code: 'E_FILE_TRUNCATED',
    exit: 3,
    what: 'newest of three inputs cut short',
    place: 'average: file of the newest input',
    make: (folder) => {
      const args = ['checkpoint-1', 'checkpoint-2', 'checkpoint-3'].map((name, i) => good(folder, name, i));
      truncateSync(join(folder, 'checkpoint-3/model.safetensors'), 200);
      return { args: ['average', ...args, '-o', 'out'], file: 'checkpoint-3/model.safetensors', tensor: 'embed.weight' };
    },
  },
];

export const HOSTILE_INPUTS: readonly HostileCase[] = [...headers, ...folders, ...others];
