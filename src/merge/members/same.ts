import type { Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { ByteReader } from '../../base/store/byte-reader.ts';
import { storeOf } from '../../base/store/store.ts';
import type { Stat } from '../../base/store/types.ts';
import type { TensorTable } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { PlanMember } from '../plan/types.ts';
import { severalPaths } from './paths.ts';

/** Bytes that are compared for one plan: two minutes of a disk. What is left then is not said. */
const COMPARED = 2 ** 36;
/** Bytes compared at a time, and first of each tensor: where few are trained, what differs is found soon. */
const BLOCK = 2 ** 20;
const FIRST = 4096;

/**
 * Finds members that are one checkpoint under two names, which then counts twice. Samples choose whom to
 * compare; that they are the same is said of files that are one, or were compared to the last byte.
 */
export class SameMembers {
  readonly #known = new Map<Checkpoint, Map<Checkpoint, Promise<boolean>>>();
  readonly #most: number;
  readonly #signal: AbortSignal | undefined;
  #compared = 0;

  /** @param most bytes to compare */
  constructor(signal?: AbortSignal, most = COMPARED) {
    this.#most = most;
    this.#signal = signal;
  }

  /** @throws the signal's reason when aborted */
  async warnings(members: readonly PlanMember[]): Promise<Warning[]> {
    const groups: PlanMember[][] = [];
    for (const alike of groupBy(members, ({ fingerprint }) => fingerprint).values()) groups.push(...(await this.#groups(alike)));
    const [first] = groups;
    if (first === undefined) return [];
    const more = groups.length > 1 ? `, and so have ${groups.length - 1} more groups` : '';
    const message = `${severalPaths(first.map(({ path }) => path))} have the same bytes${more}: one checkpoint counts ${first.length === 2 ? 'twice' : 'several times'}; leave one out, or find out which step it is of`;
    return [{ code: 'W_SAME_BYTES', message }];
  }

  async #groups(alike: readonly PlanMember[]): Promise<PlanMember[][]> {
    const groups: PlanMember[][] = [];
    for (const member of alike) {
      let own: PlanMember[] | undefined;
      for (const group of groups) {
        if (await this.#same(group[0]!.checkpoint, member.checkpoint)) {
          own = group;
          break;
        }
      }
      if (own === undefined) groups.push([member]);
      else own.push(member);
    }
    return groups.filter(({ length }) => length > 1);
  }

  /** Outputs of one plan have members in common. */
  #same(a: Checkpoint, b: Checkpoint): Promise<boolean> {
    const known = this.#known.get(a) ?? new Map<Checkpoint, Promise<boolean>>();
    this.#known.set(a, known);
    const same = known.get(b) ?? this.#compare(a, b);
    known.set(b, same);
    return same;
  }

  /** What cannot be read is told by what reads it all. */
  async #compare(a: Checkpoint, b: Checkpoint): Promise<boolean> {
    const [ours, theirs] = [filesOf(a), filesOf(b)];
    if (ours.length !== theirs.length) return false;
    const pairs = await Promise.all(ours.map(async ({ path }, i) => Promise.all([resolved(path), resolved(theirs[i]!.path)])));
    const apart = ours.flatMap((file, i) => (pairs[i]![0] === pairs[i]![1] ? [] : [{ file, other: theirs[i]!.path }]));
    const reader = new ByteReader();
    const equal = async (one: string, other: string, at: number, length: number): Promise<boolean> => {
      this.#signal?.throwIfAborted();
      this.#compared += 2 * length;
      if (this.#compared > this.#most) return false;
      const bytes = await reader.read(one, at, length);
      return bytes.equals(await reader.read(other, at, length));
    };
    try {
      for (const { file, other } of apart) {
        for (const { at, length } of startsIn(file)) if (!(await equal(file.path, other, at, length))) return false;
      }
      // Before one reads long and in vain.
      const rest = apart.reduce((sum, { file }) => sum + 2 * file.stat.size, 0);
      if (this.#compared + rest > this.#most) return false;
      for (const { file, other } of apart) {
        const { size } = file.stat;
        for (let at = 0; at < size; at += BLOCK) if (!(await equal(file.path, other, at, Math.min(BLOCK, size - at)))) return false;
      }
      return true;
    } catch {
      this.#signal?.throwIfAborted();
      return false;
    } finally {
      await reader.close();
    }
  }
}

interface Compared {
  readonly path: string;
  readonly stat: Stat;
  /** The tensors that lie in it, where each lies whole in one file. */
  readonly tensors: TensorTable | null;
}

/** What a checkpoint is made of: what says where its tensors lie, and the files that they lie in. */
function filesOf({ heads, files, shards }: Checkpoint): Compared[] {
  return [
    ...heads.map(({ path, stat }) => ({ path, stat, tensors: null })),
    ...files.map(({ path, stat }, i) => ({ path, stat, tensors: shards[i]?.tensors.boxes === null ? shards[i].tensors : null })),
  ];
}

/** Where tensors of a file begin; nothing of one that holds parts, whose beginning says little. */
function* startsIn({ tensors }: Compared): Generator<{ at: number; length: number }> {
  for (let row = 0; row < (tensors?.count ?? 0); row++) yield { at: tensors!.offset[row]!, length: Math.min(FIRST, tensors!.bytes[row]!) };
}

const resolved = (path: string): Promise<string> => storeOf(path).resolve(path);
