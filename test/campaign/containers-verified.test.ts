import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import { average, plan } from '../../src/merge/average.ts';
import { convert } from '../../src/merge/convert.ts';
import { floatsOf, goldensIn, type OracleTensor, readOracle } from '../support/containers.ts';
import { runCli } from '../support/run-cli.ts';
import { mergeError } from '../support/safetensors.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const golden = goldensIn(folder);

let made = 0;
const fresh = (): string => join(folder, `out-${made++}`);

/** All tensors of a folder of safetensors, read by their format. */
function written(path: string): Map<string, OracleTensor> {
  return new Map(
    readdirSync(path)
      .filter((name) => name.endsWith('.safetensors'))
      .flatMap((name) => [...readOracle(join(path, name))]),
  );
}

/** Values as float32, each exactly. */
function exactFloats({ dtype, bytes }: OracleTensor): number[] | null {
  const words = (width: number, value: (at: number) => number) => Array.from({ length: bytes.length / width }, (_, i) => value(i * width));
  if (dtype === 'F32') return words(4, (at) => bytes.readFloatLE(at));
  if (dtype === 'F64') return words(8, (at) => Math.fround(bytes.readDoubleLE(at)));
  if (dtype === 'BF16') return words(2, (at) => new Float32Array(Uint32Array.of(bytes.readUInt16LE(at) << 16).buffer)[0]!);
  if (dtype === 'F16') {
    return words(2, (at) => {
      const word = bytes.readUInt16LE(at);
      const [sign, exponent, fraction] = [word >> 15 === 1 ? -1 : 1, (word >> 10) & 31, word & 1023];
      if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
      return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
    });
  }
  return null;
}

/** What belongs to the optimizer and the trainer. */
const STATE = /^(?:optim|optimizer|opt|loader|train_state|lr_sched)/;
const CHECKPOINTS: readonly (readonly [golden: string, path: string, step: number])[] = [
  ...['dcp-fsdp', 'dcp-moe', 'dcp-tp', 'dcp-2d', 'dcp-hsdp', 'dcp-plain', 'dcp-hf'].map((name) => [name, '200', 200] as const),
  ['dcp-hf-consolidated', '200/sharded', 200],
  ['torchtitan', 'checkpoint/step-100', 100],
  ['olmo-core', 'step200', 200],
  ['megatron', 'iter_0000100', 100],
  ['megatron-homogeneous-moe', 'iter_0000200', 200],
  ['torch-bin', '100', 100],
  ['torch-bin-sharded', '200', 200],
  ['torch-pt', '100.pt', 100],
  ['fsdp-rank-pt', 'global_step_100', 100],
  ['deepspeed-zero1', 'global_step100', 100],
];

describe('what each writer saved', () => {
  it.each(CHECKPOINTS)('%s %s is the values that its own loader reads, under their names', async (name, path, step) => {
    const home = golden(name);
    const output = fresh();
    const { outputs, warnings } = await convert({ input: join(home, path), output, threads: 1, sync: false });
    expect([outputs[0]!.method, warnings]).toEqual(['convert', []]);
    const oracle = [...readOracle(join(home, `oracle/${step}.safetensors`))].filter(([tensor]) => !STATE.test(tensor));
    const found = written(output);
    expect([...found.keys()].sort()).toEqual(oracle.map(([tensor]) => tensor).sort());
    for (const [tensor, wanted] of oracle) {
      const own = found.get(tensor)!;
      expect(own.shape, tensor).toEqual(wanted.shape);
      const floats = exactFloats(own);
      // Eight bits wide ones are compared below, byte by byte.
      if (floats === null && own.dtype !== wanted.dtype) continue;
      if (floats === null) expect(own.bytes.equals(wanted.bytes), tensor).toBe(true);
      else expect(floats, tensor).toEqual([...floatsOf(wanted)]);
    }
    const { recomputed } = await verify(output, { full: true });
    const held = [...found.values()].filter(({ bytes }) => bytes.length > 0);
    expect([recomputed.mode, recomputed.tensors]).toEqual(['full', held.length]);
  });
});

/** Two steps of each writer, and two writers and shardings together. */
const RUNS: readonly (readonly [what: string, older: string, newer: string])[] = [
  ...['dcp-fsdp', 'dcp-tp', 'dcp-2d', 'dcp-hsdp', 'dcp-plain', 'dcp-moe', 'dcp-hf', 'torch-bin', 'torch-bin-sharded'].map(
    (name) => [name, `${name}/100`, `${name}/200`] as const,
  ),
  ['torchtitan', 'torchtitan/checkpoint/step-100', 'torchtitan/checkpoint/step-200'],
  ['OLMo-core', 'olmo-core/step100', 'olmo-core/step200'],
  ['Megatron', 'megatron/iter_0000100', 'megatron/iter_0000200'],
  ['homogeneous layers of Megatron', 'megatron-homogeneous-moe/iter_0000100', 'megatron-homogeneous-moe/iter_0000200'],
  ['ranks of FSDP', 'fsdp-rank-pt/global_step_100', 'fsdp-rank-pt/global_step_200'],
  ['DeepSpeed', 'deepspeed-zero1/global_step100', 'deepspeed-zero1/global_step200'],
  ['columns with boxes', 'dcp-tp/100', 'dcp-2d/200'],
];
const at = (path: string): string => join(golden(path.slice(0, path.indexOf('/'))), path.slice(path.indexOf('/') + 1));

describe('a start for more training', () => {
  it('says that the optimizer state of a container stays in it', async () => {
    const inputs = [at('megatron/iter_0000100'), at('megatron/iter_0000200')];
    const error = await mergeError(() => plan({ inputs, output: fresh(), format: 'safetensors', for: 'resume', optimizer: 'newest' }));
    expect([error.code, error.message]).toEqual(['E_NO_OPTIMIZER', expect.stringContaining('in the files of its container')]);
    expect((await plan({ inputs, output: fresh(), format: 'safetensors', for: 'resume' })).outputs[0]!.dtype).toBe('F32');
  });
});

describe('the slow twin', () => {
  it.each(RUNS)('computes a merge of %s again from its boxes', async (_, older, newer) => {
    const output = fresh();
    const inputs = [at(older), at(newer)];
    const merged = await average({ inputs, output, weights: [0.25, 0.75], sync: false });
    const report = await verify(output, { full: true });
    expect([report.recomputed.mode, report.recomputed.fraction, report.warnings]).toEqual(['full', 1, []]);
    expect(merged.warnings.filter(({ code }) => code !== 'W_WINDOW_WIDE')).toEqual([]);
  });

  it('does so on the command line, in whichever order the inputs are named', async () => {
    const [output, older, newer] = [fresh(), at('dcp-2d/100'), at('dcp-2d/200')];
    expect((await runCli(['average', older, newer, '-o', output, '-q'])).code).toBe(0);
    const { code, stdout } = await runCli(['verify', output, '--full']);
    expect([code, stdout]).toEqual([0, expect.stringContaining('every one equal')]);
    const moved = await runCli(['verify', output, '--full', '--input', newer, older]);
    expect(moved.code).toBe(0);
  });
});
