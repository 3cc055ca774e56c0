import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DcpMetadata, readMetadata } from '../../src/checkpoints/containers/dcp/read-metadata.ts';

/** Every part of every tensor, and every blob: where it begins, and the bytes of its item. */
export function itemsOf(home: string): Map<string, Buffer> {
  const metadata: DcpMetadata = readMetadata(readFileSync(join(home, '.metadata')), '.metadata');
  const files = metadata.files.map((name) => readFileSync(join(home, name)));
  const bytes = ({ file, offset, length }: DcpMetadata['items'], i: number): Buffer =>
    files[file[i]!]!.subarray(offset[i]!, offset[i]! + length[i]!);
  const items = new Map<string, Buffer>();
  for (const [row, name] of metadata.names.entries()) {
    const rank = metadata.shapes[row]!.length;
    for (let box = metadata.first[row]!; box < metadata.first[row + 1]!; box++) {
      const at = metadata.boundsAt[row]! + (box - metadata.first[row]!) * 2 * rank;
      items.set(`${name} ${metadata.bounds.slice(at, at + 2 * rank).join()}`, bytes(metadata.items, box));
    }
  }
  for (const [i, name] of metadata.blobs.names.entries()) items.set(name, bytes(metadata.blobs.items, i));
  return items;
}
