import { type DtypeName, dtypeByCode, dtypeByName } from '../../../base/dtype.ts';
import { extentsOf } from '../../../checkpoints/tensors/extents.ts';
import { type BoxedMatrix, matrixOf, matrixOfRuns } from '../../../checkpoints/tensors/matrix.ts';
import type { TensorPlace, TensorSource } from '../../../checkpoints/tensors/types.ts';

/** Elements of a float dtype, from one on, that follow one another in a file. */
export interface RunSource {
  readonly dtype: DtypeName;
  readonly path: string;
  /** Bytes from the beginning of the file; any alignment. */
  readonly offset: number;
}

/** Elements that lie in several places, from one on. */
export interface BoxedSource {
  readonly dtype: DtypeName;
  readonly matrix: BoxedMatrix;
  /** The files of its boxes. */
  readonly files: readonly { readonly path: string }[];
  /** The element of the matrix that is the first. */
  readonly start: number;
}

/** Where the elements of one input lie. */
export type GramSource = RunSource | BoxedSource;

/** Where the elements of a tensor lie, however its checkpoint holds it. */
export function sourceOf(source: Pick<TensorSource, 'shards' | 'files'>, place: TensorPlace): GramSource {
  const { tensors } = source.shards[place.shard]!;
  const { name: dtype, bits } = dtypeByCode(tensors.dtypes[place.row]!);
  const matrix = matrixOf(tensors, place.row);
  if (matrix !== null) return { dtype, matrix, files: source.files, start: 0 };
  const runs = extentsOf(source, place);
  // Of a tensor without elements nothing is read.
  const [run = { file: 0, offset: 0 }] = runs;
  if (runs.length <= 1) return { dtype, path: source.files[run.file]!.path, offset: run.offset };
  return { dtype, matrix: matrixOfRuns(runs, bits / 8), files: source.files, start: 0 };
}

/** The same from so many elements on. */
export function sourceFrom(source: GramSource, elements: number): GramSource {
  if ('matrix' in source) return { ...source, start: source.start + elements };
  return { ...source, offset: source.offset + (elements * dtypeByName(source.dtype)!.bits) / 8 };
}

/** The files that are read of a source. */
export function pathsOf(source: GramSource): string[] {
  if (!('matrix' in source)) return [source.path];
  return [...new Set(source.matrix.boxes.map(({ file }) => file))].map((file) => source.files[file]!.path);
}
