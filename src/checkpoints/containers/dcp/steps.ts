import { crc32 } from 'node:zlib';
import { storeOf } from '../../../base/store/store.ts';
import { sectionOfName } from '../../tensors/section.ts';
import {
  Atom,
  CallNode,
  DictNode,
  type KnownNodes,
  ListNode,
  type PickleNode,
  parsePickleTree,
  SetNode,
  standsFor,
  TupleNode,
} from '../pickle/pickle-tree.ts';
import { placeInStorage, readArchive } from '../torch/archive.ts';
import { serializationId } from '../torch/serialization-id.ts';
import { withPickleOf } from '../torch/template.ts';
import { type TorchTensor, tensorOf } from '../torch/tensor.ts';
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
/** Opcodes of numbers, and the bytes in front of the number itself. */
const NUMBERS: Readonly<Record<number, number>> = { 75: 1, 77: 1, 74: 1, 71: 1, 138: 2 };

/** Whether an object, by its name, may say how many steps an optimizer took. */
export function mayHoldSteps(name: string): boolean {
  return HOLDS_STEPS.test(name);
}

/**
 * An archive of torch.save that says that an optimizer took no steps, and otherwise what another one says:
 * numbers and tensors of one element that its state has under the key `step` are 0. Null where there are
 * none.
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
    const { storages } = await readArchive(region, () => true);
    const entries = await readZip(region);
    const contents: Buffer[] = await Promise.all(entries.map(async (entry) => Buffer.from(await region.bytes(entry.offset, entry.size))));
    const archive = entries[0]!.name.split('/')[0]!;
    const at = (own: string): number => entries.findIndex((entry) => entry.name === `${archive}/${own}`);
    const pickle = at('data.pkl');
    const { bytes, count, tensors } = withPickleOf(path, () => zeroSteps(contents[pickle]!, name));
    contents[pickle] = bytes;
    let changed = count;
    for (const tensor of tensors) {
      const placed = placeInStorage(tensor, storages);
      if ('refused' in placed) continue;
      const from = tensor.offset * (placed.dtype.bits / 8);
      contents[at(`data/${tensor.storage}`)]!.fill(0, from, from + placed.dtype.bits / 8);
      changed++;
    }
    if (changed === 0) return null;
    const id = at('.data/serialization_id');
    if (id >= 0) {
      const before = contents.slice(0, id).flatMap((content) => (content.length === 0 ? [] : [crc32(content)]));
      contents[id] = serializationId(contents[id]!, before);
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

/**
 * A pickle in which the numbers of steps are 0 that an optimizer took, of as many bytes, and with nothing else
 * changed, not even what is a float and what is none; and the tensors that are such numbers.
 * @param name of the object: one that ends in `.step` is the number itself, and in others steps are what lies
 *   under that key in what is the optimizer's
 * @returns how many numbers there were, of which some may have been 0
 */
export function zeroSteps(
  pickle: Buffer,
  name: string,
): { readonly bytes: Buffer; readonly count: number; readonly tensors: readonly TorchTensor[] } {
  const bytes = Buffer.from(pickle);
  const tensors: TorchTensor[] = [];
  const known: KnownNodes = new Map();
  let count = 0;
  const zero = (node: PickleNode): void => {
    if (node instanceof Atom) {
      const before = NUMBERS[node.bytes[0]!];
      // What the pickle speaks of again would be 0 there, too.
      if (before === undefined || node.memo) return;
      const at = node.bytes.byteOffset - pickle.byteOffset;
      bytes.fill(0, at + before, at + node.bytes.length);
      count++;
      return;
    }
    const tensor = tensorOf(standsFor(node, known));
    if (tensor !== null && !('refused' in tensor) && tensor.shape.every((size) => size === 1)) tensors.push(tensor);
  };
  const { root } = parsePickleTree(pickle);
  if (name.endsWith(`.${STEP}`)) zero(root);
  // By whether it is of the optimizer's: one object may be that, too.
  const seen = [new Set<PickleNode>(), new Set<PickleNode>()] as const;
  const left: [node: PickleNode, ofOptimizer: boolean][] = [[root, isOfOptimizer(name)]];
  while (left.length > 0) {
    const [node, ofOptimizer] = left.pop()!;
    if (seen[Number(ofOptimizer)]!.has(node)) continue;
    seen[Number(ofOptimizer)]!.add(node);
    const enter = (nodes: readonly PickleNode[]): void => {
      for (const one of nodes) left.push([one, ofOptimizer]);
    };
    if (node instanceof DictNode || node instanceof CallNode) {
      for (let i = 0; i < node.entries.length; i += 2) {
        const [key, value] = [node.entries[i] as PickleNode, node.entries[i + 1]!];
        const text = key instanceof Atom ? key.value : null;
        if (ofOptimizer && text === STEP) zero(value);
        left.push([value, ofOptimizer || (typeof text === 'string' && isOfOptimizer(text))]);
      }
      if (node.state !== null) enter([node.state]);
      if (node instanceof CallNode) enter([node.args, ...node.items]);
    } else if (node instanceof ListNode || node instanceof TupleNode || node instanceof SetNode) enter(node.items);
  }
  return { bytes, count, tensors };
}

function isOfOptimizer(key: string): boolean {
  return key === 'param_groups' || sectionOfName(`${key}.`) === 'optimizer';
}
