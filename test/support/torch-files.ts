import { randomBytes } from 'node:crypto';

/**
 * Files of torch.save made by hand, so that each byte of them can be wrong: pickles from their opcodes,
 * archives with every field as it is said.
 */

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

/** Opcodes with their operands, by the names of Python's pickletools. */
export const op = {
  proto: (version: number) => Buffer.of(0x80, version),
  global: (module: string, name: string) => latin1(`c${module}\n${name}\n`),
  text: (text: string) => Buffer.concat([latin1('X'), uint32(Buffer.byteLength(text)), Buffer.from(text)]),
  int: (value: number) => {
    const bytes = Buffer.alloc(5, 'J');
    bytes.writeInt32LE(value, 1);
    return bytes;
  },
  long: (value: bigint) => {
    const bytes = Buffer.alloc(10);
    bytes.writeUInt8(0x8a);
    bytes.writeUInt8(8, 1);
    bytes.writeBigInt64LE(value, 2);
    return bytes;
  },
  mark: latin1('('),
  tuple: latin1('t'),
  emptyTuple: latin1(')'),
  emptyDict: latin1('}'),
  emptyList: latin1(']'),
  setItem: latin1('s'),
  setItems: latin1('u'),
  append: latin1('a'),
  reduce: latin1('R'),
  build: latin1('b'),
  newObject: Buffer.of(0x81),
  persistent: latin1('Q'),
  none: latin1('N'),
  no: Buffer.of(0x89),
  put: (index: number) => Buffer.concat([latin1('r'), uint32(index)]),
  get: (index: number) => Buffer.concat([latin1('j'), uint32(index)]),
  stop: latin1('.'),
} as const;

/** A pickle of protocol 2. */
export function pickle(...ops: readonly Uint8Array[]): Buffer {
  return Buffer.concat([op.proto(2), ...ops, op.stop]);
}

/** A tuple of values. */
export function tupleOf(...values: readonly Uint8Array[]): Buffer {
  return Buffer.concat([op.mark, ...values, op.tuple]);
}

/** A dict of values by text. */
export function dictOf(values: Readonly<Record<string, Uint8Array>>): Buffer {
  return Buffer.concat([op.emptyDict, op.mark, ...Object.entries(values).flatMap(([key, value]) => [op.text(key), value]), op.setItems]);
}

/** An integer of any size. */
export function number(value: number): Buffer {
  return Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? op.int(value) : op.long(BigInt(value));
}

/** What a tensor of a file is like: a plain one of 2 × 2 float32 in storage 0, where nothing else is said. */
export interface TensorFields {
  readonly rebuild?: readonly [module: string, name: string];
  readonly storage?: Uint8Array;
  readonly kind?: string;
  readonly class?: string;
  readonly key?: Uint8Array;
  readonly numel?: number;
  readonly offset?: number;
  readonly shape?: readonly number[];
  readonly stride?: readonly number[];
  /** Arguments behind those that every tensor has. */
  readonly more?: readonly Uint8Array[];
}

/** A call of `_rebuild_tensor_v2`. */
export function tensor(fields: TensorFields = {}): Buffer {
  const { rebuild = ['torch._utils', '_rebuild_tensor_v2'], kind = 'storage', key = op.text('0') } = fields;
  const { numel = 4, offset = 0, shape = [2, 2], stride = [2, 1], more = [] } = fields;
  const storage =
    fields.storage ??
    Buffer.concat([
      tupleOf(op.text(kind), op.global('torch', fields.class ?? 'FloatStorage'), key, op.text('cpu'), number(numel)),
      op.persistent,
    ]);
  const hooks = Buffer.concat([op.global('collections', 'OrderedDict'), op.emptyTuple, op.reduce]);
  const args = tupleOf(storage, number(offset), tupleOf(...shape.map(number)), tupleOf(...stride.map(number)), op.no, hooks, ...more);
  return Buffer.concat([op.global(...rebuild), args, op.reduce]);
}

/** A file of an archive. */
export interface ZipFile {
  readonly name: string;
  readonly data: Uint8Array;
  readonly method?: number;
  readonly flags?: number;
  /** In the header before the data, where it is another than in the directory. */
  readonly localName?: string;
}

/** Where the parts of an archive lie. */
export interface ZipPlaces {
  /** [files] of the headers before the data. */
  readonly local: readonly number[];
  /** [files] of the entries of the directory. */
  readonly central: readonly number[];
  readonly end64: number;
  readonly locator: number;
  readonly end: number;
}

/**
 * An archive as torch writes it: stored files whose data begins at multiples of 64, a 64-bit end whatever the
 * size.
 * @param patch changes bytes of the whole
 */
export function zipOf(files: readonly ZipFile[], patch: (bytes: Buffer, places: ZipPlaces) => void = () => {}): Buffer {
  const parts: Buffer[] = [];
  const local: number[] = [];
  let at = 0;
  const push = (bytes: Buffer): void => {
    parts.push(bytes);
    at += bytes.length;
  };
  for (const { name, data, method = 0, flags = 0x800, localName = name } of files) {
    local.push(at);
    const nameBytes = Buffer.from(localName);
    const padding = (64 - ((at + 30 + nameBytes.length + 4) % 64)) % 64;
    const header = Buffer.alloc(30);
    header.writeUInt32LE(0x04034b50, 0);
    header.writeUInt16LE(flags, 6);
    header.writeUInt16LE(method, 8);
    header.writeUInt32LE(data.length, 18);
    header.writeUInt32LE(data.length, 22);
    header.writeUInt16LE(nameBytes.length, 26);
    header.writeUInt16LE(4 + padding, 28);
    const extra = Buffer.alloc(4 + padding, 'Z');
    extra.write('FB');
    extra.writeUInt16LE(padding, 2);
    push(Buffer.concat([header, nameBytes, extra, data]));
  }
  const start = at;
  const central: number[] = [];
  for (const [i, { name, data, method = 0, flags = 0x800 }] of files.entries()) {
    central.push(at);
    const nameBytes = Buffer.from(name);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(flags, 8);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(data.length, 20);
    entry.writeUInt32LE(data.length, 24);
    entry.writeUInt16LE(nameBytes.length, 28);
    entry.writeUInt32LE(local[i]!, 42);
    push(Buffer.concat([entry, nameBytes]));
  }
  const size = at - start;
  const end64 = at;
  const wide = Buffer.alloc(56);
  wide.writeUInt32LE(0x06064b50, 0);
  wide.writeBigUInt64LE(44n, 4);
  wide.writeBigUInt64LE(BigInt(files.length), 24);
  wide.writeBigUInt64LE(BigInt(files.length), 32);
  wide.writeBigUInt64LE(BigInt(size), 40);
  wide.writeBigUInt64LE(BigInt(start), 48);
  push(wide);
  const locator = at;
  const pointer = Buffer.alloc(20);
  pointer.writeUInt32LE(0x07064b50, 0);
  pointer.writeBigUInt64LE(BigInt(end64), 8);
  pointer.writeUInt32LE(1, 16);
  push(pointer);
  const end = at;
  const tail = Buffer.alloc(22);
  tail.writeUInt32LE(0x06054b50, 0);
  tail.writeUInt16LE(files.length, 8);
  tail.writeUInt16LE(files.length, 10);
  tail.writeUInt32LE(size, 12);
  tail.writeUInt32LE(start, 16);
  push(tail);
  const bytes = Buffer.concat(parts);
  patch(bytes, { local, central, end64, locator, end });
  return bytes;
}

/** The files of an archive of a pickle and its storages: 16 bytes in storage 0 where nothing is said. */
export function torchFiles(data: Uint8Array, storages: Readonly<Record<string, Uint8Array>> = { 0: randomBytes(16) }): ZipFile[] {
  return [
    { name: 'archive/data.pkl', data },
    { name: 'archive/byteorder', data: latin1('little') },
    ...Object.entries(storages).map(([key, bytes]) => ({ name: `archive/data/${key}`, data: bytes })),
    { name: 'archive/version', data: latin1('3\n') },
  ];
}
