/** Names of safetensors files, and what they say of how the files belong together. */

const FILE = /\.safetensors$/;
const INDEX = /\.safetensors\.index\.json$/;
/** HuggingFaceStorageWriter of torch.distributed, one file a rank: a part of each tensor. */
const RANK = /^shard-\d+-model-\d+-of-\d+\.safetensors$/;
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
