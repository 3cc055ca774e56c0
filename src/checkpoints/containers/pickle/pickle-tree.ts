import { Call, Dict, Global, List, Persistent, type Value } from './values.ts';

/**
 * A pickle as the objects that its opcodes make, each once and in its form: so that it can be written again
 * without some of them. What the pickle speaks of again is one node in several places.
 */
export type PickleNode = Atom | TupleNode | ListNode | SetNode | DictNode | CallNode | PersistentNode | StackGlobalNode;

/** What has no parts: a number, a text, bytes, a class by its name. */
export class Atom {
  /** Opcode and operand. */
  readonly bytes: Buffer;
  readonly value: Value;
  memo = false;

  constructor(bytes: Buffer, value: Value) {
    this.bytes = bytes;
    this.value = value;
  }
}

export class TupleNode {
  items: PickleNode[];
  memo = false;

  constructor(items: PickleNode[]) {
    this.items = items;
  }
}

export class ListNode {
  readonly items: PickleNode[] = [];
  memo = false;
}

/** A set as protocol 4 has it; protocol 2 calls its class. */
export class SetNode {
  readonly frozen: boolean;
  readonly items: PickleNode[] = [];
  memo = false;

  constructor(frozen: boolean) {
    this.frozen = frozen;
  }
}

/** A dict and nothing but a dict. */
export class DictNode {
  /** Key, value, key, value. */
  entries: PickleNode[] = [];
  memo = false;
  state: PickleNode | null = null;
}

/** A call, or an object made by its class; an OrderedDict or a defaultdict is one, with entries. */
export class CallNode {
  readonly opcode: number;
  callee: PickleNode;
  args: PickleNode;
  memo = false;
  readonly items: PickleNode[] = [];
  /** Key, value, key, value. */
  entries: PickleNode[] = [];
  state: PickleNode | null = null;

  constructor(opcode: number, callee: PickleNode, args: PickleNode) {
    this.opcode = opcode;
    this.callee = callee;
    this.args = args;
  }
}

export class PersistentNode {
  readonly id: PickleNode;
  memo = false;

  constructor(id: PickleNode) {
    this.id = id;
  }
}

/** A class by two texts, from protocol 4 on. */
export class StackGlobalNode {
  readonly module: PickleNode;
  readonly name: PickleNode;
  memo = false;

  constructor(module: PickleNode, name: PickleNode) {
    this.module = module;
    this.name = name;
  }
}

/** A pickle taken apart. */
export interface PickleTree {
  readonly protocol: number;
  readonly root: PickleNode;
  /** Classes and functions by their whole names: the first node of each. */
  readonly globals: ReadonlyMap<string, PickleNode>;
}

/** How a tree is written. */
export interface WriteHooks {
  /** What is written in the place of the name of something outside. */
  persistent(id: PickleNode): PickleNode;
}

const MARK = Symbol('mark');
/** As Python cuts long lists and dicts. */
const BATCH = 1000;
const REDUCE = 0x52;

/**
 * Takes a pickle apart that `readPickle` has read: nothing of it is checked again.
 * @throws RangeError for an opcode that it does not know
 */
export function parsePickleTree(bytes: Buffer): PickleTree {
  const stack: (PickleNode | typeof MARK)[] = [];
  const memo = new Map<number, PickleNode>();
  const globals = new Map<string, PickleNode>();
  let protocol = 0;
  let at = 0;
  let memoized = 0;
  const top = (): PickleNode => stack[stack.length - 1] as PickleNode;
  const pop = (): PickleNode => stack.pop() as PickleNode;
  const marked = (): PickleNode[] => {
    const from = stack.lastIndexOf(MARK);
    const items = stack.splice(from) as PickleNode[];
    return items.slice(1);
  };
  const put = (index: number): void => {
    const node = top();
    node.memo = true;
    memo.set(index, node);
    if (index === memoized) memoized++;
  };
  const named = (node: PickleNode, path: string): void => {
    if (!globals.has(path)) globals.set(path, node);
    stack.push(node);
  };
  const atom = (start: number, end: number, value: Value): void => {
    stack.push(new Atom(bytes.subarray(start, end), value));
    at = end;
  };
  for (;;) {
    const start = at;
    const op = bytes[at++]!;
    switch (op) {
      case 0x80:
        protocol = bytes[at++]!;
        break;
      case 0x95: // FRAME: they are no objects
        at += 8;
        break;
      case 0x94:
        put(memoized);
        break;
      case 0x71:
        put(bytes[at++]!);
        break;
      case 0x72:
        put(bytes.readUInt32LE(at));
        at += 4;
        break;
      case 0x68:
        stack.push(memo.get(bytes[at++]!)!);
        break;
      case 0x6a:
        stack.push(memo.get(bytes.readUInt32LE(at))!);
        at += 4;
        break;
      case 0x8c:
        atom(start, at + 1 + bytes[at]!, bytes.toString('utf8', at + 1, at + 1 + bytes[at]!));
        break;
      case 0x58: {
        const end = at + 4 + bytes.readUInt32LE(at);
        atom(start, end, bytes.toString('utf8', at + 4, end));
        break;
      }
      case 0x4b:
        atom(start, at + 1, bytes[at]!);
        break;
      case 0x4d:
        atom(start, at + 2, bytes.readUInt16LE(at));
        break;
      case 0x4a:
        atom(start, at + 4, bytes.readInt32LE(at));
        break;
      case 0x8a:
        atom(start, at + 1 + bytes[at]!, integer(bytes.subarray(at + 1, at + 1 + bytes[at]!)));
        break;
      case 0x8b: {
        const end = at + 4 + bytes.readUInt32LE(at);
        atom(start, end, integer(bytes.subarray(at + 4, end)));
        break;
      }
      case 0x47:
        atom(start, at + 8, bytes.readDoubleBE(at));
        break;
      case 0x4e:
        atom(start, at, null);
        break;
      case 0x88:
      case 0x89:
        atom(start, at, op === 0x88);
        break;
      case 0x43:
        atom(start, at + 1 + bytes[at]!, bytes.subarray(at + 1, at + 1 + bytes[at]!));
        break;
      case 0x42: {
        const end = at + 4 + bytes.readUInt32LE(at);
        atom(start, end, bytes.subarray(at + 4, end));
        break;
      }
      case 0x96: {
        const end = at + 8 + Number(bytes.readBigUInt64LE(at));
        atom(start, end, bytes.subarray(at + 8, end));
        break;
      }
      case 0x28:
        stack.push(MARK);
        break;
      case 0x29:
        atom(start, at, []);
        break;
      case 0x85:
      case 0x86:
      case 0x87:
        stack.push(new TupleNode(stack.splice(stack.length - (op - 0x84)) as PickleNode[]));
        break;
      case 0x74:
        stack.push(new TupleNode(marked()));
        break;
      case 0x5d:
        stack.push(new ListNode());
        break;
      case 0x7d:
        stack.push(new DictNode());
        break;
      case 0x8f:
        stack.push(new SetNode(false));
        break;
      case 0x90: {
        const items = marked();
        for (const item of items) (top() as SetNode).items.push(item);
        break;
      }
      case 0x91: {
        const set = new SetNode(true);
        for (const item of marked()) set.items.push(item);
        stack.push(set);
        break;
      }
      case 0x61: {
        const item = pop();
        (top() as ListNode | CallNode).items.push(item);
        break;
      }
      case 0x65: {
        const items = marked();
        for (const item of items) (top() as ListNode | CallNode).items.push(item);
        break;
      }
      case 0x73: {
        const value = pop();
        const key = pop();
        (top() as DictNode | CallNode).entries.push(key, value);
        break;
      }
      case 0x75: {
        const entries = marked();
        for (const entry of entries) (top() as DictNode | CallNode).entries.push(entry);
        break;
      }
      case 0x63: {
        const middle = bytes.indexOf(0x0a, at);
        const end = bytes.indexOf(0x0a, middle + 1) + 1;
        const [module, name] = [bytes.toString('latin1', at, middle), bytes.toString('latin1', middle + 1, end - 1)];
        const global = new Global(module, name);
        at = end;
        named(new Atom(bytes.subarray(start, end), global), global.path);
        break;
      }
      case 0x93: {
        const name = pop() as Atom;
        const module = pop() as Atom;
        named(new StackGlobalNode(module, name), `${module.value as string}.${name.value as string}`);
        break;
      }
      case REDUCE:
      case 0x81: {
        const args = pop();
        stack.push(new CallNode(op, pop(), args));
        break;
      }
      case 0x62: {
        const state = pop();
        (top() as DictNode | CallNode).state = state;
        break;
      }
      case 0x51:
        stack.push(new PersistentNode(pop()));
        break;
      case 0x2e:
        return { protocol, root: pop(), globals };
      default:
        throw new RangeError(`the opcode ${op} in a pickle that was read`);
    }
  }
}

/** Two's complement, least byte first. */
function integer(bytes: Buffer): number | bigint {
  let value = 0n;
  for (const byte of bytes.toReversed()) value = (value << 8n) | BigInt(byte);
  value = BigInt.asIntN(8 * bytes.length, value);
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/** A whole number of at least 0, as Python writes it. */
export function countNode(value: number): Atom {
  if (value < 2 ** 8) return new Atom(Buffer.of(0x4b, value), value);
  if (value < 2 ** 16) return new Atom(Buffer.of(0x4d, value & 255, value >> 8), value);
  if (value < 2 ** 31) {
    const bytes = Buffer.alloc(5, 0x4a);
    bytes.writeInt32LE(value, 1);
    return new Atom(bytes, value);
  }
  const bytes: number[] = [];
  for (let rest = BigInt(value); rest > 0n; rest >>= 8n) bytes.push(Number(rest & 255n));
  if (bytes.at(-1)! >= 128) bytes.push(0);
  return new Atom(Buffer.from([0x8a, bytes.length, ...bytes]), value);
}

/** A text, as Python writes it. */
export function textNode(text: string, { protocol }: Pick<PickleTree, 'protocol'>): Atom {
  const content = Buffer.from(text);
  const short = protocol >= 4 && content.length < 256;
  const head = Buffer.alloc(short ? 2 : 5);
  head[0] = short ? 0x8c : 0x58;
  if (short) head[1] = content.length;
  else head.writeUInt32LE(content.length, 1);
  const node = new Atom(Buffer.concat([head, content]), text);
  node.memo = true;
  return node;
}

/** A class or function: the one that the pickle names already, where it does. */
export function globalNode(module: string, name: string, { protocol, globals }: Omit<PickleTree, 'root'>): PickleNode {
  const known = globals.get(`${module}.${name}`);
  if (known !== undefined) return known;
  const node =
    protocol >= 4
      ? new StackGlobalNode(textNode(module, { protocol }), textNode(name, { protocol }))
      : new Atom(Buffer.from(`c${module}\n${name}\n`, 'latin1'), new Global(module, name));
  node.memo = true;
  return node;
}

/** What nodes stand for that were met before: a pickle may come back to one a million times. */
export type KnownNodes = Map<PickleNode, Value>;

/** What a node stands for, as `readPickle` has it; of a dict all that is in it. */
export function standsFor(node: PickleNode, known: KnownNodes = new Map()): Value {
  if (node instanceof Atom) return node.value;
  if (node instanceof StackGlobalNode) return new Global((node.module as Atom).value as string, (node.name as Atom).value as string);
  const before = known.get(node);
  if (before !== undefined) return before;
  const fill = (values: Value[], nodes: readonly PickleNode[]): Value[] => {
    for (const one of nodes) values.push(standsFor(one, known));
    return values;
  };
  if (node instanceof TupleNode) {
    const items: Value[] = [];
    known.set(node, items);
    return fill(items, node.items);
  }
  if (node instanceof ListNode) {
    const list = new List();
    known.set(node, list);
    fill(list.items, node.items);
    return list;
  }
  if (isDict(node)) {
    const dict = new Dict();
    known.set(node, dict);
    fill(dict.entries, node.entries);
    return dict;
  }
  // What contains itself is no tensor.
  known.set(node, null);
  const made = madeOf(node, known);
  known.set(node, made);
  return made;
}

function madeOf(node: SetNode | CallNode | PersistentNode, known: KnownNodes): Value {
  if (node instanceof PersistentNode) return new Persistent(standsFor(node.id, known));
  if (node instanceof SetNode) {
    const name = node.frozen ? 'frozenset' : 'set';
    return new Call(new Global('builtins', name), [node.items.map((item) => standsFor(item, known))]);
  }
  const [callee, args] = [standsFor(node.callee, known), standsFor(node.args, known)];
  return callee instanceof Global && Array.isArray(args) ? new Call(callee, args as readonly Value[]) : null;
}

/** Whether a node is a dict: itself, an OrderedDict or a defaultdict. */
export function isDict(node: PickleNode): node is DictNode | CallNode {
  if (node instanceof DictNode) return true;
  if (!(node instanceof CallNode)) return false;
  const callee = standsFor(node.callee);
  if (!(callee instanceof Global)) return false;
  return callee.path === 'collections.defaultdict' || (callee.path === 'collections.OrderedDict' && node.args instanceof Atom);
}

/**
 * Writes a pickle as Python's pickler does, objects numbered as they come. Of protocol 4 and later without
 * frames, which are no part of what is read.
 */
export function writePickleTree({ root, protocol }: PickleTree, hooks: WriteHooks): Buffer {
  const parts: Buffer[] = [Buffer.of(0x80, protocol)];
  const memo = new Map<PickleNode, number>();
  const op = (...bytes: number[]): void => {
    parts.push(Buffer.from(bytes));
  };
  const indexed = (short: number, long: number, index: number): void => {
    if (index < 256) op(short, index);
    else op(long, index & 255, (index >> 8) & 255, (index >> 16) & 255, index >>> 24);
  };
  const remember = (node: PickleNode): void => {
    if (!node.memo) return;
    const index = memo.size;
    memo.set(node, index);
    if (protocol >= 4) op(0x94);
    else indexed(0x71, 0x72, index);
  };
  /** @param exact as Python writes a dict or a list itself, and not what iterates like one */
  const batches = (values: readonly PickleNode[], width: number, codes: readonly [number, number], exact: 'dict' | 'list' | null): void => {
    const count = values.length / width;
    if (count === 0) return;
    let from = 0;
    for (;;) {
      const rest = Math.min(count - from, BATCH);
      const alone = rest === 1 && (exact === null || count === 1);
      if (rest === 0 && exact !== 'dict') return;
      if (!alone) op(0x28);
      for (let i = from * width; i < (from + rest) * width; i++) write(values[i]!);
      op(alone ? codes[0] : codes[1]);
      from += rest;
      // Of a dict that fills its batches, Python learns that it ends from an empty one.
      if (alone || rest < BATCH) return;
    }
  };
  const write = (node: PickleNode): void => {
    const index = memo.get(node);
    if (index !== undefined) {
      indexed(0x68, 0x6a, index);
      return;
    }
    if (node instanceof Atom) {
      parts.push(node.bytes);
      remember(node);
    } else if (node instanceof TupleNode) {
      if (node.items.length > 3) op(0x28);
      for (const item of node.items) write(item);
      op(node.items.length > 3 ? 0x74 : 0x84 + node.items.length);
      remember(node);
    } else if (node instanceof PersistentNode) {
      write(hooks.persistent(node.id));
      op(0x51);
    } else if (node instanceof StackGlobalNode) {
      write(node.module);
      write(node.name);
      op(0x93);
      remember(node);
    } else if (node instanceof SetNode) {
      if (!node.frozen) {
        op(0x8f);
        remember(node);
      }
      const width = node.frozen ? Math.max(1, node.items.length) : BATCH;
      for (let from = 0; from < node.items.length || (node.frozen && from === 0); from += width) {
        op(0x28);
        for (const item of node.items.slice(from, from + width)) write(item);
        op(node.frozen ? 0x91 : 0x90);
      }
      if (node.frozen) remember(node);
    } else if (node instanceof ListNode) {
      op(0x5d);
      remember(node);
      batches(node.items, 1, [0x61, 0x65], 'list');
    } else {
      const exact = node instanceof DictNode;
      if (exact) op(0x7d);
      else {
        write(node.callee);
        write(node.args);
        op(node.opcode);
      }
      remember(node);
      if (!exact) batches(node.items, 1, [0x61, 0x65], null);
      batches(node.entries, 2, [0x73, 0x75], exact ? 'dict' : null);
      if (node.state !== null) {
        write(node.state);
        op(0x62);
      }
    }
  };
  write(root);
  op(0x2e);
  return Buffer.concat(parts);
}
