/** Digits of the names of records, and of their checksums. */
const DIGITS = 20;
const OF_TORCH = /^\d{40}$/;

/**
 * What torch writes as `.data/serialization_id`, but for its first half, which is a hash of the records'
 * names alone: a fold of their checksums in their order. Nothing reads it but logs. Source: PyTorch's
 * caffe2/serialize/inline_container.cc (`writeSerializationId`), c10/util/hash.h (`hash_combine`).
 * @param said that of an archive with the same names; one of another form than torch's stays as it is
 * @param crc32 of the records before it that are not empty
 */
export function serializationId(said: Uint8Array, crc32: readonly number[]): Buffer {
  const before = Buffer.from(said).toString('latin1');
  if (!OF_TORCH.test(before)) return Buffer.from(said);
  let hash = 0n;
  for (const crc of crc32) hash ^= BigInt.asUintN(64, BigInt(crc) + 0x9e3779b9n + (hash << 6n) + (hash >> 2n));
  return Buffer.from(before.slice(0, DIGITS) + String(hash).padStart(DIGITS, '0'), 'latin1');
}
