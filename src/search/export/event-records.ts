import { loadBinding } from '../../merge/native/load.ts';

/*
 * TensorBoard's event files: records of length (uint64), masked CRC32C of the length, bytes of an Event message, masked
 * CRC32C of these. The messages are protocol buffers (tensorflow/core/util/event.proto, framework/summary.proto); the few
 * fields that are used are written here, which is less than a dependency would be.
 */

/** Of what leveldb adds, so that a CRC over data that holds CRCs is still one. */
const MASK_DELTA = 0xa282ead8;

function masked(bytes: Uint8Array): number {
  const crc = loadBinding().crc32c(bytes, 0) >>> 0;
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}

/** A message as a record of an event file. */
export function eventRecord(message: Uint8Array): Buffer {
  const record = Buffer.alloc(16 + message.length);
  record.writeBigUInt64LE(BigInt(message.length), 0);
  record.writeUInt32LE(masked(record.subarray(0, 8)), 8);
  record.set(message, 12);
  record.writeUInt32LE(masked(message), 12 + message.length);
  return record;
}

function varint(value: number | bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return [...bytes, Number(rest)];
}

const bytesField = (number: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(bytes.length)]), bytes]);
const textField = (number: number, text: string): Buffer => bytesField(number, Buffer.from(text));
const intField = (number: number, value: number): Buffer => Buffer.from([...varint(number << 3), ...varint(value)]);

function floatField(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([Buffer.from(varint((number << 3) | 5)), bytes]);
}

function doubleField(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([Buffer.from(varint((number << 3) | 1)), bytes]);
}

/** `Event { wall_time = 1, step = 2, file_version = 3, summary = 5 }`. @param time seconds since 1970 */
function event(time: number, step: number, content: Buffer): Buffer {
  return Buffer.concat([doubleField(1, time), ...(step === 0 ? [] : [intField(2, step)]), content]);
}

/** What every file begins with. */
export function versionEvent(time: number): Buffer {
  return event(time, 0, textField(3, 'brain.Event:2'));
}

/** A number of a series; TensorBoard keeps float32. */
export function scalarEvent(time: number, step: number, tag: string, value: number): Buffer {
  // Summary.Value { tag = 1, simple_value = 2 }
  return event(time, step, bytesField(5, bytesField(1, Buffer.concat([textField(1, tag), floatField(2, value)]))));
}

/** Text, shown as markdown. */
export function textEvent(time: number, step: number, tag: string, text: string): Buffer {
  // TensorProto { dtype = 1: DT_STRING, tensor_shape = 2 { dim = 2 { size = 1 } }, string_val = 8 }
  const tensor = Buffer.concat([intField(1, 7), bytesField(2, bytesField(2, intField(1, 1))), textField(8, text)]);
  // SummaryMetadata { plugin_data = 1 { plugin_name = 1 } }
  const metadata = bytesField(1, textField(1, 'text'));
  const value = Buffer.concat([textField(1, tag), bytesField(8, tensor), bytesField(9, metadata)]);
  return event(time, step, bytesField(5, bytesField(1, value)));
}
