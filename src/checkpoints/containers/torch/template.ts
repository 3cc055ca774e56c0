import { basename } from 'node:path';
import { MergeError } from '../../../base/errors.ts';
import { storeOf } from '../../../base/store/store.ts';
import type { TensorFile } from '../../tensors/types.ts';
import {
  Atom,
  CallNode,
  isDict,
  type KnownNodes,
  ListNode,
  type PickleNode,
  type PickleTree,
  parsePickleTree,
  standsFor,
  TupleNode,
} from '../pickle/pickle-tree.ts';
import { readZip, type ZipEntry } from '../zip/read-zip.ts';
import { Region } from '../zip/region.ts';
import { flatName } from './flat-name.ts';
import { type TorchTensor, tensorOf } from './tensor.ts';
import { rootOfFile, type StateRoot } from './zero-state.ts';

/** A file of an archive that holds no values: a few bytes, but for `data.pkl`. */
interface SmallFile {
  /** Without the archive's root. */
  readonly name: string;
  readonly bytes: Buffer;
}

/** A storage of the archive. */
export interface TorchStorage {
  readonly key: string;
  readonly entry: ZipEntry;
}

/** A file of torch.save, in the form of which another one can be written. */
export interface TorchTemplate {
  readonly path: string;
  /** What the archive calls its folder. */
  readonly root: string;
  /** Of the bytes of each file of the archive. */
  readonly alignment: number;
  /** In their order. */
  readonly files: readonly (SmallFile | TorchStorage)[];
  readonly pickle: Buffer;
  /** Under which of its names the tensors of the checkpoint stand; others lie beside those. */
  readonly names: StateRoot;
  /** Every tensor by its flat name in the file, as it is described. */
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Whether it is a dict of tensors and nothing else, as `state_dict()` of a model gives. */
  readonly isStateDict: boolean;
}

/** Far more than any file of the archive but `data.pkl` and the storages has. */
const MAX_SMALL = 2 ** 20;

/**
 * Reads the form of a file of torch.save that was opened as a checkpoint: all but its values.
 * @param isPart whether it is one of several files of DeepSpeed's
 * @throws MergeError E_TORCH_FILE for an archive with files that torch does not write; what reading throws
 */
export async function readTorchTemplate(shown: TensorFile, isPart = false): Promise<TorchTemplate> {
  const { path } = shown;
  const file = await storeOf(path).open(path);
  try {
    const region = new Region(file, basename(path));
    const entries = await readZip(region);
    const pickleEntry = entries.find(({ name }) => /^[^/]+\/data\.pkl$/.test(name))!;
    const root = pickleEntry.name.slice(0, -'/data.pkl'.length);
    const files: (SmallFile | TorchStorage)[] = [];
    for (const entry of entries) {
      const name = entry.name.slice(root.length + 1);
      const key = /^data\/(.+)$/.exec(name)?.[1];
      if (key !== undefined) files.push({ key, entry });
      else if (name !== 'data.pkl' && entry.size > MAX_SMALL) {
        throw new MergeError('E_TORCH_FILE', `${path}: holds ${entry.name}, which torch.save does not write`, { details: { file: path } });
      } else files.push({ name, bytes: Buffer.from(await region.bytes(entry.offset, entry.size)) });
    }
    const small = new Map(files.flatMap((one) => ('name' in one ? [[one.name, one.bytes] as const] : [])));
    const said = Number(small.get('.storage_alignment')?.toString('latin1') ?? 64);
    const pickle = small.get('data.pkl')!;
    return {
      path,
      root,
      alignment: Number.isInteger(said) && said > 0 && said <= 2 ** 16 ? said : 64,
      files,
      pickle,
      names: isPart ? rootOfFile(basename(path)) : { inFile: '', inTable: '' },
      ...withPickleOf(path, () => {
        const tree = parsePickleTree(pickle);
        const tensors = new Map([...tensorNodes(tree)].map(({ name, tensor }) => [name, tensor]));
        return { tensors, isStateDict: isDict(tree.root) && childrenOf(tree.root)!.every(([key]) => tensors.has(String(key))) };
      }),
    };
  } finally {
    await file.close();
  }
}

/**
 * Takes the pickle of a file apart, or puts it together.
 * @throws MergeError E_TORCH_FILE where it is nested as deep as no pickler of Python goes
 */
export function withPickleOf<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const message = `${path}: its pickle has a form that torch.save does not write (${error.message})`;
    throw new MergeError('E_TORCH_FILE', message, { details: { file: path }, cause: error });
  }
}

/** Keys and values of a node that has some, as `leavesOf` names them; null for what is one thing. */
export function childrenOf(node: PickleNode): (readonly [key: unknown, child: PickleNode])[] | null {
  if (isDict(node)) {
    const { entries } = node;
    return Array.from({ length: entries.length / 2 }, (_, i) => [keyOf(entries[2 * i]!), entries[2 * i + 1]!]);
  }
  if (node instanceof ListNode || node instanceof TupleNode) return node.items.map((item, i) => [i, item]);
  return null;
}

function keyOf(node: PickleNode): unknown {
  return node instanceof Atom ? node.value : undefined;
}

/** Every tensor of a tree with its flat name: the names that `leavesOf` gives, which bounds how many. */
export function* tensorNodes({ root }: Pick<PickleTree, 'root'>): Generator<{ name: string; node: CallNode; tensor: TorchTensor }> {
  const known: KnownNodes = new Map();
  /** What holds no tensors, and is not entered again. */
  const plain = new Set<PickleNode>();
  let met = 0;
  function* enter(node: PickleNode, path: readonly (string | number)[]): Generator<{ name: string; node: CallNode; tensor: TorchTensor }> {
    if (plain.has(node)) return;
    const children = childrenOf(node);
    if (children === null) {
      const tensor = node instanceof CallNode ? tensorOf(standsFor(node, known)) : null;
      if (tensor === null || 'refused' in tensor) return;
      met++;
      yield { name: flatName(path), node: node as CallNode, tensor };
      return;
    }
    const before = met;
    for (const [key, child] of children) {
      if (typeof key === 'string' || typeof key === 'number') yield* enter(child, [...path, key]);
    }
    if (met === before) plain.add(node);
  }
  yield* enter(root, []);
}

/**
 * The storages of an archive in the order in which they lie: its own, or those of a state that is written
 * again.
 * @param keys of the storages that stay, in the order of their new ones; null where all do, under their own
 */
export function storagesInOrder({ files }: Pick<TorchTemplate, 'files'>, keys: readonly string[] | null): TorchStorage[] {
  const own = files.flatMap((file) => ('key' in file ? [file] : []));
  if (keys === null) return own;
  const by = new Map(own.map((storage) => [storage.key, storage]));
  const numbered = keys
    .map((key, i) => ({ storage: by.get(key), number: i, text: String(i) }))
    .filter(({ storage }) => storage !== undefined);
  // By number since torch 2.7, by text before: 0, 1, 10, 11, 2.
  const byText = own.some(({ key }, i) => i > 0 && Number(key) < Number(own[i - 1]!.key));
  numbered.sort((a, b) => (byText ? (a.text < b.text ? -1 : 1) : a.number - b.number));
  return numbered.map(({ storage }) => storage!);
}
