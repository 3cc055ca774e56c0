import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const GOLDEN = join(import.meta.dirname, '../golden/containers');

/** Unpacks a golden into a folder. @returns its own folder there */
export function unpackGolden(name: string, into: string): string {
  const tar = gunzipSync(readFileSync(join(GOLDEN, `${name}.tar.gz`)));
  for (let at = 0; at + 512 <= tar.length; ) {
    const header = tar.subarray(at, at + 512);
    const text = (from: number, length: number): string => header.toString('latin1', from, from + length).replace(/\0.*$/s, '');
    const path = [text(345, 155), text(0, 100)].filter((part) => part !== '').join('/');
    const size = Number.parseInt(text(124, 12), 8);
    at += 512;
    if (path === '') break;
    if (text(156, 1) === '0') {
      const file = join(into, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, tar.subarray(at, at + size));
    }
    at += Math.ceil(size / 512) * 512;
  }
  return join(into, name.replace(/^torch-(?=bin|pt)/, ''));
}

/** A tensor as the writer's own loader gave it: values as float32 where they are floats, as they are otherwise. */
export interface OracleTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Buffer;
}

/** What a golden's `oracle/STEP.safetensors` has. */
export function readOracle(file: string): Map<string, OracleTensor> {
  const bytes = readFileSync(file);
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, end)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [from, to],
          },
        ]) => [name, { dtype, shape, bytes: bytes.subarray(end + from, end + to) }],
      ),
  );
}

/** Floats of an oracle's tensor. */
export function floatsOf({ bytes }: OracleTensor): Float32Array {
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}
