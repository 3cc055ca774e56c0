import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { diff } from '../../src/analysis/diff/diff.ts';
import { verify } from '../../src/analysis/verify/verify.ts';
import { MergeError } from '../../src/base/errors.ts';
import { average } from '../../src/merge/average.ts';
import { executePlan } from '../../src/merge/engine/execute.ts';
import { buildPlan } from '../../src/merge/plan/build.ts';
import { TIMES } from '../support/campaign.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { type Form, type Layout, writeQuantised } from '../support/quantised-layouts.ts';
import { mergeError } from '../support/safetensors.ts';

const FORMS: readonly Form[] = ['BF16', 'block', 'block of E8M0', 'row', 'row as a vector', 'tensor', 'MXFP4'];
const LAYOUTS: readonly Layout[] = ['apart', 'fused'];
/** Forms that are tried with all others; those that differ from one of them in how scales are stored, in long runs only. */
const TRIED = FORMS.filter((form) => TIMES > 1 || (form !== 'block of E8M0' && form !== 'row as a vector'));

interface Merge {
  readonly older: string;
  readonly newer: string;
  readonly dtype: 'same' | 'BF16' | undefined;
  readonly allowMixedDtypes: boolean;
}

/** What a plan promises is done, and right by the slow twin; what it refuses is refused with a reason. */
async function carriedOut({ older, newer, dtype, allowMixedDtypes }: Merge, output: string): Promise<string> {
  const request = {
    inputs: [older, newer].map((path) => ({ path })),
    outputs: [{ path: output, method: 'sma' as const, ...(dtype !== undefined && { dtype }) }],
    ...{ allowMixedDtypes, allowConfigs: true },
  };
  rmSync(output, { recursive: true, force: true });
  let plan: Awaited<ReturnType<typeof buildPlan>>;
  try {
    plan = await buildPlan(request);
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    expect(error.code).not.toBe('E_INTERNAL');
    expect(error.details.tensor ?? error.details.conflicts?.[0]?.tensor, error.message).toBeDefined();
    return error.code;
  }
  for await (const _ of executePlan(plan)) void _;
  expect((await verify(output, { full: true })).recomputed.fraction).toBe(1);
  return 'merged';
}

const bytesOf = (folder: string) => readFileSync(join(folder, 'model.safetensors'));
/** Scales that lie over gate and up together are others than those of each. */
const isSame = (older: Form) => older !== 'tensor';

/** Forms that are averaged by value with each other, in one layout and across layouts. */
const KIN: Readonly<Record<string, readonly Form[]>> = {
  block: ['block', 'block of E8M0'],
  'block of E8M0': ['block', 'block of E8M0'],
  row: ['row', 'row as a vector'],
  'row as a vector': ['row', 'row as a vector'],
};

describe('what the plan says of quantised experts, the engine does', () => {
  const temporary = temporaryFolder();
  afterAll(() => temporary.remove());
  const path = (form: Form, layout: Layout, step: number) => join(temporary.path, `${form} ${layout}`, `checkpoint-${step}`);
  for (const form of FORMS)
    for (const layout of LAYOUTS)
      for (const step of [100, 200]) writeQuantised(join(temporary.path, `${form} ${layout}`), step, step, form, layout);

  /** Of an older checkpoint in one form and layout with a newer one: what is done with and without mixed dtypes. */
  async function outcomes(a: Form, first: Layout, b: Form, second: Layout): Promise<string[]> {
    const seen: string[] = [];
    for (const [dtype, allowMixedDtypes] of [
      ['same', false],
      ['same', true],
      ['BF16', true],
    ] as const) {
      const merge = { older: path(a, first, 100), newer: path(b, second, 200), dtype, allowMixedDtypes };
      const out = join(temporary.path, 'out');
      const done = await carriedOut(merge, out);
      seen.push(done);
      if (done !== 'merged' || first === second || !isSame(a)) continue;
      // The same as if the older one had been in the layout of the newer, to the last bit.
      const alike = join(temporary.path, 'alike');
      expect(await carriedOut({ ...merge, older: path(a, second, 100) }, alike)).toBe('merged');
      expect(bytesOf(out).equals(bytesOf(alike)), `${a} ${first}, ${b} ${second}, ${dtype}`).toBe(true);
    }
    return seen;
  }

  const ALL = ['merged', 'merged', 'merged'];
  it.each(TRIED.filter((form) => form !== 'BF16'))('%s, apart or fused', async (form) => {
    for (const layout of LAYOUTS) expect(await outcomes(form, layout, form, layout)).toEqual(ALL);
    for (const other of KIN[form] ?? [form]) {
      // One scale for gate and up is none for each; blocks of FP4 have an axis of their own.
      const mixed = form === 'tensor' || form === 'MXFP4' ? ['E_LAYOUT_FORM', 'E_LAYOUT_FORM', 'E_LAYOUT_FORM'] : ALL;
      expect(await outcomes(form, 'apart', other, 'fused')).toEqual(mixed);
      expect(await outcomes(form, 'fused', other, 'apart')).toEqual(mixed);
    }
  });

  it.each(TRIED.filter((form) => form !== 'BF16'))('%s with floats: where both are allowed', async (form) => {
    const allowed = ['E_MIXED_QUANTISATION', 'merged', 'merged'];
    for (const layout of LAYOUTS) {
      expect(await outcomes(form, layout, 'BF16', layout)).toEqual(allowed);
      expect(await outcomes('BF16', layout, form, layout)).toEqual(allowed);
    }
    for (const [first, second] of [
      ['apart', 'fused'],
      ['fused', 'apart'],
    ] as const) {
      const both = [await outcomes(form, first, 'BF16', second), await outcomes('BF16', first, form, second)];
      const refused = form === 'MXFP4' ? [true, true] : [form === 'tensor' && first === 'fused', form === 'tensor' && second === 'fused'];
      for (const [i, seen] of both.entries()) {
        if (refused[i]) expect(seen.every((done) => done.startsWith('E_'))).toBe(true);
        else expect(seen).toEqual(allowed);
      }
    }
  });

  it('two forms of scales are refused, whatever the layouts', async () => {
    for (const a of TRIED) {
      for (const b of FORMS) {
        if (a === 'BF16' || b === 'BF16' || a === b || KIN[a]?.includes(b)) continue;
        for (const first of LAYOUTS) {
          for (const second of LAYOUTS) expect((await outcomes(a, first, b, second)).every((done) => done.startsWith('E_'))).toBe(true);
        }
      }
    }
  });

  it('diff refuses two forms or layouts in one sentence, and compares what its help advises', async () => {
    const plain = new Map<string, string>();
    for (const form of FORMS) {
      for (const layout of LAYOUTS) {
        const output = join(temporary.path, `plain ${form} ${layout}`);
        await average({ inputs: [path(form, layout, 100)], output, dtype: 'BF16' });
        plain.set(`${form} ${layout}`, output);
      }
    }
    for (const form of FORMS.filter((one) => one !== 'BF16')) {
      for (const [first, other, second] of [
        ['apart', form, 'fused'],
        ['fused', form, 'apart'],
        ['apart', 'BF16', 'fused'],
        ['fused', 'BF16', 'fused'],
        ['apart', 'BF16', 'apart'],
      ] as const) {
        const error = await mergeError(() => diff({ inputs: [path(form, first, 100), path(other, second, 200)] }));
        expect(error, `${form} ${first}, ${other} ${second}`).toMatchObject({ code: 'E_LAYOUT_FORM' });
        expect(error.details.conflicts).toHaveLength(1);
        expect(error.help).toContain('--dtype BF16');
        expect((await diff({ inputs: [plain.get(`${form} ${first}`)!, plain.get(`${other} ${second}`)!] })).tensors).toBeGreaterThan(2);
      }
    }
  });

  it('blocks across gate and up are refused, and named', async () => {
    const folder = join(temporary.path, 'uneven');
    const [older, newer] = [
      writeQuantised(folder, 100, 1, 'block', 'apart', { inner: 24 }),
      writeQuantised(folder, 200, 2, 'block', 'fused', { inner: 24 }),
    ];
    const planOf = (inputs: string[]) =>
      mergeError(() => buildPlan({ inputs: inputs.map((path) => ({ path })), outputs: [{ path: join(folder, 'out'), method: 'sma' }] }));
    const forward = await planOf([older, newer]);
    expect(forward.code).toBe('E_LAYOUT_FORM');
    expect(forward.message).toContain('the layout has a scale for each 16 x 16 values, and these lie across parts of 24 rows');
    const backward = await planOf([newer, writeQuantised(folder, 300, 1, 'block', 'apart', { inner: 24 })]);
    expect(backward.details.conflicts?.[0]?.message ?? backward.message).toContain(
      'gate_up_proj has a scale for each 16 x 16 values there',
    );
  });
});
