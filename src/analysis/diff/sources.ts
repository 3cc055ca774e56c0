import { type DtypeName, dtypeByName } from '../../base/dtype.ts';
import type { Conflict } from '../../base/errors.ts';
import { sectionOf } from '../../checkpoints/tensors/section.ts';
import type { TensorPlace } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { GramRange } from '../../merge/engine/passes/gram.ts';
import { type GramSource, sourceFrom, sourceOf } from '../../merge/engine/passes/gram-source.ts';
import { copyOfTensor, type TensorCopy } from '../../merge/plan/tensors/equal.ts';
import { arrange } from '../../model/layout/arrange.ts';
import type { Arrangement } from '../../model/layout/types.ts';
import type { CheckpointRoles } from '../../model/roles/checkpoint-roles.ts';

/** Elements of a tensor of the first checkpoint, from `from` to the next run, as another one holds them. */
export interface ElementRun {
  readonly from: number;
  readonly dtype: DtypeName;
  readonly source: GramSource;
  /** The same as bytes. */
  readonly copy: TensorCopy;
}

/** A checkpoint and what its tensors are for. */
export interface Named {
  readonly checkpoint: Checkpoint;
  readonly roles: CheckpointRoles;
}

/**
 * Finds the tensors of the first checkpoint in another one: by name, or in another layout of the same model.
 */
export class Finder {
  readonly conflicts: Conflict[] = [];
  /** Tensors found under another name, or as parts of others. */
  arranged = 0;
  readonly #first: Named;
  readonly #other: Named;
  /** By shard and row: many tensors may be parts of one. */
  readonly #sources = new Map<string, GramSource>();
  #arrangement: Arrangement | undefined;

  constructor(first: Named, other: Named) {
    this.#first = first;
    this.#other = other;
  }

  /** @returns null, and a conflict, where it is not there, or in another shape or form */
  find(shard: number, row: number): readonly ElementRun[] | null {
    const { checkpoint } = this.#other;
    const { tensors, name: file } = this.#first.checkpoint.shards[shard]!;
    const tensor = tensors.names[row]!;
    const place = checkpoint.locate(tensor, file);
    if (place === undefined) return this.#elsewhere(shard, row, tensor);
    const [shape, found] = [tensors.shapes[row]!, checkpoint.shards[place.shard]!.tensors.shapes[place.row]!];
    if (found.length !== shape.length || found.some((size, axis) => size !== shape[axis])) {
      const message = `tensor ${tensor} is [${shape.join(', ')}] in ${this.#first.checkpoint.path} and [${found.join(', ')}] in ${checkpoint.path}`;
      return this.#refuse('E_SHAPE', message, tensor);
    }
    return [this.#run(place)];
  }

  /** Tensors of the other checkpoint that nothing of the first one is found in. */
  extras(): Conflict[] {
    const { checkpoint: first } = this.#first;
    const { checkpoint } = this.#other;
    if (checkpoint.shards.every((s, i) => s.tensors === first.shards[i]?.tensors)) return [];
    return checkpoint.shards.flatMap(({ tensors, name: file }, shard) =>
      tensors.names.flatMap((tensor, row): Conflict[] => {
        if (sectionOf(tensors, row) !== 'model') return [];
        if (first.locate(tensor, file) !== undefined || this.#arranging().uses(shard, row)) return [];
        const message = `tensor ${tensor} of ${checkpoint.path} is not in ${first.path}`;
        return [{ code: 'E_TENSOR_EXTRA', message, file: checkpoint.path, tensor }];
      }),
    );
  }

  #elsewhere(shard: number, row: number, tensor: string): readonly ElementRun[] | null {
    const [a, b] = [this.#first.checkpoint.path, this.#other.checkpoint.path];
    const arranged = this.#arranging().of(shard, row);
    if (arranged === undefined) return this.#refuse('E_TENSOR_MISSING', `tensor ${tensor} of ${a} is not in ${b}`, tensor);
    if ('refused' in arranged) {
      return this.#refuse('E_LAYOUT_FORM', `tensor ${tensor} of ${a} is held by ${b} in another layout: ${arranged.refused}`, tensor);
    }
    this.arranged++;
    return arranged.pieces.map((piece) => this.#run(piece, piece.sourceFrom, piece.from));
  }

  #arranging(): Arrangement {
    const [first, other] = [this.#first, this.#other];
    this.#arrangement ??= arrange(first.checkpoint, first.roles, other.checkpoint, other.roles);
    return this.#arrangement;
  }

  /** Elements of a tensor of the other checkpoint, seen as those of one of the first from `to` on. */
  #run(place: TensorPlace, from = 0, to = 0): ElementRun {
    const { checkpoint } = this.#other;
    const key = `${place.shard}/${place.row}`;
    const whole = this.#sources.get(key) ?? sourceOf(checkpoint, place);
    this.#sources.set(key, whole);
    const { dtype } = whole;
    return { from: to, dtype, source: sourceFrom(whole, from), copy: copyFrom(copyOfTensor(checkpoint, place), from, dtype) };
  }

  #refuse(code: Conflict['code'], message: string, tensor: string): null {
    this.conflicts.push({ code, message, file: this.#other.checkpoint.path, tensor });
    return null;
  }
}

/**
 * The ranges of a tensor that every checkpoint holds in one piece, for each part of it: boxes of a tensor are
 * one.
 *
 * @param copies the runs of each checkpoint, by their beginning
 * @param each elements of a part: the tensor itself, or one expert of it
 */
export function rangesOf(copies: readonly (readonly ElementRun[])[], elements: number, each: number): GramRange[][] {
  const parts = Array.from({ length: Math.max(1, Math.round(elements / each) || 1) }, (): GramRange[] => []);
  const begins = parts.map((_, part) => part * each);
  for (const { from, elements: count, runs } of cutsOf(copies, elements, begins)) {
    const sources = runs.map(({ source, from: begin }) => sourceFrom(source, from - begin));
    parts[Math.floor(from / each) || 0]!.push({ elements: count, sources });
  }
  return parts;
}

/** The same ranges as bytes to compare. */
export function bytesOf(copies: readonly (readonly ElementRun[])[], elements: number): { elements: number; copies: TensorCopy[] }[] {
  return cutsOf(copies, elements, [0]).map(({ from, elements: count, runs }) => {
    return { elements: count, copies: runs.map(({ copy, dtype, from: begin }) => copyFrom(copy, from - begin, dtype)) };
  });
}

/**
 * Ranges of elements, and the run of each checkpoint that holds them.
 * @param begins where some begin in any case
 */
function cutsOf(
  copies: readonly (readonly ElementRun[])[],
  elements: number,
  begins: readonly number[],
): { from: number; elements: number; runs: ElementRun[] }[] {
  const cuts = [...new Set([...begins, ...copies.flatMap((runs) => runs.map(({ from }) => from))])].sort((a, b) => a - b);
  const at = copies.map(() => 0);
  return cuts.map((from, i) => {
    const runs = copies.map((of, c) => {
      while (at[c]! + 1 < of.length && of[at[c]! + 1]!.from <= from) at[c]!++;
      return of[at[c]!]!;
    });
    return { from, elements: (cuts[i + 1] ?? elements) - from, runs };
  });
}

function copyFrom(copy: TensorCopy, elements: number, dtype: DtypeName): TensorCopy {
  const before = (elements * dtypeByName(dtype)!.bits) / 8;
  return { ...copy, read: (reader, at, length) => copy.read(reader, before + at, length) };
}
