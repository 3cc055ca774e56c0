import { chmodSync, mkdirSync, symlinkSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ErrorCode } from '../../src/base/errors.ts';
import { entry, fileBytes, folderOf, indexText, makeFifo, smallFile } from './safetensors.ts';

/**
 * A folder that must be refused: with this code, naming this file of it ('' for the folder itself) and this
 * tensor.
 */
export interface HostileFolder {
  readonly what: string;
  readonly code: ErrorCode;
  readonly file: string;
  readonly tensor?: string;
  /** Makes the folder; returns the path to open where that is not the folder. */
  readonly make: () => string;
  /** Root ignores permissions. */
  readonly notAsRoot?: boolean;
}

const INDEX = 'model.safetensors.index.json';
const ONE = 'model-1.safetensors';
const TWO = 'model-2.safetensors';
const [FIRST, SECOND] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];

/** A valid folder of two shards, and what to change in it. */
function sharded(changes: Record<string, string | Uint8Array> = {}, then: (folder: string) => void = () => {}): string {
  const folder = folderOf({ [INDEX]: indexText({ a: ONE, b: TWO }), [ONE]: smallFile('a'), [TWO]: smallFile('b'), ...changes });
  then(folder);
  return folder;
}
const index = (text: string | Uint8Array) => () => sharded({ [INDEX]: text });
const shardNamed = (written: string) => index(`{"weight_map":{"a":${written}}}`);

export const HOSTILE_FOLDERS: readonly HostileFolder[] = [
  { what: 'nothing there', code: 'E_NOT_FOUND', file: 'gone', make: () => join(folderOf({}), 'gone') },
  { what: 'below a file', code: 'E_NOT_FOUND', file: 'f/x', make: () => join(folderOf({ f: '' }), 'f/x') },
  { what: 'empty folder', code: 'E_NO_CHECKPOINT', file: '', make: () => folderOf({}) },
  {
    what: 'folder with an empty pytorch_model.bin',
    code: 'E_ZIP',
    file: 'pytorch_model.bin',
    make: () => folderOf({ 'pytorch_model.bin': '', 'config.json': '{}' }),
  },
  {
    what: 'folder with hidden weights only',
    code: 'E_NO_CHECKPOINT',
    file: '',
    make: () => folderOf({ '.model.safetensors': smallFile('a') }),
  },
  {
    what: 'a tensor in two shards, without index',
    code: 'E_TENSOR_TWICE',
    file: SECOND,
    tensor: 'a',
    make: () => folderOf({ [FIRST]: smallFile('a'), [SECOND]: smallFile('a') }),
  },
  {
    what: 'one of two shards, without index',
    code: 'E_SHARD_MISSING',
    file: SECOND,
    make: () => folderOf({ [FIRST]: smallFile('a') }),
  },
  {
    what: 'shards of two saves, without index',
    code: 'E_NO_CHECKPOINT',
    file: '',
    make: () => folderOf({ [FIRST]: smallFile('a'), [SECOND]: smallFile('b'), 'model-00001-of-00003.safetensors': smallFile('c') }),
  },
  {
    what: "a rank's file, without the offsets of its parts",
    code: 'E_METADATA',
    file: 'shard-00001-model-00001-of-00001.safetensors',
    make: () => folderOf({ 'shard-00001-model-00001-of-00001.safetensors': smallFile('a') }),
  },
  {
    what: 'one file per rank',
    code: 'E_NO_CHECKPOINT',
    file: '',
    make: () => folderOf({ 'w_tp-rank-0.safetensors': smallFile('a'), 'w_tp-rank-1.safetensors': smallFile('a') }),
  },
  {
    what: 'file of another kind',
    code: 'E_NO_CHECKPOINT',
    file: 'model.onnx',
    make: () => join(folderOf({ 'model.onnx': '' }), 'model.onnx'),
  },
  { what: 'the index itself', code: 'E_NO_CHECKPOINT', file: INDEX, make: () => join(sharded(), INDEX) },
  { what: 'single file and index', code: 'E_AMBIGUOUS', file: '', make: () => sharded({ 'model.safetensors': smallFile('a', 'b') }) },
  {
    what: 'single file and index of another stem',
    code: 'E_AMBIGUOUS',
    file: '',
    make: () =>
      folderOf({
        'diffusion_pytorch_model.safetensors.index.json': indexText({ a: ONE }),
        [ONE]: smallFile('a'),
        'diffusion_pytorch_model.safetensors': smallFile('a'),
      }),
  },
  {
    what: 'two indexes',
    code: 'E_AMBIGUOUS',
    file: '',
    make: () => sharded({ 'consolidated.safetensors.index.json': indexText({ a: ONE }) }),
  },
  { what: 'no tensors in a file', code: 'E_NO_TENSORS', file: '', make: () => folderOf({ 'model.safetensors': fileBytes('{}') }) },
  { what: 'no tensors in an index', code: 'E_NO_TENSORS', file: '', make: () => folderOf({ [INDEX]: indexText({}) }) },
  { what: 'FIFO as model', code: 'E_NOT_READABLE', file: 'model.safetensors', make: () => withFifo('model.safetensors', {}) },
  {
    what: 'FIFO given as file',
    code: 'E_NOT_READABLE',
    file: 'x.safetensors',
    make: () => join(withFifo('x.safetensors', {}), 'x.safetensors'),
  },
  { what: 'FIFO as index', code: 'E_NOT_READABLE', file: INDEX, make: () => withFifo(INDEX, { [ONE]: smallFile('a') }) },
  {
    what: 'FIFO as shard',
    code: 'E_NOT_READABLE',
    file: TWO,
    make: () =>
      sharded({}, (folder) => {
        unlinkSync(join(folder, TWO));
        makeFifo(join(folder, TWO));
      }),
  },
  {
    what: 'link to a FIFO',
    code: 'E_NOT_READABLE',
    file: 'model.safetensors',
    make: () => {
      const folder = linkTo('beside');
      makeFifo(join(folder, 'beside'));
      return folder;
    },
  },
  { what: 'folder as model', code: 'E_NOT_READABLE', file: 'model.safetensors', make: () => folderOf({ 'model.safetensors/x': '' }) },
  {
    what: 'folder as shard',
    code: 'E_NOT_READABLE',
    file: TWO,
    make: () =>
      sharded({}, (folder) => {
        unlinkSync(join(folder, TWO));
        mkdirSync(join(folder, TWO));
      }),
  },
  { what: 'link in a circle', code: 'E_NOT_READABLE', file: 'model.safetensors', make: () => linkTo('model.safetensors') },
  {
    what: 'file without read permission',
    code: 'E_NOT_READABLE',
    file: 'model.safetensors',
    notAsRoot: true,
    make: () => {
      const folder = folderOf({ 'model.safetensors': smallFile('a') });
      chmodSync(join(folder, 'model.safetensors'), 0);
      return folder;
    },
  },
  { what: 'link to nothing as model', code: 'E_NOT_FOUND', file: 'model.safetensors', make: () => linkTo('gone') },
  { what: 'shard missing', code: 'E_SHARD_MISSING', file: TWO, make: () => sharded({}, (folder) => unlinkSync(join(folder, TWO))) },
  {
    what: 'shard links to nothing',
    code: 'E_SHARD_MISSING',
    file: ONE,
    make: () =>
      sharded({}, (folder) => {
        unlinkSync(join(folder, ONE));
        symlinkSync('gone', join(folder, ONE));
      }),
  },
  {
    what: 'shard cut short',
    code: 'E_FILE_TRUNCATED',
    file: TWO,
    tensor: 'b',
    make: () => sharded({}, (folder) => truncateSync(join(folder, TWO), smallFile('b').length - 1)),
  },
  { what: 'shard empty', code: 'E_HEADER_TRUNCATED', file: TWO, make: () => sharded({ [TWO]: '' }) },
  {
    what: 'shard with a bad header',
    code: 'E_DUPLICATE_KEY',
    file: TWO,
    tensor: 'b',
    make: () => sharded({ [TWO]: fileBytes(`{${entry('b', 'U8', [1], 0, 1)},${entry('b', 'U8', [1], 1, 2)}}`, 2) }),
  },
  { what: 'tensor in two shards', code: 'E_TENSOR_TWICE', file: TWO, tensor: 'a', make: () => sharded({ [TWO]: smallFile('b', 'a') }) },
  {
    what: 'tensor in two shards, the first unnamed',
    code: 'E_TENSOR_TWICE',
    file: ONE,
    tensor: 'b',
    make: () => sharded({ [ONE]: smallFile('a', 'b') }),
  },
  { what: 'tensor in no shard', code: 'E_TENSOR_MISPLACED', file: TWO, tensor: 'c', make: index(indexText({ a: ONE, b: TWO, c: TWO })) },
  {
    what: 'tensor in another shard',
    code: 'E_TENSOR_MISPLACED',
    file: ONE,
    tensor: 'a',
    make: () => sharded({ [INDEX]: indexText({ a: TWO, b: TWO, c: ONE }), [ONE]: smallFile('a', 'c') }),
  },
  {
    what: 'tensor that the index does not name',
    code: 'E_TENSOR_UNINDEXED',
    file: TWO,
    tensor: 'extra',
    make: () => sharded({ [TWO]: smallFile('b', 'extra') }),
  },
  { what: 'index empty', code: 'E_INDEX_JSON', file: INDEX, make: index('') },
  { what: 'index cut short', code: 'E_INDEX_JSON', file: INDEX, tensor: 'a', make: index('{"weight_map":{"a":"mod') },
  { what: 'index is a list', code: 'E_INDEX_JSON', file: INDEX, make: index('[]') },
  { what: 'index without weight_map', code: 'E_INDEX_JSON', file: INDEX, make: index('{"metadata":{}}') },
  { what: 'weight_map is a list', code: 'E_INDEX_JSON', file: INDEX, make: index('{"weight_map":["a"]}') },
  { what: 'shard name is a number', code: 'E_INDEX_JSON', file: INDEX, tensor: 'a', make: shardNamed('1') },
  { what: 'metadata is a string', code: 'E_INDEX_JSON', file: INDEX, make: index('{"metadata":"x","weight_map":{}}') },
  {
    what: 'metadata number with a leading zero',
    code: 'E_INDEX_JSON',
    file: INDEX,
    make: index('{"metadata":{"total_size":007},"weight_map":{}}'),
  },
  { what: 'metadata NaN', code: 'E_INDEX_JSON', file: INDEX, make: index('{"metadata":{"total_size":NaN},"weight_map":{}}') },
  { what: 'metadata nested without end', code: 'E_INDEX_JSON', file: INDEX, make: index(`{"metadata":{"x":${'['.repeat(200_000)}`) },
  { what: 'text after the index', code: 'E_INDEX_JSON', file: INDEX, make: index(`${indexText({ a: ONE })} {}`) },
  {
    what: 'index beyond the limit',
    code: 'E_INDEX_TOO_LARGE',
    file: INDEX,
    make: () => sharded({}, (folder) => truncateSync(join(folder, INDEX), 500_000_001)),
  },
  { what: 'index not UTF-8', code: 'E_INDEX_UTF8', file: INDEX, make: index(Buffer.from(indexText({ ä: ONE }), 'latin1')) },
  {
    what: 'index names a tensor twice',
    code: 'E_DUPLICATE_KEY',
    file: INDEX,
    tensor: 'a',
    make: index(`{"weight_map":{"a":"${ONE}","a":"${TWO}"}}`),
  },
  { what: 'index has two weight_maps', code: 'E_DUPLICATE_KEY', file: INDEX, make: index('{"weight_map":{},"weight_map":{}}') },
  {
    what: 'index metadata key twice',
    code: 'E_DUPLICATE_KEY',
    file: INDEX,
    make: index('{"metadata":{"x":{"y":1,"y":1}},"weight_map":{}}'),
  },
  { what: 'index name with half a surrogate pair', code: 'E_SURROGATE', file: INDEX, make: index(`{"weight_map":{"\\ud800":"${ONE}"}}`) },
  { what: 'shard above the folder', code: 'E_INDEX_PATH', file: INDEX, tensor: 'a', make: shardNamed('"../model-1.safetensors"') },
  { what: 'shard through a folder and back', code: 'E_INDEX_PATH', file: INDEX, tensor: 'a', make: shardNamed('"x/../../y.safetensors"') },
  { what: 'shard above, escaped', code: 'E_INDEX_PATH', file: INDEX, tensor: 'a', make: shardNamed('"\\u002e\\u002e/x.safetensors"') },
  { what: 'absolute shard', code: 'E_INDEX_PATH', file: INDEX, tensor: 'a', make: shardNamed('"/etc/passwd"') },
  { what: 'shard with a drive letter', code: 'E_INDEX_PATH', file: INDEX, tensor: 'a', make: shardNamed('"C:x.safetensors"') },
  { what: 'shard with a backslash', code: 'E_INDEX_PATH', file: INDEX, tensor: 'a', make: shardNamed('"..\\\\x.safetensors"') },
  { what: 'shard with NUL', code: 'E_INDEX_PATH', file: INDEX, tensor: 'a', make: shardNamed('"model-1.safetensors\\u0000"') },
  { what: 'shard of no name', code: 'E_INDEX_PATH', file: INDEX, tensor: 'a', make: shardNamed('""') },
  { what: 'shard that is the folder', code: 'E_INDEX_PATH', file: INDEX, tensor: 'a', make: shardNamed('"."') },
  { what: 'one shard under two names', code: 'E_INDEX_PATH', file: INDEX, tensor: 'a', make: shardNamed('".//model-1.safetensors"') },
];

function withFifo(name: string, files: Record<string, Uint8Array>): string {
  const folder = folderOf(files);
  makeFifo(join(folder, name));
  return folder;
}

function linkTo(target: string): string {
  const folder = folderOf({});
  symlinkSync(target, join(folder, 'model.safetensors'));
  return folder;
}

/** A bigger folder with many faults at once, for the test that all of them are reported. */
export function folderOfManyFaults(): string {
  const folder = folderOf({});
  const weightMap: Record<string, string> = {};
  for (let i = 0; i < 30; i++) {
    weightMap[`t${i}`] = `s${i}.safetensors`;
    if (i % 3 > 0) writeFileSync(join(folder, `s${i}.safetensors`), i % 3 === 1 ? smallFile(`t${i}`) : 'not safetensors at all');
  }
  writeFileSync(join(folder, INDEX), indexText(weightMap));
  return folder;
}
