import { createHash } from 'node:crypto';
import { dtypeByCode } from '../../../base/dtype.ts';
import { encodeEntries, layOut } from '../../../checkpoints/containers/safetensors/encode-header.ts';
import { encodeIndex } from '../../../checkpoints/containers/safetensors/encode-index.ts';
import { dataBytes } from '../../../checkpoints/tensors/table.ts';
import type { TensorTable } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { isAboutFiles } from './still-true.ts';

/** The tensors of a layout's files. Outputs with the same tables share what is made of them. */
export type Tables = readonly TensorTable[];

/** What the header of a tensor file says of its tensors in given dtypes. */
export interface Entries {
  readonly encoded: Uint8Array;
  /** SHA-256 of `encoded`. */
  readonly digest: Uint8Array;
  /** [rows] dtype codes, and bytes before each tensor in the data. */
  readonly dtypes: Uint8Array;
  readonly begin: Float64Array;
  readonly dataBytes: number;
  /** Tensors by what happened to their dtype, as `BF16 to F32`. */
  readonly dtypeChanges: ReadonlyMap<string, number>;
}

/**
 * The long parts of headers and indexes, made and kept once for all outputs that have them in common: at
 * 92,000 tensors each copy would take ten megabytes and a tenth of a second.
 */
export class SharedText {
  readonly #entries = new Map<TensorTable, Map<string, Entries>>();
  readonly #indexes = new Map<Tables, Map<string, Uint8Array>>();

  /** @param dtypes [rows] codes */
  entries(table: TensorTable, dtypes: Uint8Array): Entries {
    return remembered(
      remembered(this.#entries, table, () => new Map()),
      Buffer.from(dtypes).toString('latin1'),
      () => makeEntries(table, dtypes),
    );
  }

  /**
   * The layout's index with the sizes of an output: `total_size` always, `total_parameters` where the source
   * has it, and of everything else what may still be true.
   */
  index({ indexMetadata, shards }: IndexedShards, tables: Tables, { dataBytes, parameters }: IndexSizes): Uint8Array {
    const metadata = new Map([...(indexMetadata ?? [])].filter(([key, value]) => !isAboutFiles(key, value)));
    metadata.set('total_size', dataBytes);
    if (indexMetadata?.has('total_parameters')) metadata.set('total_parameters', parameters);
    const names = shards.map((shard) => shard.name);
    // With a map of no tensors, as text: metadata may hold maps, which JSON.stringify leaves out.
    const key = `${JSON.stringify(names)}${Buffer.from(encodeIndex({ metadata, weightMap: [] }))}`;
    return remembered(
      remembered(this.#indexes, tables, () => new Map()),
      key,
      () => {
        const weightMap = tables.flatMap((table, s) => table.names.map((name): [string, string] => [name, names[s]!]));
        return encodeIndex({ metadata, weightMap });
      },
    );
  }
}

/** What an index is made from. */
type IndexedShards = Pick<Checkpoint, 'indexMetadata'> & { readonly shards: readonly { readonly name: string }[] };

/** What an index says of its tensors. */
export interface IndexSizes {
  readonly dataBytes: number;
  readonly parameters: number;
}

function remembered<K, V>(known: Map<K, V>, key: K, make: () => V): V {
  let value = known.get(key);
  if (value === undefined) {
    value = make();
    known.set(key, value);
  }
  return value;
}

/** Tensors by what became of their dtype, as `BF16 to F32`. @param dtypes [rows] codes */
export function dtypeChangesOf(table: TensorTable, dtypes: Uint8Array): Map<string, number> {
  const dtypeChanges = new Map<string, number>();
  for (const [row, code] of dtypes.entries()) {
    const own = table.dtypes[row]!;
    if (own === code) continue;
    const change = `${dtypeByCode(own).name} to ${dtypeByCode(code).name}`;
    dtypeChanges.set(change, (dtypeChanges.get(change) ?? 0) + 1);
  }
  return dtypeChanges;
}

function makeEntries(table: TensorTable, dtypes: Uint8Array): Entries {
  const { names, shapes } = table;
  const laidOut = layOut({ names, shapes, dtypes });
  const encoded = encodeEntries(laidOut);
  const digest = createHash('sha256').update(encoded).digest();
  return {
    encoded,
    digest,
    dtypes,
    begin: laidOut.offset,
    dataBytes: dataBytes([{ tensors: laidOut }]),
    dtypeChanges: dtypeChangesOf(table, dtypes),
  };
}
