import type { Dtype } from '../../base/dtype.ts';
import { type Boxes, boxesOf, type TilingFault, tilingFault } from './boxes.ts';
import { SECTIONS, type TensorSection } from './section.ts';
import { byteLength, ColumnTable, elementCount } from './table.ts';

/** A box of a tensor, and where it lies. */
export interface Box {
  /** Index into the checkpoint's `files`. */
  readonly file: number;
  /** Where its first element lies, in bytes from the beginning of that file. */
  readonly offset: number;
  readonly start: readonly number[];
  readonly size: readonly number[];
  /** Elements from one to the next in each dimension, in the file. */
  readonly stride: readonly number[];
}

/** A tensor as boxes, in the order in which they were found. */
interface Row {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly section: TensorSection;
  readonly boxes: Box[];
}

/** Gathers the tensors of a checkpoint, part by part, into a table. */
export class BoxTable {
  readonly #rows = new Map<string, Row>();

  get count(): number {
    return this.#rows.size;
  }

  /** What is known of a tensor so far; undefined where nothing is. */
  get(name: string): Pick<Row, 'dtype' | 'shape'> | undefined {
    return this.#rows.get(name);
  }

  /** Adds a part of a tensor, whose dtype and shape are as those of its other parts. */
  add(name: string, tensor: Omit<Row, 'boxes'>, box: Box): void {
    const row = this.#rows.get(name);
    if (row === undefined) this.#rows.set(name, { ...tensor, boxes: [box] });
    else row.boxes.push(box);
  }

  /**
   * @param fault what is thrown where parts of a tensor are not the tensor
   * @throws what `fault` gives
   */
  table(fault: (name: string, text: string) => Error): ColumnTable {
    const names = [...this.#rows.keys()];
    const rows = [...this.#rows.values()];
    const count = rows.length;
    const boxCount = rows.reduce((sum, { boxes }) => sum + boxes.length, 0);
    const first = new Int32Array(count + 1);
    const boundsAt = new Float64Array(count + 1);
    const file = new Int32Array(boxCount);
    const offset = new Float64Array(boxCount);
    const bounds: number[] = [];
    for (const [row, { shape, boxes }] of rows.entries()) {
      for (const [i, box] of boxes.entries()) {
        file[first[row]! + i] = box.file;
        offset[first[row]! + i] = box.offset;
        bounds.push(...box.start, ...box.size, ...box.stride);
      }
      first[row + 1] = first[row]! + boxes.length;
      boundsAt[row + 1] = boundsAt[row]! + boxes.length * 3 * shape.length;
    }
    const columns = { first, file, offset, boundsAt, bounds: Float64Array.from(bounds) };
    const bytes = Float64Array.from(rows, ({ dtype, shape }) => byteLength(dtype, elementCount(shape)));
    for (const [row, { shape }] of rows.entries()) {
      if (Number.isNaN(bytes[row]!)) throw fault(names[row]!, `is too large to be real: [${shape.join(', ')}]`);
      const found = tilingFault(boxesOf(columns, shape, row));
      if (found !== null) throw fault(names[row]!, tilingText(found, shape));
    }
    return new ColumnTable({
      names,
      dtypes: Uint8Array.from(rows, ({ dtype }) => dtype.code),
      shapes: rows.map(({ shape }) => shape),
      bytes,
      offset: Float64Array.from(first.subarray(0, count), (box) => offset[box] ?? 0),
      boxes: columns,
      sections: Uint8Array.from(rows, ({ section }) => SECTIONS.indexOf(section)),
    });
  }
}

/** Why parts are no tensor of a shape, as a predicate. */
export function tilingText({ kind, at }: TilingFault, shape: Boxes['shape']): string {
  const where = `[${at.join(', ')}]`;
  switch (kind) {
    case 'hole':
      return `has a hole at ${where}: no part of it holds that element`;
    case 'overlap':
      return `holds the element ${where} in two parts`;
    case 'outside':
      return `has a part at ${where} that reaches beyond [${shape.join(', ')}]`;
    case 'rank':
      return `has ${at.length} dimensions, which is too many`;
  }
}
