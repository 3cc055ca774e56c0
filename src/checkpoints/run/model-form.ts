import { type DtypeName, dtypeByCode } from '../../base/dtype.ts';
import { SECTIONS } from '../tensors/section.ts';
import type { TensorTable } from '../tensors/types.ts';
import type { Checkpoint } from '../types.ts';

/** Which tensors a model has, and of which shapes: equal ones within a run are one object. */
export interface ModelNames {
  /** Name and shape of each, as one text. */
  readonly tensors: ReadonlySet<string>;
}

/** What of a checkpoint is the model, in so far as those of one training are alike. */
export interface ModelForm {
  readonly names: ModelNames;
  /** Equal where each tensor has the same dtype. */
  readonly dtypeDigest: string;
  /** Dtypes of the model's tensors, the one with the most bytes first. */
  readonly dtypes: readonly DtypeName[];
  /** Bytes of the model's tensors. */
  readonly bytes: number;
  /** Whether the container tells the model from what else a trainer saves. */
  readonly told: boolean;
  /** Tensors of the optimizer and of the trainer beside the model. */
  readonly others: number;
}

/** Of one table, sums over its rows, so that neither order nor sharding counts. */
interface TableForm {
  readonly names: readonly [number, number];
  readonly dtypes: readonly [number, number];
  readonly bytes: ReadonlyMap<DtypeName, number>;
  readonly count: number;
  readonly others: number;
}

/** The forms of a run's checkpoints: what two of them say alike is kept once. */
export class ModelForms {
  readonly #names = new Map<string, ModelNames>();
  /** The steps of a run share tables. */
  readonly #tables = new WeakMap<TensorTable, TableForm>();

  of({ shards, namesPerFile }: Checkpoint): ModelForm {
    const [names, dtypes] = [
      [0, 0],
      [0, 0],
    ];
    const bytes = new Map<DtypeName, number>();
    let [count, others] = [0, 0];
    for (const { name, tensors } of shards) {
      const form = this.#tableForm(tensors, namesPerFile ? name : '');
      count += form.count;
      others += form.others;
      for (const i of [0, 1]) {
        names[i] = (names[i]! + form.names[i]!) | 0;
        dtypes[i] = (dtypes[i]! + form.dtypes[i]!) | 0;
      }
      for (const [dtype, size] of form.bytes) bytes.set(dtype, (bytes.get(dtype) ?? 0) + size);
    }
    const key = `${count} ${names.join()}`;
    let known = this.#names.get(key);
    if (known === undefined) {
      known = { tensors: new Set(shards.flatMap(({ name, tensors }) => described(tensors, namesPerFile ? name : ''))) };
      this.#names.set(key, known);
    }
    return {
      names: known,
      dtypeDigest: dtypes.join(),
      dtypes: [...bytes].sort((a, b) => b[1] - a[1]).map(([name]) => name),
      bytes: [...bytes.values()].reduce((sum, size) => sum + size, 0),
      told: shards.some(({ tensors }) => tensors.sections !== null),
      others,
    };
  }

  #tableForm(table: TensorTable, file: string): TableForm {
    const known = file === '' ? this.#tables.get(table) : undefined;
    if (known !== undefined) return known;
    const [names, dtypes] = [
      [0, 0],
      [0, 0],
    ];
    const bytes = new Map<DtypeName, number>();
    let count = 0;
    for (let row = 0; row < table.count; row++) {
      if (!isModel(table, row)) continue;
      count++;
      const dtype = dtypeByCode(table.dtypes[row]!).name;
      bytes.set(dtype, (bytes.get(dtype) ?? 0) + table.bytes[row]!);
      const text = textOf(table, row, file);
      for (const i of [0, 1]) {
        const hash = hashOf(text, i);
        names[i] = (names[i]! + hash) | 0;
        dtypes[i] = (dtypes[i]! + Math.imul(hash, 2 * table.dtypes[row]! + 3)) | 0;
      }
    }
    const form = { names, dtypes, bytes, count, others: table.count - count } as unknown as TableForm;
    if (file === '') this.#tables.set(table, form);
    return form;
  }
}

/** Share of the larger one's tensors that two models have in common, by name and shape. */
export function likeness(a: ModelNames, b: ModelNames): number {
  let common = 0;
  for (const tensor of a.tensors) if (b.tensors.has(tensor)) common++;
  return common / Math.max(a.tensors.size, b.tensors.size, 1);
}

function isModel({ sections }: TensorTable, row: number): boolean {
  return sections === null || SECTIONS[sections[row]!] === 'model';
}

function textOf(table: TensorTable, row: number, file: string): string {
  return `${file} ${table.names[row]!} ${table.shapes[row]!.join()}`;
}

function described(table: TensorTable, file: string): string[] {
  return Array.from({ length: table.count }, (_, row) => row)
    .filter((row) => isModel(table, row))
    .map((row) => textOf(table, row, file));
}

/** FNV-1a with two beginnings. */
function hashOf(text: string, seed: number): number {
  let hash = seed === 0 ? 0x811c9dc5 : 0x1b873593;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}
