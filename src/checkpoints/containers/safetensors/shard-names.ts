/** Names of safetensors files, and what they say of how the files belong together. */

const FILE = /\.safetensors$/;
const INDEX = /\.safetensors\.index\.json$/;
/** HuggingFaceStorageWriter of torch.distributed, one file a rank: a part of each tensor. */
const RANK = /^shard-(?<rank>\d+)-model-(?<part>\d+)-of-(?<count>\d+)\.safetensors$/;
/** Other things that are kept in safetensors files beside a model. */
const NOT_WEIGHTS = /^(?:adapter_|optim|scheduler|random_states|rng_state)/;
const NUMBERED = /^(?<stem>.*)-(?<number>\d+)-of-(?<count>\d+)\.safetensors$/;

/** Whether a file of this name holds a rank's parts of tensors, by its name. */
export function isRankFile(name: string): boolean {
  return RANK.test(name);
}

/** Whether a file of this name, in some folder, makes that a checkpoint: weights, or an index of them. */
export function isWeightsFile(name: string): boolean {
  return !name.startsWith('.') && (INDEX.test(name) || (FILE.test(name) && !isRankFile(name) && !NOT_WEIGHTS.test(name)));
}

/** Files that say by their names that they are shards of one checkpoint: `model-00001-of-00003.safetensors`. */
export interface ShardSet {
  /** Those that are there, sorted. */
  readonly names: readonly string[];
  /** How many there should be. */
  readonly count: number;
  /** The name of the first that is not there; null where all are. */
  readonly missing: string | null;
}

/** The shards among the files of a folder; null where there are none, or where their names are those of several sets. */
export function shardSet(files: readonly string[]): ShardSet | null {
  const shards = files.flatMap((name) => {
    const groups = isRankFile(name) ? undefined : NUMBERED.exec(name)?.groups;
    return groups === undefined ? [] : [{ name, stem: groups.stem!, digits: groups.number!, count: groups.count! }];
  });
  const [first] = shards;
  if (first === undefined || shards.some(({ stem, count }) => stem !== first.stem || count !== first.count)) return null;
  const count = Number(first.count);
  const there = new Set(shards.map(({ digits }) => Number(digits)));
  if (there.size !== shards.length || !Number.isSafeInteger(count)) return null;
  // Some count from 0.
  const from = there.has(0) ? 0 : 1;
  if ([...there].some((number) => number >= from + count)) return null;
  const names = shards.map(({ name }) => name).sort();
  if (there.size === count) return { names, count, missing: null };
  let absent = from;
  while (there.has(absent)) absent++;
  const digits = String(absent).padStart(first.digits.length, '0');
  return { names, count, missing: `${first.stem}-${digits}-of-${first.count}.safetensors` };
}

/** What the ranks' files of a checkpoint lack, by their names. */
export interface RankGaps {
  /** The first part of the model that no rank has a file of, by its number, and how many there should be; null where there is none. */
  readonly part: { readonly number: string; readonly count: string } | null;
  /** Files that the last ranks would have, had they a share in each part; what is too small for them is not written. */
  readonly files: readonly string[];
}

/**
 * Compares the names of ranks' files with each other.
 * @param names of one folder, all for which {@link isRankFile} holds
 */
export function rankGaps(names: readonly string[]): RankGaps {
  const files = names.map((name) => RANK.exec(name)!.groups as { rank: string; part: string; count: string });
  const [first] = files;
  // Of two saves in one folder their parts say more.
  if (first === undefined || files.some(({ count }) => count !== first.count)) return { part: null, files: [] };
  const last = files.reduce((most, file) => (Number(file.rank) > Number(most.rank) ? file : most), first).rank;
  const parts = [...new Set(files.map(({ part }) => part))].sort();
  const there = new Set(parts.map(Number));
  let absent = 1;
  while (there.has(absent)) absent++;
  const missing = absent <= Number(first.count) ? { number: String(absent).padStart(first.part.length, '0'), count: first.count } : null;
  const lacking = parts.filter((part) => !files.some((file) => file.part === part && file.rank === last));
  return { part: missing, files: lacking.map((part) => `shard-${last}-model-${part}-of-${first.count}.safetensors`) };
}
