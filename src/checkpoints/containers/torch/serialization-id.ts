/** Digits of the names of records, and of their checksums. */
const DIGITS = 20;

/**
 * What torch writes as `.data/serialization_id`, but for its first half, which is a hash of the records'
 * names alone: a fold of their checksums in their order. Nothing reads it but logs. Source: PyTorch's
 * caffe2/serialize/inline_container.cc (`writeSerializationId`), c10/util/hash.h (`hash_combine`).
 * @param names 20 digits of an archive with the same names
 * @param crc32 of the records before it that are not empty
 */
export function serializationId(names: string, crc32: readonly number[]): string {
  let hash = 0n;
  for (const crc of crc32) hash ^= BigInt.asUintN(64, BigInt(crc) + 0x9e3779b9n + (hash << 6n) + (hash >> 2n));
  return names.slice(0, DIGITS) + String(hash).padStart(DIGITS, '0');
}
