import { isUtf8 } from 'node:buffer';
import { MergeError } from '../../../base/errors.ts';
import {
  MAX_INTEGER_BYTES,
  MAX_KEPT,
  MAX_MEMO_INDEX,
  MAX_NAME_BYTES,
  MAX_OBJECTS,
  MAX_PICKLE_BYTES,
  MAX_STACK,
  MAX_STRING_BYTES,
} from './limits.ts';
import { CLASSES, namedClasses, withNamed } from './named-classes.ts';
import { OPCODES } from './opcodes.ts';
import { referencedEntries } from './referenced.ts';
import { Call, Dict, Global, List, LongText, Persistent, type Value } from './values.ts';

/** Where a pickle comes from, for what is said of it. */
export interface PickleSource {
  readonly path: string;
  /** What of the file it is, as `.metadata` or `data.pkl`. */
  readonly what: string;
  /** Where it begins in the file, in bytes. */
  readonly offset?: number;
}

/** What a pickle may name: false refuses the file. */
export type Allowed = (global: Global) => boolean;

/** May put something smaller into the place of what is read, so that of a million objects little is left. */
export interface Take {
  /** An object or the result of a call, as soon as it is complete. */
  object(object: Call): Value;
  /** What is appended to a list at once. */
  items(items: Value[]): Value[];
  /** Keys and values that are set in a dict at once, in turn. */
  entries(entries: Value[]): Value[];
}

/** Values that are taken from the stack one by one faster than all at once. */
const FEW = 16;
/** Entries of the memo that an opcode of one byte comes back to. */
const LOW = 256;
const EMPTY: readonly Value[] = Object.freeze([]);
/** A class or function of a module; names with points reach into what they name. */
const NAME = /^[A-Za-z_]\w*$/;
const MODULE = /^[A-Za-z_][\w.]*$/;

/**
 * Reads a pickle into values, without running anything: what a pickle would import is a name, and what it
 * would call is written down. Knows what the writers of checkpoints use of protocols 2 to 5; what only
 * somebody who means harm or another program writes is refused.
 * @param bytes the pickle, all of it, to its last byte
 * @param allowed whether a class or function may be named
 * @param take may be left out
 * @throws MergeError E_PICKLE for what is damaged or beyond a limit; E_PICKLE_CLASS for what is not allowed
 */
export function readPickle(bytes: Uint8Array, source: PickleSource, allowed: Allowed, take?: Take): Value {
  if (bytes.length > MAX_PICKLE_BYTES)
    throw new PickleReader(bytes, source, allowed, take).fault(`has ${bytes.length} bytes, the limit is ${MAX_PICKLE_BYTES}`, 0);
  return new PickleReader(bytes, source, allowed, take).read();
}

class PickleReader {
  readonly #bytes: Buffer;
  readonly #source: PickleSource;
  readonly #allowed: Allowed;
  readonly #take: Take | undefined;
  readonly #named = namedClasses();
  readonly #stack: Value[] = [];
  /** Heights of the stack at its marks; nothing below the last is taken. */
  readonly #marks: number[] = [];
  #fence = 0;
  /** Entries that the pickle speaks of again, and how many there are in all without those out of order. */
  readonly #memo = new Map<number, Value>();
  /** The first of them again, names of classes among them: a million objects come back to these. */
  readonly #low = new Array<Value | undefined>(LOW).fill(undefined);
  #memoized = 0;
  #referenced: Uint8Array = new Uint8Array();
  readonly #globals = new Map<string, Global>();
  #at = 0;
  #objects = 0;

  constructor(bytes: Uint8Array, source: PickleSource, allowed: Allowed, take: Take | undefined) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#source = source;
    this.#allowed = allowed;
    this.#take = take;
  }

  fault(text: string, at = this.#at): MergeError {
    const { path, what, offset = 0 } = this.#source;
    const position = offset + at;
    return new MergeError('E_PICKLE', `${path}, byte ${position}: ${what} ${text}`, { details: { file: path, position } });
  }

  read(): Value {
    const bytes = this.#bytes;
    const stack = this.#stack;
    const end = bytes.length;
    this.#referenced = referencedEntries(bytes);
    for (;;) {
      const at = this.#at;
      if (at >= end) throw this.fault('ends before its STOP');
      const op = bytes[at]!;
      this.#at = at + 1;
      if (stack.length > MAX_STACK) throw this.fault(`holds more than ${MAX_STACK} values at once`, at);
      switch (op) {
        case 0x94: // MEMOIZE
          this.#put(this.#memoized, at);
          break;
        case 0x71: // BINPUT
          this.#put(this.#byte(at), at);
          break;
        case 0x72: // LONG_BINPUT
          this.#put(this.#uint32(at), at);
          break;
        case 0x68: // BINGET
          stack.push(this.#get(this.#byte(at), at));
          break;
        case 0x6a: // LONG_BINGET
          stack.push(this.#get(this.#uint32(at), at));
          break;
        case 0x8c: // SHORT_BINUNICODE
          stack.push(this.#string(this.#byte(at), at));
          break;
        case 0x58: // BINUNICODE
          stack.push(this.#string(this.#uint32(at), at));
          break;
        case 0x4b: // BININT1
          stack.push(this.#byte(at));
          break;
        case 0x4d: // BININT2
          this.#need(2, at);
          stack.push(bytes.readUInt16LE(at + 1));
          this.#at = at + 3;
          break;
        case 0x4a: // BININT
          this.#need(4, at);
          stack.push(bytes.readInt32LE(at + 1));
          this.#at = at + 5;
          break;
        case 0x8a: // LONG1
          stack.push(this.#integer(this.#byte(at), at));
          break;
        case 0x8b: // LONG4
          stack.push(this.#integer(this.#uint32(at), at));
          break;
        case 0x47: // BINFLOAT
          this.#need(8, at);
          stack.push(bytes.readDoubleBE(at + 1));
          this.#at = at + 9;
          break;
        case 0x4e: // NONE
          stack.push(null);
          break;
        case 0x88: // NEWTRUE
          stack.push(true);
          break;
        case 0x89: // NEWFALSE
          stack.push(false);
          break;
        case 0x43: // SHORT_BINBYTES
          stack.push(this.#blob(this.#byte(at), at));
          break;
        case 0x42: // BINBYTES
          stack.push(this.#blob(this.#uint32(at), at));
          break;
        case 0x28: // MARK
          this.#marks.push(stack.length);
          this.#fence = stack.length;
          break;
        case 0x29: // EMPTY_TUPLE
          stack.push(EMPTY);
          break;
        case 0x85: // TUPLE1
          this.#tuple(1, at);
          break;
        case 0x86: // TUPLE2
          this.#tuple(2, at);
          break;
        case 0x87: // TUPLE3
          this.#tuple(3, at);
          break;
        case 0x74: // TUPLE
          this.#count(at);
          stack.push(this.#marked(at));
          break;
        case 0x5d: // EMPTY_LIST
          this.#count(at);
          stack.push(new List());
          break;
        case 0x8f: // EMPTY_SET
          this.#count(at);
          stack.push(new Call(this.#global('builtins', 'set', at), EMPTY));
          break;
        case 0x90: // ADDITEMS
          this.#append(this.#marked(at), at);
          break;
        case 0x91: // FROZENSET
          this.#count(at);
          stack.push(new Call(this.#global('builtins', 'frozenset', at), this.#marked(at)));
          break;
        case 0x96: {
          // BYTEARRAY8
          this.#need(8, at);
          const length = bytes.readBigUInt64LE(at + 1);
          this.#at = at + 9;
          if (length > BigInt(end - this.#at)) throw this.fault(`ends inside an operand of ${length} bytes`, at);
          stack.push(this.#blob(Number(length), at));
          break;
        }
        case 0x7d: // EMPTY_DICT
          this.#count(at);
          stack.push(new Dict());
          break;
        case 0x61: // APPEND
          this.#append([this.#pop(at)], at);
          break;
        case 0x65: // APPENDS
          this.#append(this.#marked(at), at);
          break;
        case 0x73: {
          // SETITEM
          const value = this.#pop(at);
          this.#setItems([this.#pop(at), value], at);
          break;
        }
        case 0x75: // SETITEMS
          this.#setItems(this.#marked(at), at);
          break;
        case 0x63: {
          // GLOBAL
          const module = this.#line(at);
          stack.push(this.#global(module, this.#line(at), at));
          break;
        }
        case 0x93: {
          // STACK_GLOBAL
          const name = this.#pop(at);
          const module = this.#pop(at);
          if (typeof name !== 'string' || typeof module !== 'string') throw this.fault('names a class by what is no text', at);
          stack.push(this.#global(module, name, at));
          break;
        }
        case 0x52: // REDUCE
          this.#call(at);
          if (this.#take !== undefined && stack[stack.length - 1] instanceof Call) stack.push(this.#take.object(stack.pop() as Call));
          break;
        case 0x81: // NEWOBJ
          this.#call(at);
          break;
        case 0x62: // BUILD
          this.#build(at);
          break;
        case 0x51: // BINPERSID
          this.#count(at);
          stack.push(new Persistent(this.#pop(at)));
          break;
        case 0x80: {
          // PROTO
          const protocol = this.#byte(at);
          if (protocol > 5) throw this.fault(`is of protocol ${protocol}, which no Python writes`, at);
          break;
        }
        case 0x95: {
          // FRAME
          this.#need(8, at);
          const length = bytes.readBigUInt64LE(at + 1);
          this.#at = at + 9;
          if (length > BigInt(end - this.#at)) throw this.fault(`has a frame of ${length} bytes, ${end - this.#at} are left`, at);
          break;
        }
        case 0x2e: {
          // STOP
          const value = this.#pop(at);
          if (stack.length > 0 || this.#marks.length > 0) throw this.fault('leaves values behind', at);
          if (this.#at !== end) throw this.fault(`goes on after its end for ${end - this.#at} bytes`);
          return value;
        }
        default: {
          const name = OPCODES[op];
          const said =
            name === undefined ? `the byte ${op}, which is no opcode` : `the opcode ${name}, which no writer of checkpoints uses`;
          throw this.fault(`holds ${said}`, at);
        }
      }
    }
  }

  #need(length: number, at: number): void {
    if (this.#bytes.length - this.#at < length) throw this.fault(`ends inside an operand of ${length} bytes`, at);
  }

  #byte(at: number): number {
    this.#need(1, at);
    return this.#bytes[this.#at++]!;
  }

  #uint32(at: number): number {
    this.#need(4, at);
    const value = this.#bytes.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  #count(at: number): void {
    if (++this.#objects > MAX_OBJECTS) throw this.fault(`holds more than ${MAX_OBJECTS} objects`, at);
  }

  #top(at: number): Value {
    if (this.#stack.length <= this.#fence) throw this.fault('takes a value where there is none', at);
    return this.#stack[this.#stack.length - 1]!;
  }

  #pop(at: number): Value {
    if (this.#stack.length <= this.#fence) throw this.fault('takes a value where there is none', at);
    return this.#stack.pop()!;
  }

  /** What stands above the last mark, which goes. */
  #marked(at: number): Value[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.fault('closes what was not begun', at);
    const stack = this.#stack;
    const count = stack.length - mark;
    this.#fence = this.#marks.length === 0 ? 0 : this.#marks[this.#marks.length - 1]!;
    this.#objects += count;
    if (this.#objects > MAX_OBJECTS) throw this.fault(`holds more than ${MAX_OBJECTS} objects`, at);
    if (count > FEW) return stack.splice(mark);
    const values = new Array<Value>(count);
    for (let i = count - 1; i >= 0; i--) values[i] = stack.pop()!;
    return values;
  }

  #tuple(size: number, at: number): void {
    const stack = this.#stack;
    if (stack.length - size < this.#fence) throw this.fault('takes a value where there is none', at);
    this.#count(at);
    const c = stack.pop()!;
    if (size === 1) {
      stack.push([c]);
      return;
    }
    const b = stack.pop()!;
    stack.push(size === 2 ? [b, c] : [stack.pop()!, b, c]);
  }

  /** Python numbers entries as they come; of a number given twice, the last counts. */
  #put(index: number, at: number): void {
    if (index > MAX_MEMO_INDEX) throw this.fault(`numbers a value ${index}, the limit is ${MAX_MEMO_INDEX}`, at);
    const value = this.#top(at);
    if (index === this.#memoized) this.#memoized++;
    if (index < this.#referenced.length && this.#referenced[index] === 0) return;
    this.#memo.set(index, value);
    if (index < LOW) this.#low[index] = value;
    if (this.#memo.size > MAX_KEPT) throw this.fault(`comes back to more than ${MAX_KEPT} objects`, at);
  }

  #get(index: number, at: number): Value {
    const value = index < LOW ? this.#low[index] : this.#memo.get(index);
    if (value === undefined) throw this.fault(`speaks of value ${index}, which it has not`, at);
    return value;
  }

  #string(length: number, at: number): string | LongText {
    if (length > MAX_STRING_BYTES) return new LongText(this.#blob(length, at));
    this.#need(length, at);
    const start = this.#at;
    const stop = start + length;
    this.#at = stop;
    const bytes = this.#bytes;
    for (let i = start; i < stop; i++) {
      if (bytes[i]! >= 0x80) return this.#utf8(start, stop, at);
    }
    return bytes.toString('latin1', start, stop);
  }

  /** Not by TextDecoder, which is strict only where Node has ICU, and takes a mark of byte order away. */
  #utf8(start: number, stop: number, at: number): string {
    const bytes = this.#bytes.subarray(start, stop);
    if (!isUtf8(bytes)) throw this.fault('has a text that is not valid UTF-8', at);
    return bytes.toString('utf8');
  }

  #blob(length: number, at: number): Uint8Array {
    this.#need(length, at);
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  /** Two's complement, least byte first. */
  #integer(length: number, at: number): number | bigint {
    if (length > MAX_INTEGER_BYTES) throw this.fault(`has an integer of ${length} bytes, the limit is ${MAX_INTEGER_BYTES}`, at);
    this.#need(length, at);
    const bytes = this.#bytes;
    const start = this.#at;
    this.#at += length;
    if (length === 0) return 0;
    if (length <= 6) return bytes.readIntLE(start, length);
    const digits = Buffer.from(bytes.subarray(start, this.#at)).reverse().toString('hex');
    const value = BigInt.asIntN(8 * length, BigInt(`0x${digits}`));
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  }

  #line(at: number): string {
    const start = this.#at;
    const stop = this.#bytes.subarray(0, start + MAX_NAME_BYTES).indexOf(0x0a, start);
    if (stop === -1) throw this.fault('names a class in no line that ends', at);
    this.#at = stop + 1;
    return this.#bytes.toString('latin1', start, stop);
  }

  #global(module: string, name: string, at: number): Global {
    const key = `${module}\n${name}`;
    let global = this.#globals.get(key);
    if (global === undefined) {
      if (!MODULE.test(module) || !NAME.test(name)) throw this.fault('names a class by what is no plain name', at);
      global = new Global(module, name);
      if (!this.#allowed(global) && !this.#named(global)) throw this.#refused(global, at);
      this.#globals.set(key, global);
    }
    return global;
  }

  #refused(global: Global, at: number): MergeError {
    const { path, what, offset = 0 } = this.#source;
    const position = offset + at;
    return new MergeError('E_PICKLE_CLASS', `${path}, byte ${position}: ${what} names ${global.path}, which is not read`, {
      details: { file: path, position, class: global.path },
      help:
        'Nothing of it was run. Save the weights alone, as torch.save(model.state_dict(), PATH) or as safetensors; or let it be ' +
        `named, with ${CLASSES}=${withNamed(global.path)} in the environment: nothing is run then either, and what such objects hold is passed over.`,
    });
  }

  /** A call of a class or function with a tuple, or an object of a class made from one. */
  #call(at: number): void {
    const args = this.#pop(at);
    const callee = this.#pop(at);
    if (!(callee instanceof Global) || !Array.isArray(args)) throw this.fault('calls what is no class or function by name', at);
    this.#count(at);
    // What a defaultdict makes of keys that are not there is of no matter.
    const { module, name } = callee;
    const isDict = module === 'collections' && ((name === 'OrderedDict' && args.length === 0) || name === 'defaultdict');
    this.#stack.push(isDict ? new Dict() : new Call(callee, args));
  }

  #build(at: number): void {
    const state = this.#pop(at);
    const target = this.#top(at);
    // An OrderedDict has attributes: module.state_dict() keeps the versions of its modules there.
    if (target instanceof Dict && state instanceof Dict) return;
    if (!(target instanceof Call)) throw this.fault('gives attributes to what has none', at);
    target.state = state;
    if (this.#take !== undefined) this.#stack[this.#stack.length - 1] = this.#take.object(target);
  }

  #append(values: Value[], at: number): void {
    const target = this.#top(at);
    if (target instanceof List) for (const value of this.#take?.items(values) ?? values) target.items.push(value);
    else if (target instanceof Call) target.add(values);
    else throw this.fault('appends to what is no list', at);
  }

  #setItems(values: Value[], at: number): void {
    if (values.length % 2 !== 0) throw this.fault('sets a key without a value', at);
    const target = this.#top(at);
    if (target instanceof Dict) target.set(this.#take?.entries(values) ?? values);
    else if (target instanceof Call) target.add(values);
    else throw this.fault('sets a key in what is no dict', at);
  }
}
