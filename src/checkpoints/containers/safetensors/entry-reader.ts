import { type Dtype, dtypeByName } from '../../../base/dtype.ts';
import { byteLength, ColumnTable, elementCount } from '../../tensors/table.ts';
import type { TensorTable } from '../../tensors/types.ts';
import { checkContiguous } from './check-layout.ts';
import type { JsonScanner } from './json-scanner.ts';
import type { KnownNames, SeenNames } from './seen-names.ts';
import { sortByData } from './sort-by-data.ts';
import type { HeaderSource } from './types.ts';

/** The least bytes that an entry of a header can have, comma included: bounds the rows before any is read. */
const MIN_ENTRY_BYTES = 48;

/** Forms of entries that are remembered; a model has some dozens. */
const MAX_FORMS = 32;

/** How an entry was written up to its first data offset: most of a header differ in name and offsets alone. */
interface EntryForm {
  /** Where that is in the JSON, from its `{` on. */
  readonly from: number;
  readonly to: number;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** The form of the entry that came after the last of this one. */
  next: EntryForm | undefined;
}

const FIELDS = { dtype: 1, shape: 2, data_offsets: 4 } as const;
const ALL_FIELDS = 7;

/** Reads the entries of a header into columns. */
export class EntryReader {
  metadata: ReadonlyMap<string, string> | null = null;
  readonly #scanner: JsonScanner;
  /** Names that are none of the likely ones. */
  readonly #others = new Set<string>();
  readonly #before: SeenNames | undefined;
  #likely: KnownNames | undefined;
  readonly #names: string[] = [];
  readonly #shapes: (readonly number[])[] = [];
  readonly #dtypes: Uint8Array;
  readonly #begin: Float64Array;
  readonly #end: Float64Array;
  /**
   * Shapes by how they are written, with their element count; and by what they are, so that equal shapes
   * share one array however written.
   */
  readonly #written = new Map<string, { readonly shape: readonly number[]; readonly elements: number }>();
  readonly #interned: Map<string, readonly number[]>;
  readonly #forms: EntryForm[] = [];
  #form: EntryForm | undefined;

  /** @param before names of other headers and indexes, to which those of this one are added */
  constructor(scanner: JsonScanner, before?: SeenNames) {
    this.#scanner = scanner;
    this.#before = before;
    this.#interned = before?.shapes ?? new Map();
    const most = Math.ceil(scanner.text.length / MIN_ENTRY_BYTES);
    this.#dtypes = new Uint8Array(most);
    this.#begin = new Float64Array(most);
    this.#end = new Float64Array(most);
  }

  /** Reads the value of one key of the header. */
  read(key: string, start: number): void {
    const scanner = this.#scanner;
    if (key === '__metadata__') {
      if (this.metadata !== null) scanner.fail('E_DUPLICATE_KEY', '__metadata__ is there twice', start);
      this.metadata = this.#metadata();
      return;
    }
    scanner.tensor = key;
    const name = this.#known(key, start);
    if (!this.#likeBefore(name)) this.#entry(name, start);
    scanner.tensor = undefined;
  }

  /** A name as the string that was read for it before, where it was. */
  #known(name: string, start: number): string {
    const row = this.#names.length;
    if (row === 0) this.#likely = this.#before?.likely(name);
    const entry = this.#likely === undefined ? -1 : this.#likely.take(name, row);
    if (entry >= 0) return this.#likely!.names[entry]!;
    const before = this.#others.size;
    if (entry === -2 || this.#others.add(name).size === before) {
      this.#scanner.fail('E_DUPLICATE_KEY', 'the header names this tensor twice', start);
    }
    return name;
  }

  /** Takes an entry that is written as another before it, but for its offsets; false, and nothing read, for others. */
  #likeBefore(name: string): boolean {
    const scanner = this.#scanner;
    const start = scanner.pos;
    let form = this.#form?.next;
    if (form === undefined || !scanner.repeats(form.from, form.to)) form = this.#forms.find(({ from, to }) => scanner.repeats(from, to));
    if (form === undefined) return false;
    const begin = scanner.integer('a data offset');
    scanner.expect(',');
    const end = scanner.integer('a data offset');
    scanner.expect(']');
    if (!scanner.take(0x7d) || end - begin !== form.bytes) {
      scanner.pos = start;
      return false;
    }
    if (this.#form !== undefined) this.#form.next = form;
    this.#form = form;
    this.#add(name, form, begin, end);
    return true;
  }

  #add(name: string, { dtype, shape }: Pick<EntryForm, 'dtype' | 'shape'>, begin: number, end: number): void {
    const row = this.#names.push(name) - 1;
    this.#shapes.push(shape);
    this.#dtypes[row] = dtype.code;
    this.#begin[row] = begin;
    this.#end[row] = end;
  }

  /**
   * The columns, in the order of the data, with offsets in the file.
   * @throws MergeError E_OVERLAP, E_HOLE, E_OFFSETS
   */
  table(dataStart: number, source: HeaderSource): TensorTable {
    const count = this.#names.length;
    const sorted = sortByData({
      names: this.#names,
      shapes: this.#shapes,
      dtypes: this.#dtypes.slice(0, count),
      begin: this.#begin.slice(0, count),
      end: this.#end.slice(0, count),
    });
    checkContiguous(sorted, dataStart, source);
    const { names, shapes, dtypes, begin: offset, end: bytes } = sorted;
    // In their place: a header of half a million tensors has large columns.
    for (let row = 0; row < count; row++) {
      bytes[row] = bytes[row]! - offset[row]!;
      offset[row] = offset[row]! + dataStart;
    }
    const columns = { names, shapes, dtypes, bytes };
    return new ColumnTable({ ...(this.#before?.addHeader(this.#names, columns) ?? columns), offset });
  }

  #metadata(): Map<string, string> {
    const scanner = this.#scanner;
    if (scanner.peek() !== 0x7b) scanner.fail('E_METADATA', '__metadata__ is not an object');
    const metadata = new Map<string, string>();
    scanner.object((key, start) => {
      if (metadata.has(key)) scanner.fail('E_DUPLICATE_KEY', `__metadata__ holds the key ${JSON.stringify(key)} twice`, start);
      if (scanner.peek() !== 0x22) scanner.fail('E_METADATA', `the value of ${JSON.stringify(key)} in __metadata__ is not a string`);
      metadata.set(key, scanner.string());
    });
    return metadata;
  }

  #entry(name: string, nameStart: number): void {
    const scanner: JsonScanner = this.#scanner;
    const from = scanner.pos;
    if (scanner.peek() !== 0x7b) scanner.fail('E_HEADER_TYPE', 'the entry is not an object');
    scanner.pos++;
    let fields = 0;
    let to = -1;
    let dtype: Dtype | undefined;
    let shape: { readonly shape: readonly number[]; readonly elements: number } | undefined;
    let begin = 0;
    let end = 0;
    let offsetsAt = 0;
    if (scanner.peek() !== 0x7d) {
      do {
        scanner.peek();
        const at = scanner.pos;
        const field = scanner.string();
        const bit = field === 'dtype' || field === 'shape' || field === 'data_offsets' ? FIELDS[field] : 0;
        if (bit === 0) scanner.fail('E_HEADER_FIELD', `the entry has the unknown field ${JSON.stringify(field)}`, at);
        if ((fields & bit) !== 0) scanner.fail('E_DUPLICATE_KEY', `the entry has the field '${field}' twice`, at);
        fields |= bit;
        scanner.expect(':');
        if (bit === FIELDS.dtype) dtype = this.#dtype();
        else if (bit === FIELDS.shape) shape = this.#shape();
        else {
          if (scanner.peek() !== 0x5b) scanner.fail('E_HEADER_TYPE', 'data_offsets is not a list');
          offsetsAt = scanner.pos++;
          if (fields === ALL_FIELDS) to = scanner.pos;
          begin = scanner.integer('a data offset');
          scanner.expect(',');
          end = scanner.integer('a data offset');
          scanner.expect(']');
        }
      } while (scanner.take(0x2c));
    }
    scanner.expect('}');
    if (dtype === undefined || shape === undefined || fields !== ALL_FIELDS) {
      const missing = Object.keys(FIELDS).filter((field) => (fields & FIELDS[field as keyof typeof FIELDS]) === 0);
      scanner.fail('E_HEADER_FIELD', `the entry lacks ${missing.join(' and ')}`, nameStart);
    }
    if (begin > end) scanner.fail('E_OFFSETS', `the data offsets [${begin}, ${end}] run backwards`, offsetsAt);
    const bytes = byteLength(dtype, shape.elements);
    if (end - begin !== bytes) this.#wrongSize(dtype, shape.elements, end - begin, offsetsAt);
    if (to >= 0 && this.#forms.length < MAX_FORMS) {
      const form: EntryForm = { from, to, dtype, shape: shape.shape, bytes, next: undefined };
      this.#forms.push(form);
      if (this.#form !== undefined) this.#form.next = form;
      this.#form = form;
    }
    this.#add(name, { dtype, shape: shape.shape }, begin, end);
  }

  #wrongSize(dtype: Dtype, elements: number, span: number, at: number): never {
    const bits = elements * dtype.bits;
    if (!(bits <= Number.MAX_SAFE_INTEGER)) this.#scanner.fail('E_SHAPE_OVERFLOW', 'the shape needs more than 2^53 - 1 bits', at);
    this.#scanner.fail(
      'E_SIZE_MISMATCH',
      `${elements} elements of ${dtype.name} need ${bits / 8} bytes, the data offsets span ${span}`,
      at,
    );
  }

  #dtype(): Dtype {
    const scanner = this.#scanner;
    if (scanner.peek() !== 0x22) scanner.fail('E_HEADER_TYPE', 'dtype is not a string');
    const at = scanner.pos;
    const name = scanner.string();
    return dtypeByName(name) ?? scanner.fail('E_DTYPE', `the format knows no dtype ${JSON.stringify(name)}`, at);
  }

  /** A model has few distinct shapes: one that was read before is recognised by how it is written. */
  #shape(): { readonly shape: readonly number[]; readonly elements: number } {
    const scanner = this.#scanner;
    if (scanner.peek() !== 0x5b) scanner.fail('E_HEADER_TYPE', 'shape is not a list');
    const start = scanner.pos;
    const stop = scanner.text.indexOf(']', start) + 1;
    const known = this.#written.get(scanner.text.substring(start, stop));
    if (known !== undefined) {
      scanner.pos = stop;
      return known;
    }
    scanner.pos++;
    const sizes: number[] = [];
    if (!scanner.take(0x5d)) {
      do sizes.push(scanner.integer('a size in a shape'));
      while (scanner.take(0x2c));
      scanner.expect(']');
    }
    const key = sizes.join();
    const shape = this.#interned.get(key) ?? Object.freeze(sizes);
    this.#interned.set(key, shape);
    const elements = elementCount(shape);
    if (Number.isNaN(elements)) scanner.fail('E_SHAPE_OVERFLOW', `the shape [${sizes.join(', ')}] has more than 2^53 - 1 elements`, start);
    const read = { shape, elements };
    this.#written.set(scanner.text.substring(start, scanner.pos), read);
    return read;
  }
}
