import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import { MergeError } from '../../src/base/errors.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { isRunFolder } from '../../src/checkpoints/run/discover.ts';
import { type AverageOptions, average, plan } from '../../src/merge/average.ts';
import { unpackGolden } from '../support/containers.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

let home = '';
beforeAll(() => {
  home = unpackGolden('torch-resume', folder);
});
const at = (...names: readonly string[]): string[] => names.map((name) => join(home, `${name}.pt`));
const STEPS = ['ckpt_10', 'ckpt_20', 'ckpt_30'];

describe('a file of torch.save that training goes on from', () => {
  it.each(['newest', 'drop', 'average'] as const)('with %s is what torch saves for it, and verified', async (optimizer) => {
    const output = join(folder, optimizer, 'merged.pt');
    const inputs = at(...STEPS);
    await average({ inputs, output, for: 'resume', optimizer, sync: false });
    expect(readFileSync(output).equals(readFileSync(join(home, optimizer, 'merged.pt')))).toBe(true);
    expect((await verify(output, { full: true, inputs })).recomputed).toMatchObject({ mode: 'full', fraction: 1 });
  });

  it('has the newest optimizer where nothing else is said, and dtypes as they are stored', async () => {
    const { outputs } = await plan({ inputs: at(...STEPS), output: join(folder, 'asked.pt'), for: 'resume' });
    expect(outputs[0]).toMatchObject({ optimizer: 'newest', dtype: null, purpose: 'resume' });
  });

  it('keeps what holds no tensor, too, though the newest has no optimizer', async () => {
    const output = join(folder, 'bare', 'bare_30.pt');
    const [input] = at('bare_30');
    await average({ inputs: [input!], output, for: 'resume', optimizer: 'drop', sync: false });
    expect(readFileSync(output).equals(readFileSync(input!))).toBe(true);
  });

  it('of SGD, which counts no steps, has zeros for its momentum', async () => {
    const output = join(folder, 'sgd.pt');
    const inputs = at('sgd_20', 'sgd_30');
    await average({ inputs, output, for: 'resume', optimizer: 'drop', sync: false });
    expect((await verify(output, { full: true, inputs })).recomputed.fraction).toBe(1);
  });

  it('of Lightning is one file, whose trainer finds all that it saved', async () => {
    const run = join(unpackGolden('lightning', folder), 'run');
    const inputs = [10, 20].map((step) => join(run, `epoch=0-step=${step}.ckpt`));
    const output = join(folder, 'merged.ckpt');
    await average({ inputs, output, for: 'resume', sync: false });
    expect((await verify(output, { full: true, inputs })).recomputed.fraction).toBe(1);
    const [made, newest] = await Promise.all([openCheckpoint(output), openCheckpoint(inputs[1]!)]);
    expect([made.form, made.step, made.shards[0]!.tensors.names]).toEqual([newest.form, 20, newest.shards[0]!.tensors.names]);
  });

  it('has its own name in a folder, where it is more than the weights', async () => {
    const output = join(folder, 'in-a-folder');
    const inputs = at(...STEPS);
    await average({ inputs, output, for: 'resume', sync: false });
    expect(readdirSync(output).filter((name) => /\.(?:pt|bin)$/.test(name))).toEqual(['ckpt_30.pt']);
    expect((await verify(output, { full: true, inputs })).recomputed.fraction).toBe(1);
    expect(await isRunFolder(output)).toBe(false);
    const { members } = await plan({ inputs: [output], output: join(folder, 'of-it') });
    expect(members[0]!.step).toBe(30);
  });

  /** Inputs, options, and what is said. */
  const REFUSED: readonly (readonly [
    what: string,
    inputs: readonly string[],
    options: Partial<AverageOptions>,
    code: string,
    says: RegExp,
  ])[] = [
    ['a newest member without an optimizer', ['ckpt_10', 'bare_20'], {}, 'E_NO_OPTIMIZER', /bare_20\.pt.*saved of the model alone/],
    [
      'averages with a member without one',
      ['bare_10', 'ckpt_20'],
      { optimizer: 'average' },
      'E_NO_OPTIMIZER',
      /bare_10\.pt has no optimizer state/,
    ],
    ['averages of two optimizers', ['sgd_20', 'ckpt_30'], { optimizer: 'average' }, 'E_NO_OPTIMIZER', /sgd_20\.pt has no optimizer state/],
    ['negative weights of second moments', ['ckpt_10', 'ckpt_20'], { optimizer: 'average', weights: [-1, 2] }, 'E_WEIGHTS', /exp_avg_sq/],
    ['zeros beside steps that are numbers', ['ckpt_20', 'ints_30'], { optimizer: 'drop' }, 'E_LAYOUT_FORM', /ints_30\.pt.*as numbers/],
    ['a policy about the optimizer', ['ckpt_10', 'ckpt_20'], { policies: [{ role: 'optimizer', use: 'oldest' }] }, 'E_POLICY', /optimizer/],
    ['extra state', ['ckpt_10', 'ckpt_20'], { extraState: 'drop' }, 'E_OPTION', /DCP/],
    ['the same in safetensors', ['ckpt_10', 'ckpt_20'], { format: 'safetensors', optimizer: 'average' }, 'E_OPTION', /average/],
  ];

  it.each(REFUSED)('is refused for %s', async (_, inputs, options, code, says) => {
    const error = await plan({ inputs: at(...inputs), output: join(folder, 'refused.pt'), for: 'resume', ...options }).then(
      () => null,
      (cause: unknown) => cause,
    );
    expect(error).toBeInstanceOf(MergeError);
    const { code: found, message, details } = error as MergeError;
    const texts = [message, ...((details.conflicts as { message: string }[] | undefined) ?? []).map((one) => one.message)];
    expect([found, texts.join('\n')]).toEqual([code, expect.stringMatching(says)]);
  });
});
