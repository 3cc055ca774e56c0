import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { DtypeName } from '../../../src/base/dtype.ts';
import { buildPlan } from '../../../src/merge/plan/build.ts';
import type { OutputRequest, PlanRequest } from '../../../src/merge/plan/types.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());

let runs = 0;
/** Checkpoints whose weight and norm have these dtypes, oldest first. */
function run(dtypes: readonly (readonly [DtypeName, DtypeName])[]): string[] {
  const at = join(folder.path, String(runs++));
  return dtypes.map(([weight, norm], i) => {
    const tensors: FixtureTensor[] = [
      { name: 'layers.0.wq.weight', dtype: weight, shape: [4, 4] },
      { name: 'layers.0.wk.weight', dtype: weight, shape: [4, 4] },
      { name: 'norm.weight', dtype: norm, shape: [4] },
      // FP8 is codes with a scale each.
      ...(weight.startsWith('F8') ? ['wq', 'wk'] : []).map(
        (w) => ({ name: `layers.0.${w}.weight_scale`, dtype: 'F32', shape: [] }) as const,
      ),
    ];
    return writeCheckpoint(join(at, `step-${i + 1}000`), [tensors], i);
  });
}
async function said(inputs: string[], output: Partial<OutputRequest> = {}, rest: Partial<PlanRequest> = {}): Promise<string[]> {
  const outputs = [{ path: join(folder.path, 'out'), ...output }];
  const { warnings } = await buildPlan({ inputs, outputs, allowMixedDtypes: true, ...rest });
  return warnings.filter(({ code }) => code === 'W_DTYPE_CHANGED').map(({ message }) => message.slice(message.indexOf(': ') + 2));
}

test('an output that is narrower than most members hold because of one of them is one warning with the ways', async () => {
  const inputs = run([
    ['F32', 'F32'],
    ['F32', 'F32'],
    ['BF16', 'BF16'],
  ]);
  expect(await said(inputs)).toEqual([
    '3 tensors are F32 in 2 of 3 members (step-1000, step-2000) and stored as BF16, because the newest, step-3000, holds BF16: ' +
      `the merge is rounded to fewer bits than most members have; dtype: F32 or like: ${inputs[1]} keeps them, dtype: same says that BF16 is meant`,
  ]);
  expect((await said([...inputs].slice(0, 2), {}, { like: inputs[2]! }))[0]).toContain(
    '2 of 2 members (step-1000, step-2000) and stored as BF16, because like',
  );
});

test.each<[string, (readonly [DtypeName, DtypeName])[], string]>([
  [
    'norms alone, as of torchtitan',
    [
      ['BF16', 'F32'],
      ['BF16', 'F32'],
      ['BF16', 'BF16'],
    ],
    '1 tensor is F32 in 2 of 3 members',
  ],
  [
    'to FP8',
    [
      ['BF16', 'F32'],
      ['BF16', 'F32'],
      ['F8_E4M3', 'F32'],
    ],
    '2 tensors are BF16 in 2 of 3 members',
  ],
  [
    'several wide dtypes',
    [
      ['F32', 'F32'],
      ['F64', 'F32'],
      ['F16', 'F32'],
    ],
    '2 tensors are F32 or F64 in 2 of 3 members',
  ],
])('%s', async (_, dtypes, begin) => {
  const found = await said(run(dtypes));
  expect(found).toHaveLength(1);
  expect(found[0]).toContain(begin);
});

test.each<[string, Partial<OutputRequest>, Partial<PlanRequest>, (readonly [DtypeName, DtypeName])[]]>([
  [
    'a dtype that is asked for',
    { dtype: 'BF16' },
    {},
    [
      ['F32', 'F32'],
      ['F32', 'F32'],
      ['BF16', 'BF16'],
    ],
  ],
  [
    'the stored dtype, asked for',
    { dtype: 'same' },
    {},
    [
      ['F32', 'F32'],
      ['F32', 'F32'],
      ['BF16', 'BF16'],
    ],
  ],
  [
    'a policy that gives it',
    { policies: [{ name: '*', dtype: 'BF16' }] },
    {},
    [
      ['F32', 'F32'],
      ['F32', 'F32'],
      ['BF16', 'BF16'],
    ],
  ],
  [
    'few members that hold more',
    {},
    {},
    [
      ['F32', 'F32'],
      ['BF16', 'BF16'],
      ['BF16', 'BF16'],
    ],
  ],
  [
    'an output that is wider',
    {},
    {},
    [
      ['BF16', 'BF16'],
      ['BF16', 'BF16'],
      ['F32', 'F32'],
    ],
  ],
  [
    'no mix at all',
    {},
    {},
    [
      ['F32', 'F32'],
      ['F32', 'F32'],
    ],
  ],
])('nothing is said of %s', async (_, output, rest, dtypes) => {
  expect((await said(run(dtypes), output, rest)).filter((message) => message.includes('members'))).toEqual([]);
});
