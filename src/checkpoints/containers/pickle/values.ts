/**
 * What a pickle describes, as data. Nothing is imported, called or made: a class stays a name, and a call is
 * written down. A tuple is an array. Values may be shared and, in a hostile file, contain themselves: walk
 * them with `walk.ts`, or to a known depth.
 */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | LongText
  | Uint8Array
  | readonly Value[]
  | List
  | Dict
  | Global
  | Call
  | Persistent
  | Placeholder;

/**
 * A text that is longer than any name: a tokenizer, or the bytes of an array, which protocol 2 writes as one.
 * Nobody reads it, and so it stays where it is.
 */
export class LongText {
  /** As UTF-8. */
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** A list. */
export class List {
  readonly items: Value[] = [];
}

/** A dict, an OrderedDict or a defaultdict: key, value, key, value, as they were set. Keys may come twice. */
export class Dict {
  entries: Value[] = [];

  /** @param values keys and values; may be kept */
  set(values: Value[]): void {
    if (this.entries.length === 0) this.entries = values;
    else for (const value of values) this.entries.push(value);
  }

  /** The value of a text, the first where there are several; undefined where it is no key. */
  get(key: string): Value | undefined {
    const { entries } = this;
    const few = Math.min(entries.length, FEW_ENTRIES);
    for (let i = 0; i < few; i += 2) if (entries[i] === key) return entries[i + 1]!;
    if (few === entries.length) return undefined;
    // A pickle may come back to one dict a million times: it is searched once.
    this.#places ??= new Map();
    const places = this.#places;
    for (; this.#placed < entries.length; this.#placed += 2) {
      const own = entries[this.#placed];
      if (typeof own === 'string' && !places.has(own)) places.set(own, this.#placed + 1);
    }
    const place = places.get(key);
    return place === undefined ? undefined : entries[place]!;
  }

  #places: Map<string, number> | undefined;
  #placed = FEW_ENTRIES;
}

/** Keys and values up to which a dict is searched from its beginning. */
const FEW_ENTRIES = 64;

/** The name of a class or function. Equal names are one object within a pickle. */
export class Global {
  readonly module: string;
  readonly name: string;

  constructor(module: string, name: string) {
    this.module = module;
    this.name = name;
  }

  /** As `module.name`. */
  get path(): string {
    return `${this.module}.${this.name}`;
  }
}

/** What a call of a class or function would have returned. */
export class Call {
  readonly callee: Global;
  readonly args: readonly Value[];
  /** What `__setstate__` would have been given; undefined where there is none. */
  state: Value | undefined = undefined;
  /** What would have been appended to it, or set in it (key, value, …); null where nothing is. */
  added: Value[] | null = null;

  constructor(callee: Global, args: readonly Value[]) {
    this.callee = callee;
    this.args = args;
  }

  /** Values one by one: there may be millions, added singly or all at once. */
  add(values: readonly Value[]): void {
    this.added ??= [];
    for (const value of values) this.added.push(value);
  }
}

/** A reference to what lies outside the pickle: of torch, a storage. */
export class Persistent {
  readonly id: Value;

  constructor(id: Value) {
    this.id = id;
  }
}

/**
 * What stands in the place of objects of one class that their reader took apart: it has all that counts,
 * under numbers that follow one another.
 */
export class Placeholder {
  /** The class. */
  readonly name: string;
  /** Of the first. */
  readonly number: number;
  readonly count: number;

  constructor(name: string, number: number, count = 1) {
    this.name = name;
    this.number = number;
    this.count = count;
  }
}
