import { Call, Dict, Global, List, LongText, Persistent, type Value } from './values.ts';

const OP = {
  proto: 0x80,
  stop: 0x2e,
  mark: 0x28,
  memoize: 0x94,
  put: 0x71,
  longPut: 0x72,
  get: 0x68,
  longGet: 0x6a,
  none: 0x4e,
  true: 0x88,
  false: 0x89,
  int1: 0x4b,
  int2: 0x4d,
  int4: 0x4a,
  long1: 0x8a,
  float: 0x47,
  shortText: 0x8c,
  text: 0x58,
  shortBytes: 0x43,
  bytes: 0x42,
  emptyTuple: 0x29,
  tuple: 0x74,
  emptyList: 0x5d,
  append: 0x61,
  appends: 0x65,
  emptyDict: 0x7d,
  setItem: 0x73,
  setItems: 0x75,
  global: 0x63,
  stackGlobal: 0x93,
  reduce: 0x52,
  newObject: 0x81,
  build: 0x62,
  persistent: 0x51,
} as const;

/** TUPLE1, TUPLE2, TUPLE3. */
const SHORT_TUPLES = [0, 0x85, 0x86, 0x87];
/** As Python cuts long lists and dicts, so that what reads them keeps its stack short. */
const BATCH = 1000;
/** Bytes that a pickle has room for at first. */
const ROOM = 1 << 16;

/** Protocols that are written: that of torch.save, and that of torch.distributed. */
export type Protocol = 2 | 4;

/**
 * Writes a value as a pickle that Python reads: `readPickle` gives the value again. Texts, classes, tuples
 * and whatever is one object in several places are written once. An object that has a state and no arguments
 * is made by its class's `__new__`, as Python does it; whatever else is called, by a call. With protocol 2
 * the bytes are those of Python's own pickler, where equal texts are one object to it. Source of the format:
 * CPython's Lib/pickletools.py and Modules/_pickle.c.
 * @throws RangeError for what is nested more than a thousand deep (as a tuple that contains itself is), for
 * integers
 *   of more than 255 bytes, and for bytes in protocol 2
 */
export function writePickle(value: Value, protocol: Protocol = 4): Buffer {
  return new PickleWriter(protocol).write(value);
}

class PickleWriter {
  readonly #protocol: Protocol;
  #bytes = Buffer.allocUnsafe(ROOM);
  #at = 0;
  readonly #memo = new Map<unknown, number>();
  #depth = 0;

  constructor(protocol: Protocol) {
    this.#protocol = protocol;
  }

  write(value: Value): Buffer {
    this.#op(OP.proto);
    this.#op(this.#protocol);
    this.#value(value);
    this.#op(OP.stop);
    return this.#bytes.subarray(0, this.#at);
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#at + bytes));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }

  #op(op: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = op;
  }

  /** Numbers what is on top of the stack, so that it can be spoken of again. */
  #remember(key: unknown): void {
    const index = this.#memo.size;
    this.#memo.set(key, index);
    if (this.#protocol === 4) this.#op(OP.memoize);
    else this.#indexed(OP.put, OP.longPut, index);
  }

  /** Speaks of what was written before; false where it was not. */
  #again(key: unknown): boolean {
    const index = this.#memo.get(key);
    if (index === undefined) return false;
    this.#indexed(OP.get, OP.longGet, index);
    return true;
  }

  #indexed(short: number, long: number, index: number): void {
    this.#op(index < 256 ? short : long);
    if (index < 256) this.#op(index);
    else this.#uint32(index);
  }

  #uint32(value: number): void {
    this.#room(4);
    this.#at = this.#bytes.writeUInt32LE(value, this.#at);
  }

  #value(value: Value): void {
    if (value === null) this.#op(OP.none);
    else if (typeof value === 'boolean') this.#op(value ? OP.true : OP.false);
    else if (typeof value === 'bigint') this.#long(value);
    else if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'string') this.#text(value);
    else if (!this.#again(value)) this.#object(value);
  }

  #object(value: Exclude<Value, null | boolean | bigint | number | string>): void {
    if (++this.#depth > 1000) throw new RangeError('a value is nested more than a thousand deep');
    if (value instanceof LongText) this.#textBytes(value);
    else if (value instanceof Uint8Array) this.#blob(value);
    else if (value instanceof Global) this.#global(value);
    else if (value instanceof List) this.#list(value);
    else if (value instanceof Dict) this.#dict(value);
    else if (value instanceof Call) this.#call(value);
    else if (Array.isArray(value)) this.#tuple(value as readonly Value[]);
    else if (value instanceof Persistent) {
      this.#value(value.id);
      this.#op(OP.persistent);
    }
    this.#depth--;
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) this.#integer(value);
    else {
      this.#op(OP.float);
      this.#room(8);
      this.#at = this.#bytes.writeDoubleBE(value, this.#at);
    }
  }

  #integer(value: number): void {
    if (value >= 0 && value < 2 ** 8) {
      this.#op(OP.int1);
      this.#op(value);
    } else if (value >= 0 && value < 2 ** 16) {
      this.#op(OP.int2);
      this.#room(2);
      this.#at = this.#bytes.writeUInt16LE(value, this.#at);
    } else if (value >= -(2 ** 31) && value < 2 ** 31) {
      this.#op(OP.int4);
      this.#room(4);
      this.#at = this.#bytes.writeInt32LE(value, this.#at);
    } else this.#long(BigInt(value));
  }

  /** In two's complement, least byte first, and as few bytes as hold it. */
  #long(value: bigint): void {
    let length = 1;
    while (BigInt.asIntN(8 * length, value) !== value) length++;
    if (length > 255) throw new RangeError('an integer of more than 255 bytes');
    this.#op(OP.long1);
    this.#op(length);
    for (let i = 0; i < length; i++) this.#op(Number((value >> BigInt(8 * i)) & 255n));
  }

  #text(text: string): void {
    if (this.#again(text)) return;
    const length = Buffer.byteLength(text);
    if (length < 256 && this.#protocol === 4) {
      this.#op(OP.shortText);
      this.#op(length);
    } else {
      this.#op(OP.text);
      this.#uint32(length);
    }
    this.#room(length);
    this.#at += this.#bytes.write(text, this.#at);
    this.#remember(text);
  }

  #textBytes(value: LongText): void {
    const { bytes } = value;
    this.#op(OP.text);
    this.#uint32(bytes.length);
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    this.#remember(value);
  }

  #blob(bytes: Uint8Array): void {
    if (this.#protocol === 2) throw new RangeError('protocol 2 has no bytes');
    if (bytes.length < 256) {
      this.#op(OP.shortBytes);
      this.#op(bytes.length);
    } else {
      this.#op(OP.bytes);
      this.#uint32(bytes.length);
    }
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    this.#remember(bytes);
  }

  /** Equal names are one class, whichever object says so. */
  #global(global: Global): void {
    const key = `${global.module}\n${global.name}`;
    if (this.#again(key)) return;
    if (this.#protocol === 4) {
      this.#text(global.module);
      this.#text(global.name);
      this.#op(OP.stackGlobal);
    } else {
      this.#op(OP.global);
      const name = `${key}\n`;
      this.#room(name.length);
      this.#at += this.#bytes.write(name, this.#at, 'latin1');
    }
    this.#remember(key);
  }

  #tuple(items: readonly Value[]): void {
    if (items.length === 0) {
      this.#op(OP.emptyTuple);
      return;
    }
    if (items.length > 3) this.#op(OP.mark);
    for (const item of items) this.#value(item);
    this.#op(SHORT_TUPLES[items.length] ?? OP.tuple);
    this.#remember(items);
  }

  #list(list: List): void {
    this.#op(OP.emptyList);
    this.#remember(list);
    this.#batches(list.items, 1, OP.append, OP.appends);
  }

  #dict(dict: Dict): void {
    this.#op(OP.emptyDict);
    this.#remember(dict);
    this.#batches(dict.entries, 2, OP.setItem, OP.setItems);
  }

  /** @param width values of one item; a single item needs no mark */
  #batches(values: readonly Value[], width: number, single: number, several: number): void {
    for (let from = 0; from < values.length; from += BATCH * width) {
      const to = Math.min(from + BATCH * width, values.length);
      const alone = to - from === width;
      if (!alone) this.#op(OP.mark);
      for (let i = from; i < to; i++) this.#value(values[i]!);
      this.#op(alone ? single : several);
    }
  }

  #call(call: Call): void {
    this.#global(call.callee);
    this.#tuple(call.args);
    this.#op(call.state !== undefined && call.args.length === 0 ? OP.newObject : OP.reduce);
    this.#remember(call);
    if (call.state !== undefined) {
      this.#value(call.state);
      this.#op(OP.build);
    }
  }
}
