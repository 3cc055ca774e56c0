import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dictOf, number, op, pickle, tensor, torchFiles, tupleOf, zipOf } from './torch-files.ts';

/** Checkpoints of torch.distributed made by hand, so that each field of their metadata can be wrong. */

/** A part of a tensor, and the item that holds it. */
export interface Part {
  readonly start: readonly number[];
  readonly size: readonly number[];
  readonly file?: string;
  readonly offset?: number;
  readonly length?: number;
  /** What the item says instead of what the metadata does. */
  readonly stored?: {
    readonly shape?: readonly number[];
    readonly stride?: readonly number[];
    readonly class?: string;
    readonly bytes?: Uint8Array;
    readonly behind?: number;
  };
}

export interface DcpTensor {
  readonly dtype?: string;
  readonly shape: readonly number[];
  readonly parts: readonly Part[];
}

export interface DcpFields {
  readonly tensors: Readonly<Record<string, DcpTensor>>;
  /** Changes what is pickled, and what of it. */
  readonly root?: readonly [module: string, name: string];
  readonly state?: (fields: Record<string, Uint8Array>) => Record<string, Uint8Array>;
  /** More fields of where each item lies. */
  readonly info?: Readonly<Record<string, Uint8Array>>;
  /** Places of items that are left out of the metadata, or given twice, by tensor. */
  readonly places?: Readonly<Record<string, 0 | 2>>;
}

const METADATA = 'torch.distributed.checkpoint.metadata';
export const sizeOf = (values: readonly number[]) =>
  Buffer.concat([op.global('torch', 'Size'), tupleOf(tupleOf(...values.map(number))), op.reduce]);
export const object = (module: string, name: string, fields: Readonly<Record<string, Uint8Array>>) =>
  Buffer.concat([op.global(module, name), op.emptyTuple, op.newObject, dictOf(fields), op.build]);
const CLASSES: Readonly<Record<string, string>> = { float32: 'FloatStorage', bfloat16: 'BFloat16Storage' };
const WIDTHS: Readonly<Record<string, number>> = { BFloat16Storage: 2, HalfStorage: 2, LongStorage: 8 };

/** Values of float32 by tensor, in the order of elements: 0.5, 1.5 … where nothing else is said. */
export function writeDcp(
  folder: string,
  { tensors, root = [METADATA, 'Metadata'], state = (own) => own, info = {}, places = {} }: DcpFields,
): void {
  mkdirSync(folder, { recursive: true });
  const files = new Map<string, Buffer[]>();
  const described: Record<string, Uint8Array> = {};
  const stored: Buffer[] = [];
  for (const [name, { dtype = 'float32', shape, parts }] of Object.entries(tensors)) {
    const chunks = parts.map(({ start, size: length }) =>
      object(METADATA, 'ChunkStorageMetadata', { offsets: sizeOf(start), sizes: sizeOf(length) }),
    );
    const properties = Buffer.concat([
      op.global(METADATA, 'TensorProperties'),
      op.emptyTuple,
      op.newObject,
      tupleOf(op.global('torch', dtype), op.none, op.no, op.none, op.no),
      op.build,
    ]);
    described[name] = object(METADATA, 'TensorStorageMetadata', {
      properties,
      size: sizeOf(shape),
      chunks: Buffer.concat([op.emptyList, op.mark, ...chunks, Buffer.from('e')]),
    });
    for (const part of parts) {
      const file = part.file ?? '__0_0.distcp';
      const own = files.get(file) ?? [];
      files.set(file, own);
      const item = itemOf(part, dtype);
      const at = own.reduce((sum, bytes) => sum + bytes.length, 0);
      own.push(item);
      const index = object(METADATA, 'MetadataIndex', { fqn: op.text(name), offset: sizeOf(part.start), index: op.none });
      const where = object('torch.distributed.checkpoint.filesystem', '_StorageInfo', {
        relative_path: op.text(file),
        offset: number(part.offset ?? at),
        length: number(part.length ?? item.length),
        ...info,
      });
      for (let i = 0; i < (places[name] ?? 1); i++) stored.push(index, where);
    }
  }
  const fields = state({
    state_dict_metadata: dictOf(described),
    storage_data: Buffer.concat([op.emptyDict, op.mark, ...stored, op.setItems]),
    planner_data: op.none,
  });
  writeFileSync(join(folder, '.metadata'), pickle(object(...root, fields)));
  for (const [name, items] of files) {
    if (/[/\\]/.test(name) || name === '' || name === '..') continue;
    writeFileSync(join(folder, name), Buffer.concat(items));
  }
}

function itemOf({ size: length, stored = {} }: Part, dtype: string): Buffer {
  const shape = stored.shape ?? length;
  const elements = shape.reduce((product, count) => product * count, 1);
  const kind = stored.class ?? CLASSES[dtype] ?? 'FloatStorage';
  const width = WIDTHS[kind] ?? 4;
  const stride = stored.stride ?? shape.map((_, axis) => shape.slice(axis + 1).reduce((product, count) => product * count, 1));
  const bytes = stored.bytes ?? randomBytes(elements * width);
  const archive = zipOf(torchFiles(pickle(tensor({ class: kind, numel: bytes.length / width, shape, stride })), { 0: bytes }));
  return Buffer.concat([archive, Buffer.alloc(stored.behind ?? 0)]);
}
