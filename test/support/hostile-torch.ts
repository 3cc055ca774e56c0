import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ErrorCode } from '../../src/base/errors.ts';
import {
  dictOf,
  number,
  op,
  pickle,
  type TensorFields,
  tensor,
  torchFiles,
  tupleOf,
  type ZipFile,
  type ZipPlaces,
  zipOf,
} from './torch-files.ts';

/** A file of torch.save that must be refused: with this code, and a message that says this. */
export interface HostileTorchFile {
  readonly code: ErrorCode;
  /** What of the file is at fault. */
  readonly place: string;
  readonly says: RegExp;
  readonly bytes: () => Buffer;
}

const file = (code: ErrorCode, place: string, says: RegExp, bytes: () => Buffer): HostileTorchFile => ({ code, place, says, bytes });

/** A file whose data.pkl is this, and its storage as it should be. */
const withPickle = (code: ErrorCode, place: string, says: RegExp, ...ops: readonly Uint8Array[]): HostileTorchFile =>
  file(code, `data.pkl: ${place}`, says, () => zipOf(torchFiles(pickle(...ops))));
const rawPickle = (code: ErrorCode, place: string, says: RegExp, bytes: Buffer): HostileTorchFile =>
  file(code, `data.pkl: ${place}`, says, () => zipOf(torchFiles(bytes)));
/** A file whose one tensor `w` is this. */
const withTensor = (place: string, says: RegExp, fields: TensorFields): HostileTorchFile =>
  withPickle('E_TORCH_FILE', `tensor: ${place}`, says, dictOf({ w: tensor(fields) }));
/** A sound file whose archive is not. */
const withZip = (place: string, says: RegExp, patch: (bytes: Buffer, places: ZipPlaces) => void, change = (files: ZipFile[]) => files) =>
  file('E_ZIP', `archive: ${place}`, says, () => zipOf(change(torchFiles(pickle(dictOf({ w: tensor() })))), patch));

const call = (module: string, name: string, ...args: readonly Uint8Array[]) =>
  Buffer.concat([op.global(module, name), tupleOf(...args), op.reduce]);
const nested = (begin: Uint8Array, end: Uint8Array, depth: number) =>
  Buffer.concat([...Array.from({ length: depth }, () => begin), ...Array.from({ length: depth - 1 }, () => end)]);
/** 20 tuples of which each holds the one before it ten times: a walk of all paths never ends. */
const bomb = (inner: Uint8Array) =>
  Buffer.concat([
    ...Array.from({ length: 20 }, () => op.mark),
    inner,
    ...Array.from({ length: 20 }, (_, i) => Buffer.concat([op.put(i), ...Array.from({ length: 9 }, () => op.get(i)), op.tuple])),
  ]);
/** A list that holds a value, and then the same one by its number. */
const manyOf = (count: number, value: Uint8Array, at = 50) =>
  Buffer.concat([op.emptyList, op.mark, value, op.put(at), ...Array.from({ length: count - 1 }, () => op.get(at)), Buffer.from('e')]);
const squared = (value: Uint8Array) => manyOf(20_000, manyOf(20_000, value, 51));
const sizeOf = () => call('torch', 'Size', op.emptyTuple);
const wrapped = (depth: number) =>
  Buffer.concat([
    op.global('torch._utils', '_rebuild_parameter'),
    op.put(0),
    ...Array.from({ length: depth - 1 }, () => op.get(0)),
    tensor(),
    ...Array.from({ length: depth }, () => Buffer.concat([TUPLE1, op.reduce])),
  ]);
const TUPLE1 = Buffer.of(0x85);
const opaque = (...bytes: readonly number[]) => Buffer.from(bytes);

export const HOSTILE_TORCH_FILES: readonly HostileTorchFile[] = [
  // Classes and functions
  withPickle('E_PICKLE_CLASS', 'os.system', /names os\.system/, call('os', 'system', op.text('touch canary'))),
  withPickle('E_PICKLE_CLASS', 'posix.system', /names posix\.system/, call('posix', 'system', op.text('touch canary'))),
  withPickle('E_PICKLE_CLASS', 'builtins.eval', /names builtins\.eval/, call('builtins', 'eval', op.text("open('canary','w')"))),
  withPickle('E_PICKLE_CLASS', '__builtin__.getattr', /names __builtin__\.getattr/, call('__builtin__', 'getattr', op.none, op.text('x'))),
  withPickle('E_PICKLE_CLASS', 'a name that is never called', /names os\.system/, op.global('os', 'system')),
  withPickle('E_PICKLE_CLASS', 'a module of its own', /names model\.Net/, op.global('model', 'Net'), op.emptyTuple, op.newObject),
  withPickle('E_PICKLE', 'a name that reaches into another', /no plain name/, op.global('torch.serialization', 'os.system')),
  withPickle('E_PICKLE', 'STACK_GLOBAL of what is no text', /by what is no text/, op.none, op.none, opaque(0x93)),
  withPickle('E_PICKLE_CLASS', 'STACK_GLOBAL', /names os\.system/, op.text('os'), op.text('system'), opaque(0x93)),
  withPickle('E_PICKLE', 'a call of what is no name', /calls what is no class/, op.none, op.emptyTuple, op.reduce),
  withPickle('E_PICKLE', 'a call without a tuple', /calls what is no class/, op.global('torch', 'Size'), op.none, op.reduce),
  withPickle('E_PICKLE', 'BUILD on a list', /gives attributes to what has none/, op.emptyList, op.emptyDict, op.build),
  // Opcodes
  withPickle('E_PICKLE', 'INST', /the opcode INST/, op.mark, Buffer.from('ios\nsystem\n')),
  withPickle('E_PICKLE', 'OBJ', /the opcode OBJ/, op.mark, op.none, Buffer.from('o')),
  withPickle('E_PICKLE', 'EXT1', /the opcode EXT1/, opaque(0x82, 1)),
  withPickle('E_PICKLE', 'EXT2', /the opcode EXT2/, opaque(0x83, 1, 0)),
  withPickle('E_PICKLE', 'EXT4', /the opcode EXT4/, opaque(0x84, 1, 0, 0, 0)),
  withPickle('E_PICKLE', 'NEWOBJ_EX', /the opcode NEWOBJ_EX/, op.none, op.none, op.none, opaque(0x92)),
  withPickle('E_PICKLE', 'PERSID', /the opcode PERSID/, Buffer.from('Px\n')),
  withPickle('E_PICKLE', 'POP', /the opcode POP/, op.none, op.none, Buffer.from('0')),
  withPickle('E_PICKLE', 'POP_MARK', /the opcode POP_MARK/, op.mark, Buffer.from('1')),
  withPickle('E_PICKLE', 'DUP', /the opcode DUP/, op.none, Buffer.from('2')),
  withPickle('E_PICKLE', 'text integers', /the opcode INT/, Buffer.from('I1\n')),
  withPickle('E_PICKLE', 'BINUNICODE8', /the opcode BINUNICODE8/, opaque(0x8d, 255, 255, 255, 255, 255, 255, 255, 127)),
  withPickle(
    'E_PICKLE',
    'BYTEARRAY8',
    /ends inside an operand of 9223372036854775807 bytes/,
    opaque(0x96, 255, 255, 255, 255, 255, 255, 255, 127),
  ),
  withPickle('E_PICKLE', 'a byte that is no opcode', /which is no opcode/, opaque(0xff)),
  // Lengths
  withPickle('E_PICKLE', 'a text of 4 GiB', /ends inside an operand of 4294967295 bytes/, opaque(0x58, 255, 255, 255, 255)),
  withPickle('E_PICKLE', 'a text beyond the end', /ends inside an operand/, opaque(0x58, 255, 0, 0, 0)),
  withPickle('E_PICKLE', 'bytes beyond the end', /ends inside an operand/, opaque(0x42, 255, 255, 255, 255)),
  withPickle('E_PICKLE', 'an integer of 2 GiB', /an integer of 2147483647 bytes/, opaque(0x8b, 255, 255, 255, 127)),
  withPickle('E_PICKLE', 'an integer of less than no bytes', /an integer of 4294967295 bytes/, opaque(0x8b, 255, 255, 255, 255)),
  withPickle('E_PICKLE', 'a memo entry of number 2^32 - 1', /numbers a value 4294967295/, op.none, op.put(0xffffffff)),
  withPickle('E_PICKLE', 'a memo entry that is not there', /speaks of value 7/, op.get(7)),
  withPickle(
    'E_PICKLE',
    'a frame beyond the end',
    /a frame of 9223372036854775807 bytes/,
    opaque(0x95, 255, 255, 255, 255, 255, 255, 255, 127),
  ),
  // Form
  rawPickle('E_PICKLE', 'nothing', /ends before its STOP/, Buffer.alloc(0)),
  rawPickle('E_PICKLE', 'no STOP', /ends before its STOP/, Buffer.concat([op.proto(2), op.none])),
  rawPickle('E_PICKLE', 'bytes behind STOP', /goes on after its end for 3 bytes/, Buffer.concat([pickle(op.none), Buffer.from('abc')])),
  rawPickle('E_PICKLE', 'protocol 99', /of protocol 99/, Buffer.concat([op.proto(99), op.none, op.stop])),
  withPickle('E_PICKLE', 'an empty stack', /takes a value where there is none/, op.setItem),
  withPickle('E_PICKLE', 'a mark that was not set', /closes what was not begun/, op.emptyDict, op.setItems),
  withPickle('E_PICKLE', 'a value from below a mark', /takes a value where there is none/, op.emptyList, op.mark, op.append),
  withPickle('E_PICKLE', 'a key without a value', /a key without a value/, op.emptyDict, op.mark, op.none, op.setItems),
  withPickle('E_PICKLE', 'values left over', /leaves values behind/, op.none, op.none),
  withPickle('E_PICKLE', 'an item of what is no dict', /in what is no dict/, op.none, op.none, op.none, op.setItem),
  withPickle('E_PICKLE', 'a text that is no UTF-8', /not valid UTF-8/, opaque(0x58, 2, 0, 0, 0, 0xc3, 0x28)),
  withPickle('E_PICKLE', 'a name in no line', /in no line that ends/, Buffer.from('cos')),
  withPickle('E_TORCH_FILE', 'a list that holds itself', /contains itself/, op.emptyList, op.put(0), op.get(0), op.append),
  withPickle('E_TORCH_FILE', 'a dict that holds itself', /contains itself/, op.emptyDict, op.put(0), op.text('a'), op.get(0), op.setItem),
  withPickle('E_TORCH_FILE', '200,000 lists in one another', /more than 64 deep/, nested(op.emptyList, op.append, 200_000)),
  withPickle('E_NO_TENSORS', 'a bomb of shared lists', /no tensors/, bomb(op.emptyList)),
  withPickle('E_TORCH_FILE', 'a bomb of shared lists around a tensor', /comes back more than \d+ times/, bomb(tensor())),
  withPickle('E_NO_TENSORS', 'a list of 20,000 times one list of as many numbers', /no tensors/, squared(op.none)),
  withPickle('E_TORCH_FILE', 'a list of 20,000 times one list of as many objects', /comes back more than \d+ times/, squared(sizeOf())),
  withPickle(
    'E_TORCH_FILE',
    'a list of 10,000 tensors whose names are shared, and long',
    /more than \d+ tensors, or by more than \d+ letters/,
    dictOf({ ['k'.repeat(8000)]: manyOf(10_000, tensor()) }),
  ),
  withPickle(
    'E_TORCH_FILE',
    'a tensor whose name has 70,000 letters',
    /by 70000 letters, the limit/,
    dictOf({ ['k'.repeat(70_000)]: tensor() }),
  ),
  withPickle(
    'E_TORCH_FILE',
    'a tensor whose name has 60,000 letters',
    /by 60000 letters, the limit/,
    dictOf({ ['k'.repeat(60_000)]: tensor() }),
  ),
  withPickle('E_TORCH_FILE', 'a tensor in 200,000 calls', /w is wrapped in more than 64 calls/, dictOf({ w: wrapped(200_000) })),
  withPickle(
    'E_TORCH_FILE',
    'a key twice',
    /the key "w" twice/,
    op.emptyDict,
    op.text('w'),
    tensor(),
    op.setItem,
    op.text('w'),
    tensor(),
    op.setItem,
  ),
  withPickle('E_TORCH_FILE', 'two keys of one flat name', /a\.b is there twice/, dictOf({ a: dictOf({ b: tensor() }), 'a.b': tensor() })),
  // Tensors
  withTensor('a storage that is not there', /lies in storage 9, which is not in the file/, { key: op.text('9') }),
  withTensor('a storage outside', /names its storage by what is no number/, { key: op.text('../../etc/passwd') }),
  withTensor('a storage by an integer', /names its storage by what is no number/, { key: op.int(0) }),
  withTensor('a reference that is no tuple', /described as no tensor is/, { storage: Buffer.concat([op.text('0'), op.persistent]) }),
  withTensor('a reference to a module', /described as no tensor is/, { kind: 'module' }),
  withTensor('a storage that is smaller', /a storage of 16 bytes that is said to have 32/, { numel: 8 }),
  withTensor('a storage that is larger', /a storage of 16 bytes that is said to have 8/, { numel: 2 }),
  withTensor('a storage of less than nothing', /described as no tensor is/, { numel: -4 }),
  withTensor('a storage of 2^62 elements', /described as no tensor is/, { numel: 2 ** 62 }),
  withTensor('a shape beyond its storage', /reaches beyond its storage/, { shape: [3, 2] }),
  withTensor('an offset beyond its storage', /reaches beyond its storage/, { offset: 1 }),
  withTensor('a negative offset', /described as no tensor is/, { offset: -1 }),
  withTensor('a negative stride', /described as no tensor is/, { stride: [-2, 1] }),
  withTensor('a stride of 2^52', /reaches beyond its storage/, { stride: [2 ** 52, 1] }),
  withTensor('a negative size', /described as no tensor is/, { shape: [-2, 2] }),
  withTensor('2^32 times 2^32 elements of one', /too large to be real/, { shape: [2 ** 32, 2 ** 32], stride: [0, 0] }),
  withTensor('fewer strides than dimensions', /described as no tensor is/, { stride: [1] }),
  withTensor('a conjugate view', /conjugate or negative view/, { more: [dictOf({ conj: Buffer.of(0x88) })] }),
  withTensor('a quantised storage', /lies in a torch\.QInt8Storage/, { class: 'QInt8Storage' }),
  withTensor('a dtype that safetensors lacks', /torch\.ComplexDoubleStorage/, { class: 'ComplexDoubleStorage' }),
  withTensor('a sparse tensor', /is sparse/, { rebuild: ['torch._utils', '_rebuild_sparse_tensor'] }),
  withTensor('a quantised tensor', /is quantised/, { rebuild: ['torch._utils', '_rebuild_qtensor'] }),
  withTensor('a nested tensor', /is a nested tensor/, { rebuild: ['torch._utils', '_rebuild_nested_tensor'] }),
  withTensor('a tensor of meta', /of the device meta/, { rebuild: ['torch._utils', '_rebuild_meta_tensor_no_storage'] }),
  withTensor('a wrapper of tensors', /a class that wraps/, { rebuild: ['torch._utils', '_rebuild_wrapper_subclass'] }),
  withPickle(
    'E_TORCH_FILE',
    'tensor: one storage under two classes',
    /which another tensor takes for another kind/,
    dictOf({ w: tensor(), v: tensor({ class: 'IntStorage' }) }),
  ),
  withPickle(
    'E_TORCH_FILE',
    'tensor: a class of its own',
    /is of the class torch\.distributed\.tensor\.DTensor/,
    dictOf({
      w: call(
        'torch._tensor',
        '_rebuild_from_type_v2',
        op.global('torch._utils', '_rebuild_tensor_v2'),
        op.global('torch.distributed.tensor', 'DTensor'),
        op.emptyTuple,
        op.none,
      ),
    }),
  ),
  withPickle('E_NO_TENSORS', 'no tensor at all', /no tensors/, dictOf({ step: number(3) })),
  // Archives
  withZip(
    'a file that is deflated',
    /is compressed/,
    () => {},
    (files) => files.map((f) => (f.name.endsWith('/0') ? { ...f, method: 8 } : f)),
  ),
  withZip(
    'a file that is encrypted',
    /is encrypted/,
    () => {},
    (files) => files.map((f) => (f.name.endsWith('/0') ? { ...f, flags: 1 } : f)),
  ),
  withZip(
    'a file twice',
    /archive\/data\/0 is there twice/,
    () => {},
    (files) => [...files, files.find((f) => f.name.endsWith('/0'))!],
  ),
  withZip(
    'a name that leaves the archive',
    /no plain path/,
    () => {},
    (files) => [...files, { name: '../../evil', data: Buffer.alloc(1) }],
  ),
  withZip(
    'an absolute name',
    /no plain path/,
    () => {},
    (files) => [...files, { name: '/abs', data: Buffer.alloc(1) }],
  ),
  withZip(
    'another name before the data',
    /has another name before its data/,
    () => {},
    (files) => files.map((f) => (f.name.endsWith('/0') ? { ...f, localName: 'archive/data/1' } : f)),
  ),
  withZip(
    'an entry that points at another',
    /has another name before its data|is not where the directory says|begins inside/,
    (bytes, { local, central }) => bytes.writeUInt32LE(local[0]!, central[2]! + 42),
  ),
  withZip('an entry beyond the end', /lies beyond the end|is not where/, (bytes, { central }) =>
    bytes.writeUInt32LE(bytes.length + 5, central[2]! + 42),
  ),
  withZip('a size beyond the end', /ends behind the beginning of the directory|has \d+ bytes and takes/, (bytes, { central }) => {
    bytes.writeUInt32LE(1e6, central[2]! + 20);
    bytes.writeUInt32LE(1e6, central[2]! + 24);
  }),
  withZip('two sizes that differ', /has 17 bytes and takes 16/, (bytes, { central }) => bytes.writeUInt32LE(17, central[2]! + 24)),
  withZip('a size of 64 bits that is not there', /more than 32 bits/, (bytes, { central }) =>
    bytes.writeUInt32LE(0xffffffff, central[2]! + 24),
  ),
  withZip('an extra field beyond the directory', /ends behind|ends inside|lies beyond|begins inside/, (bytes, { local }) =>
    bytes.writeUInt16LE(60_000, local[2]! + 28),
  ),
  withZip('a count of files that is too large', /fewer files than it says|two ends of the archive differ/, (bytes, { end64 }) =>
    bytes.writeBigUInt64LE(9n, end64 + 32),
  ),
  withZip('a 64-bit end elsewhere', /not where it is said to be/, (bytes, { locator }) => bytes.writeBigUInt64LE(7n, locator + 8)),
  withZip('a 64-bit end beyond the end', /more than there are/, (bytes, { locator }) => bytes.writeBigUInt64LE(2n ** 62n, locator + 8)),
  withZip('one of several parts', /one of several parts/, (bytes, { end }) => bytes.writeUInt16LE(1, end + 4)),
  file('E_ZIP', 'archive: bytes behind the end', /the archive has no end/, () =>
    Buffer.concat([zipOf(torchFiles(pickle(dictOf({ w: tensor() })))), Buffer.alloc(32)]),
  ),
  file('E_ZIP', 'archive: cut off', /the archive has no end/, () => zipOf(torchFiles(pickle(dictOf({ w: tensor() })))).subarray(0, -40)),
  file('E_ZIP', 'archive: its first bytes alone', /too few for an archive/, () => Buffer.from('PK\x03\x04')),
  // What is another archive
  file('E_TORCH_FILE', 'archive: no data.pkl', /holds no data\.pkl/, () => zipOf([{ name: 'archive/version', data: Buffer.from('3\n') }])),
  file('E_TORCH_FILE', 'archive: of numpy', /archive of numpy/, () => zipOf([{ name: 'w.npy', data: Buffer.alloc(9) }])),
  file('E_TORCH_FILE', 'archive: TorchScript', /TorchScript/, () =>
    zipOf([...torchFiles(pickle(op.none)), { name: 'archive/constants.pkl', data: pickle(op.none) }]),
  ),
  file('E_TORCH_FILE', 'archive: two folders', /more than one folder/, () =>
    zipOf([...torchFiles(pickle(op.none)), { name: 'other/x', data: Buffer.alloc(1) }]),
  ),
  file('E_TORCH_FILE', 'archive: big-endian', /byte order "big"/, () =>
    zipOf(torchFiles(pickle(dictOf({ w: tensor() }))).map((f) => (f.name.endsWith('byteorder') ? { ...f, data: Buffer.from('big') } : f))),
  ),
];

/** A folder with the file alone. @returns its path */
export function writeHostile({ bytes }: HostileTorchFile): string {
  const path = join(mkdtempSync(join(tmpdir(), 'ckpt-merge-test-')), 'step-100.pt');
  writeFileSync(path, bytes());
  return path;
}
