import { crc32cReference } from '../../src/analysis/verify/twin/crc32c.ts';

/** What an event file says, read by nothing that wrote it: records, their checksums, and the fields of their messages. */
export interface ReadEvent {
  readonly time: number;
  readonly step: number;
  readonly version: string | null;
  readonly tag: string | null;
  readonly value: number | null;
  readonly text: string | null;
  readonly plugin: string | null;
}

type Field = number | bigint | Buffer;

/** The fields of a protocol buffer by their numbers; of a repeated one the last. */
function fieldsOf(bytes: Buffer): Map<number, Field> {
  const fields = new Map<number, Field>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const number = key >>> 3;
    switch (key & 7) {
      case 0:
        fields.set(number, varint());
        break;
      case 1:
        fields.set(number, bytes.readDoubleLE(at));
        at += 8;
        break;
      case 5:
        fields.set(number, bytes.readFloatLE(at));
        at += 4;
        break;
      case 2: {
        const length = Number(varint());
        fields.set(number, bytes.subarray(at, at + length));
        at += length;
        break;
      }
      default:
        throw new Error(`wire type ${key & 7}`);
    }
  }
  if (at !== bytes.length) throw new Error('a message that ends within a field');
  return fields;
}

/** https://www.tensorflow.org/tutorials/load_data/tfrecord: ((crc >> 15) | (crc << 17)) + 0xa282ead8 */
function masked(bytes: Buffer): number {
  const crc = crc32cReference(bytes);
  return Number(((BigInt(crc) >> 15n) | ((BigInt(crc) << 17n) & 0xffffffffn)) + 0xa282ead8n) % 2 ** 32;
}

const inner = (fields: Map<number, Field>, ...path: number[]): Field | null =>
  path.reduce<Field | null>(
    (found, number) => (Buffer.isBuffer(found) ? (fieldsOf(found).get(number) ?? null) : found),
    fields.get(path.shift()!) ?? null,
  );

export function readEventFile(bytes: Buffer): readonly ReadEvent[] {
  const events: ReadEvent[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    const message = bytes.subarray(at + 12, at + 12 + length);
    if (bytes.readUInt32LE(at + 8) !== masked(bytes.subarray(at, at + 8))) throw new Error(`the checksum of the length at ${at}`);
    if (bytes.readUInt32LE(at + 12 + length) !== masked(message)) throw new Error(`the checksum of the message at ${at}`);
    const fields = fieldsOf(message);
    const text = (field: Field | null) => (Buffer.isBuffer(field) ? field.toString() : null);
    const value = inner(fields, 5, 1, 2);
    events.push({
      time: Number(fields.get(1)),
      step: Number(fields.get(2) ?? 0),
      version: text(fields.get(3) ?? null),
      tag: text(inner(fields, 5, 1, 1)),
      value: typeof value === 'number' ? value : null,
      text: text(inner(fields, 5, 1, 8, 8)),
      plugin: text(inner(fields, 5, 1, 9, 1, 1)),
    });
    at += 16 + length;
  }
  return events;
}
