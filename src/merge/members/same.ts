import type { Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { ByteReader } from '../../base/store/byte-reader.ts';
import { storeOf } from '../../base/store/store.ts';
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
    const pairs = await Promise.all(a.shards.map(async ({ path }, s) => Promise.all([resolved(path), resolved(b.shards[s]!.path)])));
    const apart = a.shards.flatMap((shard, s) => (pairs[s]![0] === pairs[s]![1] ? [] : [{ shard, other: b.shards[s]!.path }]));
    const reader = new ByteReader();
    const equal = async (one: string, other: string, at: number, length: number): Promise<boolean> => {
      this.#signal?.throwIfAborted();
      this.#compared += 2 * length;
      if (this.#compared > this.#most) return false;
      const bytes = await reader.read(one, at, length);
      return bytes.equals(await reader.read(other, at, length));
    };
    try {
      for (const { shard, other } of apart) {
        const { count, offset, bytes } = shard.tensors;
        for (let row = 0; row < count; row++) {
          if (!(await equal(shard.path, other, offset[row]!, Math.min(FIRST, bytes[row]!)))) return false;
        }
      }
      // Before one reads long and in vain.
      const rest = apart.reduce((sum, { shard }) => sum + 2 * shard.stat.size, 0);
      if (this.#compared + rest > this.#most) return false;
      for (const { shard, other } of apart) {
        const { size } = shard.stat;
        for (let at = 0; at < size; at += BLOCK) if (!(await equal(shard.path, other, at, Math.min(BLOCK, size - at)))) return false;
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

const resolved = (path: string): Promise<string> => storeOf(path).resolve(path);
