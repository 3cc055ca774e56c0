import type { DtypeName } from '../../../base/dtype.ts';
import { sectionOfName } from '../../tensors/section.ts';
import {
  type Atom,
  CallNode,
  countNode,
  type DictNode,
  globalNode,
  type KnownNodes,
  ListNode,
  type PickleNode,
  type PickleTree,
  parsePickleTree,
  standsFor,
  TupleNode,
  textNode,
  writePickleTree,
} from '../pickle/pickle-tree.ts';
import type { Global } from '../pickle/values.ts';
import { STORAGE_DTYPES, TORCH_DTYPES } from './dtypes.ts';
import { childrenOf, type TorchTemplate, tensorNodes, withPickleOf } from './template.ts';
import { tensorOf } from './tensor.ts';

/** What of a saved state is written again. */
export interface StateChanges {
  /** Flat names of the tensors that stay. */
  readonly kept: ReadonlySet<string>;
  /** What holds no tensor stays, whatever it belongs to. */
  readonly whole: boolean;
  /** Storages by their keys, and the dtype that their elements get where it is another one. */
  readonly dtypes: ReadonlyMap<string, DtypeName>;
}

/** A state that is written again. */
export interface EditedState {
  readonly pickle: Buffer;
  /** Keys of the storages that it has, in the order of their new ones: '0', '1', … */
  readonly keys: readonly string[];
}

/** What cannot be written: half a sentence about a tensor. */
export interface NotWritten {
  readonly name: string;
  readonly refused: string;
}

/**
 * The `data.pkl` of a state without some of its tensors, or with others of its dtypes, as torch would save
 * it: what belongs to an optimizer or to a trainer, and holds no tensor that stays, goes with them, unless the
 * state is to stay whole. Null where nothing changes.
 */
export function editState(template: Pick<TorchTemplate, 'path' | 'pickle'>, changes: StateChanges): EditedState | NotWritten | null {
  return withPickleOf(template.path, () => edited(parsePickleTree(template.pickle), changes));
}

/**
 * What a state that is written again has beside its tensors, by the keys that lead to it, numbers among them as
 * `*`: values, and dicts and lists of them that hold no tensor.
 */
export function valuesBeside(template: Pick<TorchTemplate, 'path' | 'pickle'>, changes: StateChanges): string[] {
  return withPickleOf(template.path, () => {
    const tree = parsePickleTree(template.pickle);
    leaveOut(tree, changes);
    const known: KnownNodes = new Map();
    const done = new Map<PickleNode, 'tensors' | 'values' | 'nothing'>();
    const holds = (node: PickleNode): 'tensors' | 'values' | 'nothing' => {
      const seen = done.get(node);
      if (seen !== undefined) return seen;
      const children = childrenOf(node);
      done.set(node, 'nothing');
      const inside = children?.map(([, child]) => holds(child));
      const found =
        inside === undefined
          ? node instanceof CallNode && tensorOf(standsFor(node, known)) !== null
            ? 'tensors'
            : 'values'
          : inside.includes('tensors')
            ? 'tensors'
            : inside.includes('values')
              ? 'values'
              : 'nothing';
      done.set(node, found);
      return found;
    };
    const names = new Set<string>();
    const entered = new Set<PickleNode>();
    const enter = (node: PickleNode, path: readonly string[]): void => {
      const of = holds(node);
      if (of === 'values' && path.length > 0) names.add(path.join('.'));
      if (of !== 'tensors' || entered.has(node)) return;
      entered.add(node);
      for (const [key, child] of childrenOf(node) ?? [])
        if (typeof key === 'string' || typeof key === 'number') enter(child, [...path, typeof key === 'number' ? '*' : key]);
    };
    enter(tree.root, []);
    return [...names];
  });
}

function edited(tree: PickleTree, changes: StateChanges): EditedState | NotWritten | null {
  const gone = leaveOut(tree, changes);
  if (gone !== null && gone !== 'changed') return gone;
  if (gone === null && changes.dtypes.size === 0) return null;
  const typed = new Set<CallNode>();
  for (const { name, node, tensor } of tensorNodes(tree)) {
    const dtype = changes.dtypes.get(tensor.storage);
    if (dtype !== undefined && storageClass(dtype) === null) return { name, refused: `cannot be written with the dtype ${dtype} here` };
    // One object may have two names.
    if (dtype === undefined || tensor.storageDtype !== null || typed.has(node)) continue;
    asTyped(node, tree);
    typed.add(node);
  }
  return written(tree, changes.dtypes);
}

/** Takes entries out of dicts. @returns null where there was nothing to take */
function leaveOut({ root }: PickleTree, { kept, whole }: StateChanges): 'changed' | NotWritten | null {
  const above = new Set<string>();
  for (const name of kept) for (let at = name.indexOf('.'); at >= 0; at = name.indexOf('.', at + 1)) above.add(name.slice(0, at));
  const seen = new Set<PickleNode>();
  const known: KnownNodes = new Map();
  let changed = false;
  let refused: NotWritten | null = null;
  const stays = (node: PickleNode, path: string, ofTrainer: boolean): boolean => {
    if (childrenOf(node) === null && tensorOf(standsFor(node, known)) !== null) return kept.has(path);
    return whole || above.has(path) || ofTrainer || sectionOfName(`${path}.`) === 'model';
  };
  const enter = (node: PickleNode, path: readonly (string | number)[], ofTrainer: boolean): void => {
    const children = childrenOf(node);
    if (children === null || seen.has(node)) return;
    seen.add(node);
    const left = new Set<PickleNode>();
    for (const [i, [key, child]] of children.entries()) {
      if (typeof key !== 'string' && typeof key !== 'number') continue;
      const own = [...path, key];
      const name = own.join('.');
      // A state of which a tensor stays is one whose other values stay, too.
      if (stays(child, name, ofTrainer)) enter(child, own, ofTrainer || sectionOfName(`${name}.`) !== 'model');
      else if (node instanceof ListNode || node instanceof TupleNode)
        refused ??= { name, refused: 'is an item of a list, which cannot be left out of it' };
      else left.add((node as DictNode | CallNode).entries[2 * i]!);
    }
    if (left.size === 0) return;
    changed = true;
    const { entries } = node as DictNode | CallNode;
    (node as DictNode | CallNode).entries = entries.filter((_, i) => !left.has(entries[i - (i % 2)]!));
  };
  enter(root, [], false);
  return refused ?? (changed ? 'changed' : null);
}

/** The class of storages of a dtype; null where there is none. */
function storageClass(dtype: DtypeName): string | null {
  return [...STORAGE_DTYPES].find(([, torch]) => TORCH_DTYPES.get(torch) === dtype)?.[0] ?? null;
}

/** Makes the description of a tensor over bytes, with a dtype of its own, one over a storage that has one. */
function asTyped(node: CallNode, tree: PickleTree): void {
  const inner = (node.args as TupleNode).items;
  const callee = standsFor(node.callee) as Global;
  if (callee.name === '_rebuild_from_type_v2') {
    inner[0] = globalNode('torch._utils', '_rebuild_tensor_v2', tree);
    (inner[2] as TupleNode).items.splice(6, 1);
  } else if (callee.name === '_rebuild_tensor_v3') {
    node.callee = globalNode('torch._utils', '_rebuild_tensor_v2', tree);
    inner.splice(6, 1);
  } else asTyped(inner[0] as CallNode, tree);
}

/** Writes a tree, its storages numbered as they come. */
function written(tree: PickleTree, dtypes: ReadonlyMap<string, DtypeName>): EditedState {
  const numbers = new Map<string, Atom>();
  const classes = new Map<string, PickleNode>();
  const persistent = (id: PickleNode): PickleNode => {
    const [kind, type, key, location, count] = (id as TupleNode).items as [PickleNode, PickleNode, Atom, PickleNode, Atom];
    const name = key.value as string;
    const number = numbers.get(name) ?? textNode(String(numbers.size), tree);
    numbers.set(name, number);
    const dtype = dtypes.get(name);
    const items = [kind, type, number, location, count];
    if (dtype !== undefined) {
      const wanted = storageClass(dtype)!;
      items[1] = classes.get(wanted) ?? globalNode('torch', wanted, tree);
      classes.set(wanted, items[1]);
      // Bytes, until now; elements of that width are what only float8 has.
      if ((standsFor(type) as Global).path === 'torch.storage.UntypedStorage') items[4] = countNode(count.value as number);
    }
    const made = new TupleNode(items);
    made.memo = true;
    return made;
  };
  const pickle = writePickleTree(tree, { persistent });
  return { pickle, keys: [...numbers.keys()] };
}
