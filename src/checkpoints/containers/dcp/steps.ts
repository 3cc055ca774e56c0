import { crc32 } from 'node:zlib';
import { storeOf } from '../../../base/store/store.ts';
import { Call, Dict, List, type Value } from '../pickle/values.ts';
import { pairs } from '../pickle/walk.ts';
import { zeroValues } from '../pickle/zero-values.ts';
import { readArchive } from '../torch/archive.ts';
import { serializationId } from '../torch/serialization-id.ts';
import { tensorOf } from '../torch/tensor.ts';
import { readZip } from '../zip/read-zip.ts';
import { Region } from '../zip/region.ts';
import { layOutArchive } from '../zip/write-zip.ts';

/**
 * What Megatron-core keeps of all ranks, as an item or as a file; and items of an optimizer's that are no
 * tensors.
 */
const HOLDS_STEPS = /^(?:common_state\/|common\.pt$|(?:chained_\d+\.)?optim(?:izer)?\.)/;
/** Far beyond any of these. */
const MOST_BYTES = 2 ** 28;
const STEP = 'step';

/** Whether an object, by its name, may say how many steps an optimizer took. */
export function mayHoldSteps(name: string): boolean {
  return HOLDS_STEPS.test(name);
}

/**
 * An archive of torch.save that says that an optimizer took no steps, and otherwise what another one says:
 * numbers and tensors of one element that dicts have under `step` are 0. Null where there are none.
 * @param name of the item: one that ends in `.step` is the number itself
 * @throws MergeError what reading throws
 */
export async function withoutSteps(
  { path, offset, length }: { readonly path: string; readonly offset: number; readonly length: number },
  name: string,
): Promise<Uint8Array | null> {
  if (length > MOST_BYTES) return null;
  const file = await storeOf(path).open(path);
  try {
    const region = new Region(file, name, offset, length);
    const { root } = await readArchive(region, () => true);
    const entries = await readZip(region);
    const contents: Buffer[] = await Promise.all(entries.map(async (entry) => Buffer.from(await region.bytes(entry.offset, entry.size))));
    const archive = entries[0]!.name.split('/')[0]!;
    const at = (own: string): number => entries.findIndex((entry) => entry.name === `${archive}/${own}`);
    const pickle = at('data.pkl');
    const { bytes, count } = zeroValues(contents[pickle]!, name.endsWith(`.${STEP}`) ? null : STEP);
    contents[pickle] = bytes;
    let changed = count;
    for (const storage of stepStorages(root)) {
      contents[at(`data/${storage}`)]!.fill(0);
      changed++;
    }
    if (changed === 0) return null;
    const id = at('.data/serialization_id');
    if (id >= 0) {
      const before = contents.slice(0, id).flatMap((content) => (content.length === 0 ? [] : [crc32(content)]));
      contents[id] = Buffer.from(serializationId(contents[id]!.toString('latin1'), before), 'latin1');
    }
    const said = at('.storage_alignment');
    const alignment = said < 0 ? 64 : Number(contents[said]!.toString('latin1')) || 64;
    const layout = layOutArchive(
      entries.map((entry, i) => ({ name: entry.name, data: contents[i]! })),
      alignment,
    );
    const made = Buffer.alloc(layout.size);
    for (const piece of layout.pieces(contents.map((content) => crc32(content)))) made.set(piece.bytes, piece.offset);
    return made;
  } finally {
    await file.close();
  }
}

function partsOf(value: Value): readonly (readonly Value[])[] {
  if (value instanceof List) return [value.items];
  if (value instanceof Call) return [[value.state ?? null], value.args, value.added ?? []];
  return Array.isArray(value) ? [value as readonly Value[]] : [];
}

/** Storages of the tensors of one element that dicts have under `step`. */
function stepStorages(root: Value): Set<string> {
  const found = new Set<string>();
  const seen = new Set<Value>();
  const left: Value[] = [root];
  while (left.length > 0) {
    const value = left.pop()!;
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array || seen.has(value)) continue;
    seen.add(value);
    if (value instanceof Dict) {
      for (const [key, of] of pairs(value)) {
        const tensor = key === STEP ? tensorOf(of) : null;
        if (tensor !== null && !('refused' in tensor) && tensor.numel <= 8) found.add(tensor.storage);
        left.push(of);
      }
      continue;
    }
    for (const part of partsOf(value)) for (const item of part) left.push(item);
  }
  return found;
}
