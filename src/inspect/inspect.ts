import { openCheckpoint } from '../checkpoint/open.ts';
import { type DtypeName, dtypeByCode } from '../dtype.ts';
import type { Warning } from '../errors.ts';

export interface DtypeTotals {
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
}

export interface InspectedTensor {
  readonly name: string;
  readonly dtype: DtypeName;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Tensor file, by its name inside the checkpoint. */
  readonly file: string;
  /** What the tensor is for; null where unknown. */
  readonly role: string | null;
  readonly layer: number | null;
  readonly expert: number | null;
  readonly mtp: boolean;
}

/** The JSON document of `inspect`. */
export interface Inspection {
  readonly schema: 'ckpt-merge/inspect';
  readonly version: 1;
  readonly path: string;
  readonly summary: {
    readonly kind: 'folder' | 'file';
    readonly files: readonly { readonly name: string; readonly bytes: number; readonly tensors: number }[];
    readonly tensors: number;
    /** Elements of all tensors. */
    readonly parameters: number;
    /** Bytes of tensor data. */
    readonly bytes: number;
    readonly step: number | null;
    readonly tokens: number | null;
    readonly dtypes: Readonly<Partial<Record<DtypeName, DtypeTotals>>>;
    /** `__metadata__` of the first tensor file. */
    readonly metadata: Readonly<Record<string, string>>;
  };
  readonly tensors: readonly InspectedTensor[];
  readonly warnings: readonly Warning[];
}

/**
 * What a checkpoint holds, from its headers alone.
 *
 * @param path folder in the Hugging Face layout, or a .safetensors file
 * @throws MergeError with the code of what is wrong with the checkpoint, naming file and tensor
 */
export async function inspect(path: string): Promise<Inspection> {
  const checkpoint = await openCheckpoint(path);
  const tensors: InspectedTensor[] = [];
  const dtypes: Partial<Record<DtypeName, DtypeTotals>> = {};
  let parameters = 0;
  for (const { name: file, header } of checkpoint.shards) {
    const table = header.tensors;
    for (let row = 0; row < table.count; row++) {
      const dtype = dtypeByCode(table.dtypes[row]!);
      const bytes = table.end[row]! - table.begin[row]!;
      const elements = (bytes * 8) / dtype.bits;
      parameters += elements;
      const totals = dtypes[dtype.name] ?? { tensors: 0, parameters: 0, bytes: 0 };
      dtypes[dtype.name] = { tensors: totals.tensors + 1, parameters: totals.parameters + elements, bytes: totals.bytes + bytes };
      const unknown = { role: null, layer: null, expert: null, mtp: false };
      tensors.push({ name: table.names[row]!, dtype: dtype.name, shape: table.shapes[row]!, bytes, file, ...unknown });
    }
  }
  return {
    schema: 'ckpt-merge/inspect',
    version: 1,
    path,
    summary: {
      kind: checkpoint.kind,
      files: checkpoint.shards.map((s) => ({ name: s.name, bytes: s.stat.size, tensors: s.header.tensors.count })),
      tensors: checkpoint.tensorCount,
      parameters,
      bytes: checkpoint.bytes,
      step: checkpoint.step,
      tokens: checkpoint.tokens,
      dtypes,
      // fromEntries defines own properties, so a key named __proto__ stays a key.
      metadata: Object.fromEntries(checkpoint.shards[0]!.header.metadata ?? []),
    },
    tensors,
    warnings: checkpoint.warnings,
  };
}
