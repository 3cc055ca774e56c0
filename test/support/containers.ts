import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { dtypeByCode, type FloatDtypeName } from '../../src/base/dtype.ts';
import { decodeFloats } from '../../src/base/numbers/decode.ts';
import { ByteReader } from '../../src/base/store/byte-reader.ts';
import { readTensor } from '../../src/checkpoints/tensors/extents.ts';
import { sectionOf } from '../../src/checkpoints/tensors/section.ts';
import type { Checkpoint } from '../../src/checkpoints/types.ts';

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

/**
 * A tensor as the writer's own loader gave it: values as float32 where they are floats, as they are
 * otherwise.
 */
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

/** The oracle of a checkpoint of a golden; one with several forms has one for each of their folders. */
export function oracleOf(home: string, path: string, step: number): Map<string, OracleTensor> {
  const own = join(home, path.split('/')[0]!, 'oracle');
  return readOracle(join(existsSync(own) ? own : join(home, 'oracle'), `${step}.safetensors`));
}

/** Floats of an oracle's tensor. */
export function floatsOf({ bytes }: OracleTensor): Float32Array {
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/**
 * Tensors that are not as the writer's own loader gave them.
 * @param beside tensors of the trainer that the oracle need not have
 */
export async function differences(
  checkpoint: Checkpoint,
  oracle: ReadonlyMap<string, OracleTensor>,
  beside: readonly string[] | RegExp = [],
): Promise<string[]> {
  const reader = new ByteReader();
  const left = new Set([...oracle.keys()]);
  const wrong: string[] = [];
  try {
    for (const [shard, { tensors }] of checkpoint.shards.entries()) {
      for (const [row, name] of tensors.names.entries()) {
        const wanted = oracle.get(name);
        left.delete(name);
        if (wanted === undefined) {
          if (!(beside instanceof RegExp ? beside.test(name) : beside.includes(name)) || sectionOf(tensors, row) === 'model')
            wrong.push(`${name}: not in the oracle`);
          continue;
        }
        const { name: dtype, kind } = dtypeByCode(tensors.dtypes[row]!);
        const bytes = await readTensor(reader, checkpoint, { shard, row });
        if (tensors.shapes[row]!.join() !== wanted.shape.join()) wrong.push(`${name}: [${tensors.shapes[row]!.join()}]`);
        const same =
          kind === 'float'
            ? Buffer.from(Float32Array.from(decodeFloats(dtype as FloatDtypeName, bytes)).buffer).equals(wanted.bytes)
            : bytes.equals(wanted.bytes);
        if (!same) wrong.push(`${name}: other values`);
      }
    }
  } finally {
    await reader.close();
  }
  return [...wrong, ...[...left].map((name) => `${name}: not found`)];
}

/** Versions of torch that saved one state in all their forms: goldens `torch-VERSION`. */
export const TORCH_VERSIONS = ['2.1', '2.5', '2.15'] as const;

/**
 * A checkpoint of such a golden: its path there, its step, and whether it has the values that all forms have.
 */
export type FormOfTorch = readonly [path: string, step: number, sharesOracle: boolean];

/**
 * What each version saved. Where it cannot do a form (DTensors on two dimensions in 2.1), that is left out.
 */
export const FORMS_OF_TORCH: ReadonlyMap<string, readonly FormOfTorch[]> = new Map(
  TORCH_VERSIONS.map((version) => {
    const forms: Readonly<Record<string, readonly number[]>> = {
      rows: [100, 300],
      columns: [100, 200],
      '2d': [200, 300],
      replicated: [300],
      plain: [100, 200],
      ...(version !== '2.1' && { hsdp: [100, 200] }),
    };
    const ranks = version === '2.1' ? [] : (['rows 100', 'columns 200', '2d 300', 'hsdp 200'] as const);
    const files: FormOfTorch[] = [
      ...Object.entries(forms).flatMap(([form, steps]) => steps.map((step): FormOfTorch => [`${form}/${step}`, step, true])),
      ['pt/200.pt', 200, true],
      ['pt/300.pt', 300, true],
      ['bin/100', 100, true],
      ['bin-sharded/300', 300, true],
      ...ranks.map((rank): FormOfTorch => {
        const [form, step] = rank.split(' ');
        return [`ranks-${form}/global_step_${step}`, Number(step), true];
      }),
      ...[100, 200].map((step): FormOfTorch => [`fsdp1/${step}`, step, false]),
      ...(version === '2.1' ? [] : [['pt/f8.pt', 8, false] as const]),
    ];
    return [version, files];
  }),
);

/** Unpacks goldens into a folder, each when it is first asked for. @returns of a name its own folder there */
export function goldensIn(folder: string): (name: string) => string {
  const homes = new Map<string, string>();
  return (name) => {
    const home = homes.get(name) ?? unpackGolden(name, join(folder, name));
    homes.set(name, home);
    return home;
  };
}
