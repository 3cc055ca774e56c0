import { dtypeByCode } from '../../base/dtype.ts';
import type { ByteReader } from '../../base/store/byte-reader.ts';
import { elementsOf } from './table.ts';
import type { BoxColumns, Extent, TensorPlace, TensorSource } from './types.ts';

/**
 * Where elements of a tensor lie: all of them, or `elements` from element `from` on. In order, and without
 * gap; of most containers always one.
 */
export function extentsOf({ shards }: Pick<TensorSource, 'shards'>, { shard, row }: TensorPlace, from = 0, elements?: number): Extent[] {
  const { tensors } = shards[shard]!;
  const size = dtypeByCode(tensors.dtypes[row]!).bits / 8;
  const end = elements === undefined ? elementsOf(tensors, row) : from + elements;
  if (tensors.boxes === null) return [{ from, elements: end - from, file: shard, offset: tensors.offset[row]! + from * size }];
  return joined(runsOf(tensors.boxes, tensors.shapes[row]!, row, size, from, end), size);
}

/** The runs of a tensor's boxes between two of its elements, in their order. */
function runsOf(boxes: BoxColumns, shape: readonly number[], row: number, size: number, from: number, end: number): Extent[] {
  const rank = shape.length;
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, length) => product * length, 1));
  const runs: Extent[] = [];
  for (let box = boxes.first[row]!; box < boxes.first[row + 1]!; box++) {
    const at = boxes.boundsAt[row]! + (box - boxes.first[row]!) * 3 * rank;
    const whole = oneRun(boxes.bounds, at, shape);
    if (whole > 0) {
      let first = 0;
      for (let axis = 0; axis < rank; axis++) first += strides[axis]! * boxes.bounds[at + axis]!;
      const begin = Math.max(from, first);
      const count = Math.min(end, first + whole) - begin;
      if (count > 0)
        runs.push({ from: begin, elements: count, file: boxes.file[box]!, offset: boxes.offset[box]! + (begin - first) * size });
      continue;
    }
    const start = boxes.bounds.subarray(at, at + rank);
    const length = boxes.bounds.subarray(at + rank, at + 2 * rank);
    const stride = boxes.bounds.subarray(at + 2 * rank, at + 3 * rank);
    if (length.includes(0)) continue;
    // What of the inner dimensions follows one another in the file and in the tensor is one run.
    let run = 1;
    let outer = rank;
    for (let axis = rank - 1; axis >= 0; axis--) {
      if (length[axis] !== 1 && stride[axis] !== run) break;
      run *= length[axis]!;
      outer = axis;
      if (length[axis] !== shape[axis]) break;
    }
    const index = new Array<number>(outer).fill(0);
    const last = Array.from(length.subarray(0, outer), (count) => count - 1);
    if (outer > 0) {
      index[0] = Math.max(0, Math.floor(from / strides[0]!) - start[0]!);
      last[0] = Math.min(last[0]!, Math.ceil(end / strides[0]!) - 1 - start[0]!);
      if (index[0] > last[0]!) continue;
    }
    const corner = strides.reduce((sum, step, axis) => sum + step * start[axis]!, 0);
    for (;;) {
      let first = corner;
      let place = 0;
      for (let axis = 0; axis < outer; axis++) {
        first += index[axis]! * strides[axis]!;
        place += index[axis]! * stride[axis]!;
      }
      const begin = Math.max(from, first);
      const count = Math.min(end, first + run) - begin;
      if (count > 0) {
        runs.push({ from: begin, elements: count, file: boxes.file[box]!, offset: boxes.offset[box]! + (place + begin - first) * size });
      }
      let axis = outer - 1;
      while (axis >= 0 && index[axis] === last[axis]) axis--;
      if (axis < 0) break;
      index[axis]!++;
      index.fill(0, axis + 1);
    }
  }
  return runs.sort((a, b) => a.from - b.from);
}

/**
 * Elements of a box that follow one another in the tensor and in its file, as those of rows do, which are
 * most: no column of it is looked at one by one. 0 where they do not, or there are none.
 */
function oneRun(bounds: Float64Array, at: number, shape: readonly number[]): number {
  const rank = shape.length;
  let run = 1;
  let open = true;
  for (let axis = rank - 1; axis >= 0; axis--) {
    const length = bounds[at + rank + axis]!;
    if (length !== 1 && (!open || bounds[at + 2 * rank + axis] !== run)) return 0;
    run *= length;
    open &&= length === shape[axis];
  }
  return run;
}

/** Runs that follow one another in the same file are one. */
function joined(runs: readonly Extent[], size: number): Extent[] {
  const out: Extent[] = [];
  for (const run of runs) {
    const before = out.at(-1);
    if (before !== undefined && before.file === run.file && before.offset + before.elements * size === run.offset) {
      out[out.length - 1] = { ...before, elements: before.elements + run.elements };
    } else {
      out.push(run);
    }
  }
  return out;
}

/**
 * Where a tensor lies that is known to lie in one extent.
 * @throws RangeError where it is in several
 */
export function wholeExtent(source: Pick<TensorSource, 'shards'>, place: TensorPlace): Extent {
  const [extent, second] = extentsOf(source, place);
  if (extent === undefined || second !== undefined) throw new RangeError('the tensor is stored in parts');
  return extent;
}

/**
 * Bytes of a tensor: all of them, or `length` from byte `at` on.
 * @throws MergeError E_INPUT_CHANGED when a file is shorter than it was when it was opened; E_NOT_FOUND,
 *   E_NOT_READABLE, E_IO
 */
export async function readTensor(
  reader: ByteReader,
  source: TensorSource,
  place: TensorPlace,
  at = 0,
  length = source.shards[place.shard]!.tensors.bytes[place.row]! - at,
): Promise<Buffer> {
  const { path, tensors } = source.shards[place.shard]!;
  if (tensors.boxes === null) return reader.read(path, tensors.offset[place.row]! + at, length);
  const size = dtypeByCode(tensors.dtypes[place.row]!).bits / 8;
  const parts: Buffer[] = [];
  for (const { elements, file, offset } of extentsOf(source, place, at / size, length / size)) {
    parts.push(await reader.read(source.files[file]!.path, offset, elements * size));
  }
  return Buffer.concat(parts);
}
