import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import { MergeError } from '../../src/base/errors.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { type AverageOptions, average, plan } from '../../src/merge/average.ts';
import { convert } from '../../src/merge/convert.ts';
import { unpackGolden } from '../support/containers.ts';

/**
 * Merges of DeepSpeed's ZeRO 1 and 2 that training goes on from: against what torch saves of DeepSpeed's own files
 * once their masters and moments are means of float64, and the weights those masters rounded.
 */

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
const home = unpackGolden('deepspeed-resume', folder);
let made = 0;
const fresh = (): string => join(folder, `out-${made++}`, 'global_step15');
const stepsOf = (run: string, steps = [5, 10, 15]): string[] => steps.map((step) => join(home, run, `global_step${step}`));
const STATES = /states\.pt$/;

/** Names of files that are not those of a folder, byte for byte. */
function unlike(output: string, expected: string): string[] {
  const names = readdirSync(expected);
  expect(readdirSync(output).filter((name) => STATES.test(name))).toEqual(names);
  return names.filter((name) => !readFileSync(join(output, name)).equals(readFileSync(join(expected, name))));
}

/** bfloat16 and tied, one buffer cut over two ranks; float16, two groups over three; bfloat16 by BF16_Optimizer, padded. */
describe.each(['zero1', 'zero2-float16', 'zero1-padded'])('%s', (run) => {
  it.each(['newest', 'average', 'drop'] as const)('with --optimizer %s is what torch saves for it, and verified', async (optimizer) => {
    const [output, inputs] = [fresh(), stepsOf(run)];
    await average({ inputs, output, for: 'resume', optimizer, sync: false });
    expect(unlike(output, join(home, run, optimizer, 'global_step15'))).toEqual([]);
    expect((await verify(output, { full: true })).recomputed).toMatchObject({ mode: 'full', fraction: 1 });
    expect((await verify(output, { full: true, inputs: [join(home, run)] })).recomputed.fraction).toBe(1);
  });
});

/** Tensors of a safetensors file: dtype, shape and bytes, by name. */
function tensorsIn(file: string): Record<string, readonly unknown[]> {
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const { __metadata__, ...entries } = JSON.parse(bytes.toString('utf8', 8, start));
  return Object.fromEntries(
    Object.entries<{ dtype: string; shape: number[]; data_offsets: [number, number] }>(entries).map(
      ([name, { dtype, shape, data_offsets }]) => [
        name,
        [dtype, shape, bytes.subarray(start + data_offsets[0], start + data_offsets[1]).toString('hex')],
      ],
    ),
  );
}

it.each(['zero1', 'zero2-float16', 'zero1-padded'])('%s: the model alone is made of the masters, too, and verified', async (run) => {
  const [output, model] = [fresh(), fresh()];
  await average({ inputs: stepsOf(run), output, weightsFrom: 'master', sync: false });
  // What torch saves for the means of the masters has them rounded in the model's file.
  await convert({ input: join(home, run, 'newest', 'global_step15'), output: model, sync: false });
  expect(readdirSync(output).filter((name) => /states|safetensors/.test(name))).toEqual(['model.safetensors']);
  expect(tensorsIn(join(output, 'model.safetensors'))).toEqual(tensorsIn(join(model, 'model.safetensors')));
  expect((await verify(output, { full: true, inputs: [join(home, run)] })).recomputed.fraction).toBe(1);
  // In float32 they are the masters themselves: of one member, whatever its weights were rounded to.
  const [single, ofSingle] = [fresh(), fresh()];
  const [newest] = stepsOf(run, [15]);
  await average({ inputs: [newest!], output: single, weightsFrom: 'master', dtype: 'F32', sync: false });
  await average({ inputs: [newest!], output: ofSingle, dtype: 'F32', sync: false });
  expect(tensorsIn(join(single, 'model.safetensors'))).not.toEqual(tensorsIn(join(ofSingle, 'model.safetensors')));
});

it('is found to differ where a partition was changed', async () => {
  const output = fresh();
  await average({ inputs: stepsOf('zero1'), output, for: 'resume', sync: false });
  const file = join(output, 'bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt');
  const bytes = readFileSync(file);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(file, bytes);
  await expect(verify(output)).rejects.toThrow(/bf16_zero_pp_rank_1_mp_rank_00_optim_states\.pt has CRC32C/);
});

it('of stages 1 and 2 that are cut alike is one merge', async () => {
  const output = fresh();
  const inputs = [...stepsOf('zero1', [5, 10]), ...stepsOf('zero2', [15])];
  await average({ inputs, output, for: 'resume', optimizer: 'average', sync: false });
  expect((await verify(output, { full: true, inputs })).recomputed.fraction).toBe(1);
});

it('of one member is that member, byte for byte, and may be merged again', async () => {
  const [copy, again] = [fresh(), fresh()];
  const [only] = stepsOf('zero2-float16', [15]);
  await average({ inputs: [only!], output: copy, for: 'resume', optimizer: 'average', sync: false });
  expect(unlike(copy, only!)).toEqual([]);
  const first = fresh();
  await average({ inputs: stepsOf('zero2-float16', [5, 10]), output: first, for: 'resume', optimizer: 'average', sync: false });
  await average({ inputs: [first, copy], output: again, for: 'resume', optimizer: 'average', weights: [2 / 3, 1 / 3], sync: false });
  expect((await verify(again, { full: true })).recomputed.fraction).toBe(1);
});

it('has the weights that were asked for', async () => {
  const output = fresh();
  await average({ inputs: stepsOf('zero1'), output, for: 'resume', optimizer: 'average', weights: [0, 0, 1], sync: false });
  expect(unlike(output, stepsOf('zero1', [15])[0]!)).toEqual([]);
});

it('takes the script and the state that lie beside, and touches nothing outside', async () => {
  const run = join(folder, 'beside');
  cpSync(join(home, 'zero1'), run, { recursive: true });
  writeFileSync(join(run, 'zero_to_fp32.py'), 'print()\n');
  writeFileSync(join(run, 'global_step15', 'rng_state_0.pth'), 'x');
  const output = fresh();
  const inputs = [5, 15].map((step) => join(run, `global_step${step}`));
  const { outputs } = await plan({ inputs, output, for: 'resume' });
  expect(outputs[0]!.kept).toEqual({ optimizer: 'kept', left: [] });
  await average({ inputs, output, for: 'resume', sync: false });
  expect(readFileSync(join(output, 'zero_to_fp32.py'), 'utf8')).toBe('print()\n');
  expect(readFileSync(join(output, 'rng_state_0.pth'), 'utf8')).toBe('x');
  expect(readdirSync(join(output, '..'))).toEqual(['global_step15']);
  expect(readFileSync(join(run, 'latest'), 'utf8')).toBe('global_step15');
});

it('keeps tensors that are neither weights nor of the optimizer', async () => {
  // The run saved a tensor of its own beside `module`: all of the newest's is there (compared above), and not a weight.
  const { shards } = await openCheckpoint(stepsOf('zero1', [15])[0]!, { withState: true });
  const names = shards.flatMap(({ tensors }) => tensors.names);
  expect(names).toContain('optimizer.zero_pp_rank_1.base_optimizer_state.state.0.exp_avg');
  expect(names).not.toContain('rng');
});

it('is gone on with where a merge was interrupted, and found where it is there', async () => {
  const output = fresh();
  const options = { inputs: stepsOf('zero1'), output, for: 'resume', resume: true, sync: false } as const;
  await average(options);
  const before = readFileSync(join(output, 'mp_rank_00_model_states.pt'));
  await average(options);
  expect(readFileSync(join(output, 'mp_rank_00_model_states.pt')).equals(before)).toBe(true);
});

describe('of the model alone', () => {
  const alone = async (more: Partial<AverageOptions>): Promise<string> => {
    const output = fresh();
    await average({ inputs: stepsOf('zero1'), output, ...more, sync: false });
    return output;
  };

  it.each([
    ['without --for resume', {}],
    ['with --format safetensors', { for: 'resume', optimizer: 'drop', format: 'safetensors' }],
  ] as const)('%s it is safetensors', async (_, more) => {
    const output = await alone(more);
    expect(readdirSync(output)).toContain('model.safetensors');
    expect(readdirSync(output).filter((name) => STATES.test(name))).toEqual([]);
  });

  it('does not read the files of the optimizer', async () => {
    const run = join(folder, 'model-alone');
    cpSync(join(home, 'zero1'), run, { recursive: true });
    for (const step of [5, 15]) writeFileSync(join(run, `global_step${step}`, 'bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt'), 'x');
    const output = fresh();
    await average({ inputs: [5, 15].map((step) => join(run, `global_step${step}`)), output, sync: false });
    expect(existsSync(join(output, 'model.safetensors'))).toBe(true);
  });

  it('is said to leave the optimizer where that was asked for', async () => {
    const asked = plan({ inputs: stepsOf('zero1'), output: fresh(), for: 'resume', optimizer: 'newest', format: 'safetensors' });
    const error = await asked.then(
      () => null,
      (thrown: MergeError) => thrown,
    );
    expect(error).toBeInstanceOf(MergeError);
    expect(error!.code).toBe('E_NO_OPTIMIZER');
    expect(error!.help).toMatch(/merged into DeepSpeed's own files/);
  });
});

it('a newest member without an optimizer makes a model, whatever others have', async () => {
  const bare = join(folder, 'bare', 'global_step20');
  cpSync(join(home, 'zero1', 'global_step15'), bare, { recursive: true });
  for (const name of readdirSync(bare)) if (/optim_states/.test(name)) rmSync(join(bare, name));
  const output = fresh();
  await average({ inputs: [...stepsOf('zero1', [5]), bare], output, for: 'resume', sync: false });
  expect(readdirSync(output)).toContain('model.safetensors');
});
