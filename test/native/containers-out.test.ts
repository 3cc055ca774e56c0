import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { type ExecuteOptions, executePlan, executeUnits } from '../../src/merge/engine/execute.ts';
import { planUnits } from '../../src/merge/engine/units.ts';
import { loadBinding } from '../../src/merge/native/load.ts';
import { buildPlan } from '../../src/merge/plan/build.ts';
import type { FramePiece, OutputContainer } from '../../src/merge/plan/outputs/container.ts';
import type { Plan, PlanOutputFile } from '../../src/merge/plan/types.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';

const SIZE = 65_536;
const GAP = 16;
const TENSORS: readonly FixtureTensor[] = [
  { name: 'layers.0.mlp.up_proj.weight', dtype: 'BF16', shape: [300, 401] },
  { name: 'layers.0.mlp.down_proj.weight', dtype: 'F32', shape: [50, 301] },
  { name: 'position_ids', dtype: 'I64', shape: [20_000], data: new Uint8Array(160_000).fill(3) },
  { name: 'none.buffer', dtype: 'F16', shape: [0] },
  { name: 'layers.1.mlp.up_proj.weight', dtype: 'BF16', shape: [1000] },
  { name: 'layers.1.mlp.down_proj.weight', dtype: 'BF16', shape: [257, 255] },
];

let folder: ReturnType<typeof temporaryFolder>;
let inputs: string[];
beforeEach(() => {
  folder = temporaryFolder();
  inputs = [
    writeCheckpoint(at('run', 'checkpoint-100'), [TENSORS], 1),
    writeCheckpoint(at('run', 'checkpoint-200'), [TENSORS.slice(0, 1), TENSORS.slice(1)], 2),
    writeCheckpoint(at('run', 'checkpoint-300'), [TENSORS.slice(0, 3), TENSORS.slice(3)], 3),
  ];
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);

/** CRC-32 by its definition. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0);
  }
  return ~crc >>> 0;
}

function words(numbers: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(4 * numbers.length);
  for (const [i, number] of numbers.entries()) bytes.writeUInt32LE(number, 4 * i);
  return bytes;
}

/**
 * A plan whose first output has a frame like that of a zip: bytes between its segments, the first of them
 * patched with a checksum, and a trailer with the CRC-32 of every tensor.
 */
function framed(plan: Plan): Plan {
  const K = plan.outputs.length;
  const shards = plan.shards.map((shard) => {
    const outOffset = Float64Array.from(shard.segments.outOffset);
    for (let s = 0; s < shard.segments.count; s++) outOffset[s * K]! += s * GAP;
    return { ...shard, segments: { ...shard.segments, outOffset } };
  });
  const rows = plan.tables.map((table) => table.names.length);
  const files = plan.outputs[0]!.files.map((file, shard): PlanOutputFile => {
    const { segments } = shards[shard]!;
    const gaps = Array.from({ length: segments.count - 1 }, (_, i): FramePiece => {
      const offset = segments.outOffset[(i + 1) * K]! - GAP;
      return { offset, bytes: Buffer.alloc(GAP, `gap ${i}`) };
    });
    const end = file.bytes + GAP * (segments.count - 1);
    const trailer = { offset: end, bytes: Buffer.alloc(4 * rows[shard]!, '?') };
    return { ...file, bytes: end + trailer.bytes.length, rest: () => [...gaps, trailer] };
  });
  const container: OutputContainer = {
    crc32: true,
    finish(frame, sums) {
      const pieces = frame.rest!();
      const trailer = pieces.at(-1)!;
      const sumsOf = Array.from({ length: trailer.bytes.length / 4 }, (_, row) => sums.crc32(row));
      const gap =
        pieces.length > 1
          ? [{ offset: pieces[0]!.offset + 4, before: pieces[0]!.bytes.subarray(4, 8), after: words([sums.crc32(0)]) }]
          : [];
      return [...gap, { offset: trailer.offset, before: trailer.bytes, after: words(sumsOf) }];
    },
  };
  const [first, ...others] = plan.outputs;
  return { ...plan, shards, outputs: [{ ...first!, files, container }, ...others] };
}

const planOf = async (place: string): Promise<Plan> =>
  buildPlan({
    inputs,
    outputs: [
      { path: at(place, 'framed'), method: 'wma' },
      { path: at(place, 'plain'), method: 'wma', dtype: 'F32' },
    ],
  });

async function execute(plan: Plan, options: ExecuteOptions = {}, order?: Iterable<number>): Promise<void> {
  for await (const _ of executePlan(plan, { threads: 2, unitBytes: SIZE, ...options }, order));
}

/** The tensor files of an output, by name. */
const filesOf = (...path: string[]): Record<string, string> =>
  Object.fromEntries(
    readdirSync(at(...path))
      .filter((name) => name.endsWith('.safetensors'))
      .map((name) => [name, readFileSync(at(...path, name), 'base64')]),
  );

describe('a container with a frame around its tensors', () => {
  it('gets its patches, with the CRC-32 of every tensor, and provenance knows the patched files', async () => {
    const plan = framed(await planOf('out'));
    await execute(plan);
    await execute(await planOf('whole'));
    const whole = await openCheckpoint(at('whole', 'framed'));
    const provenance = JSON.parse(readFileSync(at('out', 'framed', 'merge_provenance.json'), 'utf8'));
    for (const [shard, { name, bytes, headerBytes, rest }] of plan.outputs[0]!.files.entries()) {
      const file = readFileSync(at('out', 'framed', name));
      expect(file.length).toBe(bytes);
      const plain = readFileSync(at('whole', 'framed', name));
      const { names, offset, bytes: sizes } = whole.shards[shard]!.tensors;
      const sums = names.map((_, row) => crc32(plain.subarray(offset[row]!, offset[row]! + sizes[row]!)));
      expect(file.subarray(bytes - 4 * names.length)).toEqual(words(sums));
      // Without what is between and behind them, the tensors are those of the plain file.
      const frame = rest!();
      if (frame.length > 1)
        expect(file.subarray(frame[0]!.offset, frame[0]!.offset + 8)).toEqual(Buffer.concat([Buffer.from('gap '), words([sums[0]!])]));
      let rebuilt = file.subarray(0, headerBytes);
      let from = headerBytes;
      for (const piece of frame) {
        rebuilt = Buffer.concat([rebuilt, file.subarray(from, piece.offset)]);
        from = piece.offset + piece.bytes.length;
      }
      expect(rebuilt.equals(plain)).toBe(true);
      const { crc32c } = provenance.files[shard];
      expect(crc32c).toBe((loadBinding().crc32c(file, 0) >>> 0).toString(16).padStart(8, '0'));
    }
    expect(filesOf('out', 'plain')).toEqual(filesOf('whole', 'plain'));
  });

  it('has the same bytes in any order, by several calls, and when it was patched before an interruption', async () => {
    await execute(framed(await planOf('whole')));
    const plan = framed(await planOf('place'));
    const all = [...planUnits(plan, { size: SIZE }).keys()].reverse();
    expect(all.length).toBeGreaterThan(4);
    for await (const _ of executeUnits(plan, { unitBytes: SIZE }, all.slice(0, 2)));
    for await (const _ of executeUnits(plan, { unitBytes: SIZE, resume: true }, all.slice(2)));
    const partial = readdirSync(at('place')).find((name) => name.startsWith('.framed.partial-'))!;
    const journal = readFileSync(at('place', partial, 'journal.ndjson'), 'utf8')
      .trim()
      .split('\n');
    expect(journal.flatMap((line) => JSON.parse(line).crc32.map((sum: { bytes: number }) => sum.bytes))).not.toEqual([]);
    await execute(plan, { resume: true }, []);
    expect(filesOf('place', 'framed')).toEqual(filesOf('whole', 'framed'));
    const crcs = (place: string) => JSON.parse(readFileSync(at(place, 'framed', 'merge_provenance.json'), 'utf8')).files;
    expect(crcs('place')).toEqual(crcs('whole'));
  });

  it('is finished from what it wrote, not from what lies there', async () => {
    await execute(framed(await planOf('whole')));
    const plan = framed(await planOf('place'));
    for await (const _ of executeUnits(plan, { unitBytes: SIZE }, planUnits(plan, { size: SIZE }).keys()));
    const [partial] = readdirSync(at('place')).filter((name) => name.startsWith('.framed.partial-'));
    const twice = plan.outputs[0]!.files.map(({ name }) => at('place', partial!, 'payload', name));
    const { container, files } = plan.outputs[0]!;
    for (const [s, path] of twice.entries()) {
      const bytes = readFileSync(path);
      for (const { offset, after } of container.finish(files[s]!, { data: () => 0, crc32: () => 0xdeadbeef, crc32Of: () => 0 }, s))
        bytes.set(after, offset);
      writeFileSync(path, bytes, { flag: 'r+' });
    }
    await execute(plan, { resume: true });
    expect(filesOf('place', 'framed')).toEqual(filesOf('whole', 'framed'));
  });
});

describe('CRC-32 of the addon', () => {
  it('is that of zlib, whole and joined', () => {
    const { crc32: native, crc32Combine } = loadBinding();
    expect(native(Buffer.from('123456789'), 0)).toBe(0xcbf4_3926);
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => (i * 2_654_435_761) >>> 13);
    for (const cut of [0, 1, 511, 512, 2500, 5000]) {
      const [first, second] = [bytes.subarray(0, cut), bytes.subarray(cut)];
      expect(native(second, native(first, 0))).toBe(crc32(bytes));
      expect(crc32Combine(native(first, 0), native(second, 0), second.length)).toBe(crc32(bytes));
    }
  });
});
