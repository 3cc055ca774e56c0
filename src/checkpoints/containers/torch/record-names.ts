const M = 0xc6a4a7935bd1e995n;
const SEED = 0xc70f6907n;
const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);

/** `std::hash<std::string>` of libstdc++ (libsupc++/hash_bytes.cc): MurmurHash64A, of Austin Appleby. */
function hashOf(text: string): bigint {
  const bytes = Buffer.from(text);
  let hash = SEED ^ wrap(BigInt(bytes.length) * M);
  const whole = bytes.length & ~7;
  for (let at = 0; at < whole; at += 8) {
    let part = wrap(bytes.readBigUInt64LE(at) * M);
    part ^= part >> 47n;
    hash = wrap((hash ^ wrap(part * M)) * M);
  }
  if (whole < bytes.length) {
    let rest = 0n;
    for (let i = bytes.length - 1; i >= whole; i--) rest = (rest << 8n) | BigInt(bytes[i]!);
    hash = wrap((hash ^ rest) * M);
  }
  hash = wrap((hash ^ (hash >> 47n)) * M);
  return hash ^ (hash >> 47n);
}

/** Buckets of a `std::unordered_set` as it grows (libstdc++'s `_Prime_rehash_policy`). */
const BUCKETS = [1, 13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10273, 20753, 42043, 85229, 172933, 351061, 712697, 1447153, 2938679];

/** A node of the set: its hash, and what comes behind it. */
interface Node {
  readonly hash: bigint;
  next: Node | null;
}

/** Hashes of texts in the order in which a `std::unordered_set` of them is walked. */
function inSetOrder(texts: readonly string[]): bigint[] {
  const head: { next: Node | null } = { next: null };
  let size = 0;
  let level = 0;
  /** By bucket, what comes before its first node. */
  let before = new Map<number, { next: Node | null }>();
  const insert = (node: Node): void => {
    const count = BigInt(BUCKETS[level]!);
    const bucket = Number(node.hash % count);
    const known = before.get(bucket);
    if (known !== undefined) {
      node.next = known.next;
      known.next = node;
      return;
    }
    node.next = head.next;
    head.next = node;
    if (node.next !== null) before.set(Number(node.next.hash % count), node);
    before.set(bucket, head);
  };
  for (const text of texts) {
    while (size + 1 > BUCKETS[level]! || level === 0) {
      if (level + 1 === BUCKETS.length) return [];
      level++;
      const nodes: Node[] = [];
      for (let node = head.next; node !== null; node = node.next) nodes.push(node);
      head.next = null;
      before = new Map();
      for (const node of nodes) insert(node);
    }
    insert({ hash: hashOf(text), next: null });
    size++;
  }
  const hashes: bigint[] = [];
  for (let node = head.next; node !== null; node = node.next) hashes.push(node.hash);
  return hashes;
}

/**
 * The first 20 digits of `.data/serialization_id`: a fold of the names of all records before it, as torch
 * built with libstdc++ walks them. Source: PyTorch's caffe2/serialize/inline_container.cc
 * (`writeSerializationId`), c10/util/hash.h.
 * @param names without the archive's root, in their order
 */
export function recordNamesId(names: readonly string[]): string {
  let hash = 0n;
  for (const own of inSetOrder(names)) hash ^= wrap(own + 0x9e3779b9n + (hash << 6n) + (hash >> 2n));
  return String(hash).padStart(20, '0');
}
