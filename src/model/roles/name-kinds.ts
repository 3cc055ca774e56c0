import type { Shard } from '../../checkpoints/tensors/types.ts';
import { codesOf, NumberScan } from './number-scan.ts';

/** Beyond these names are hardly of kinds, and are looked at one by one. */
const MOST_KINDS = 4096;
/** Longer names are no model's, see `classifier`. */
const MAX_NAME = 512;

interface Kind {
  readonly literals: readonly Uint16Array[];
  /** The kind of the name that came after one of these. */
  next: Kind | undefined;
}

/** The first name of each kind, by the list of names: the steps of a run share these. */
const known = new WeakMap<readonly string[], readonly string[]>();

/**
 * Names of a checkpoint's tensors without those that differ from an earlier one of their file in nothing but
 * numbers between dots. Of half a million names they are some hundreds: enough to ask whether any, or all, are
 * called in a way in which these numbers play no part.
 */
export function kindsOfNames({ shards }: { readonly shards: readonly Pick<Shard, 'tensors'>[] }): string[] {
  return shards.flatMap(({ tensors: { names } }) => {
    let kinds = known.get(names);
    if (kinds === undefined) {
      kinds = firstOfEach(names);
      known.set(names, kinds);
    }
    return kinds;
  });
}

function firstOfEach(names: readonly string[]): readonly string[] {
  const firsts: string[] = [];
  const kinds = new Map<string, Kind>();
  const scan = new NumberScan();
  let last: Kind | undefined;
  for (const name of names) {
    // Kinds follow each other in the same order expert for expert and layer for layer.
    if (last?.next !== undefined && scan.matches(name, last.next.literals)) {
      last = last.next;
      continue;
    }
    if (name.length > MAX_NAME || firsts.length > MOST_KINDS) return names;
    scan.read(name, 0);
    const literals = scan.literals(name);
    const key = literals.join('\0');
    let kind = kinds.get(key);
    if (kind === undefined) {
      kind = { literals: literals.map(codesOf), next: undefined };
      kinds.set(key, kind);
      firsts.push(name);
    }
    if (last !== undefined) last.next = kind;
    last = kind;
  }
  return firsts;
}
