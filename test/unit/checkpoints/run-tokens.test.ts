import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { withTokens } from '../../../src/checkpoints/run/token-source.ts';
import type { Run, TokenSource } from '../../../src/checkpoints/run/types.ts';
import { checkpointAt, runOf, runOfSteps } from '../../support/run-objects.ts';

const folder = mkdtempSync(join(tmpdir(), 'tokens-'));
afterAll(() => rmSync(folder, { recursive: true }));

function csv(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const tokensOf = (run: Run) => run.checkpoints.map(({ tokens }) => tokens);

test('without a source a run stays as it is', async () => {
  const run = runOfSteps([100, 200]);
  expect(await withTokens(run, {})).toBe(run);
});

test.each(['4M', '4000000', 4e6])('tokens-per-step %j counts every step alike', async (tokensPerStep) => {
  const run = await withTokens(runOfSteps([0, 100, 2500]), { tokensPerStep });
  expect(tokensOf(run)).toEqual([0, 4e8, 1e10]);
  expect(run.checkpoints.map(({ tokensFrom }) => tokensFrom)).toEqual(['option', 'option', 'option']);
  expect(run.warnings).toEqual([]);
});

test('a batch schedule counts piece by piece', async () => {
  const run = runOfSteps([0, 10, 49_999, 50_000, 50_001, 80_000, 100_000]);
  const counted = await withTokens(run, { batchSchedule: '0:2M, 50000:4M,80000:8M' });
  // By hand: 2M x 50,000 = 100B, then 4M x 30,000 = 120B, then 8M x 20,000 = 160B.
  expect(tokensOf(counted)).toEqual([0, 20e6, 99_998e6, 100e9, 100_004e6, 220e9, 380e9]);
});

test.each([
  ['', /'' of '' is none/],
  ['2M', /'2M' of '2M' is none/],
  ['0:2M,', /'' of '0:2M,' is none/],
  ['100:2M', /begins at step 0, not at step 100/],
  ['0:2M,500:4M,500:8M', /rising steps, and 500 follows 500/],
  ['0:2M,500:4M,200:8M', /rising steps, and 200 follows 500/],
  ['0:2M,500:0', /from step 500 on, takes tokens over 0/],
  ['0:-2M', /takes tokens/],
  ['0:2M,500:4steps', /takes tokens/],
])('the batch schedule %j is refused', async (batchSchedule, message) => {
  await expect(withTokens(runOfSteps([1]), { batchSchedule })).rejects.toThrow(
    expect.objectContaining({ code: 'E_OPTION', message: expect.stringMatching(message) }),
  );
});

test.each([0, '0', '-1', 'many', Number.NaN, '8 steps'])('tokens-per-step %j is refused', async (tokensPerStep) => {
  await expect(withTokens(runOfSteps([1]), { tokensPerStep })).rejects.toMatchObject({ code: 'E_OPTION' });
});

test('two sources are refused, both named', async () => {
  const source: TokenSource = { tokensPerStep: '4M', batchSchedule: '0:4M' };
  await expect(withTokens(runOfSteps([1]), source)).rejects.toMatchObject({
    code: 'E_OPTION',
    message: expect.stringMatching(/tokensPerStep and batchSchedule/),
  });
});

test('a tokens file: its steps exactly, straight lines between them, nothing beyond', async () => {
  const tokensFile = csv('ramp.csv', '\uFEFFstep,tokens\r\n100, 1B\r\n# the batch doubles\r\n200,2B\r\n\r\n400,6000000000\r\n');
  const run = await withTokens(runOfSteps([50, 100, 150, 200, 300, 399, 400, 401]), { tokensFile });
  expect(tokensOf(run)).toEqual([null, 1e9, 1.5e9, 2e9, 4e9, 5.98e9, 6e9, null]);
  expect(run.checkpoints[0]!.tokensFrom).toBeNull();
  expect(run.warnings).toEqual([
    {
      code: 'W_TOKENS',
      message: `tokens-file ${tokensFile} covers steps 100 to 400 and leaves 2 of 8 checkpoints without a token count (step50, step401)`,
    },
  ]);
});

test('a tokens file without a header, with one line', async () => {
  const run = await withTokens(runOfSteps([7]), { tokensFile: csv('one.csv', '7,123\n') });
  expect(tokensOf(run)).toEqual([123]);
});

test('all problems of a tokens file are reported at once, with their lines', async () => {
  const tokensFile = csv('bad.csv', 'step,tokens\n100,1B\n100,2B\n200,5steps\n300\n400,1M\n-5,1B\n1.5,1B\n500,NaN\n600,2B\n');
  const error = await withTokens(runOfSteps([1]), { tokensFile }).catch((e: unknown) => e);
  expect(error).toMatchObject({ code: 'E_OPTION', message: `${tokensFile} has 7 problems` });
  const messages = (error as { details: { conflicts: { message: string }[] } }).details.conflicts.map(({ message }) =>
    message.replace(`${tokensFile}: `, ''),
  );
  expect(messages).toEqual([
    'line 3: step 100 follows step 100',
    'line 4: "200,5steps" is not step,tokens',
    'line 5: "300" is not step,tokens',
    'line 6: the token count falls, from 1000000000 to 1000000',
    'line 7: "-5,1B" is not step,tokens',
    'line 8: "1.5,1B" is not step,tokens',
    'line 9: "500,NaN" is not step,tokens',
  ]);
});

test('a tokens file that is empty, missing or a folder', async () => {
  const source = (tokensFile: string) => withTokens(runOfSteps([1]), { tokensFile });
  await expect(source(csv('empty.csv', 'step,tokens\n'))).rejects.toMatchObject({
    code: 'E_OPTION',
    message: expect.stringMatching(/no lines of step,tokens/),
  });
  await expect(source(join(folder, 'gone.csv'))).rejects.toMatchObject({
    code: 'E_NOT_FOUND',
    details: { file: join(folder, 'gone.csv') },
  });
  await expect(source(folder)).rejects.toMatchObject({ code: 'E_NOT_READABLE' });
});

test('what a state file says is kept; a difference of over 1 % is a warning', async () => {
  const run = runOf([checkpointAt({ step: 100, tokens: 400e6 }), checkpointAt({ step: 200, tokens: 800e6 }), checkpointAt({ step: 300 })]);
  const close = await withTokens(run, { tokensPerStep: 4.04e6 });
  expect(tokensOf(close)).toEqual([400e6, 800e6, 1212e6]);
  expect(close.checkpoints.map(({ tokensFrom }) => tokensFrom)).toEqual(['state', 'state', 'option']);
  expect(close.warnings).toEqual([]);
  const far = await withTokens({ ...run, warnings: [{ code: 'W_TRAINER_STATE', message: 'kept' }] }, { tokensPerStep: 4.05e6 });
  expect(tokensOf(far)).toEqual([400e6, 800e6, 1215e6]);
  expect(far.warnings).toEqual([
    { code: 'W_TRAINER_STATE', message: 'kept' },
    {
      code: 'W_TOKENS',
      message:
        'tokens-per-step says 810M tokens at step 200, and its state file 800M tokens, and so for 1 more; its state file is believed',
    },
  ]);
});

test('a name is rounded, so an option may differ from it by its rounding', async () => {
  const named = (tokens: number) => runOf([checkpointAt({ step: 1000, tokens, tokensFrom: 'name' })]);
  // OLMo's step1000-tokens4B: 4.194B and 4.99B are both 4B when cut off, 5.1B is not.
  for (const tokensPerStep of [4_194_304, 4_990_000]) expect((await withTokens(named(4e9), { tokensPerStep })).warnings).toEqual([]);
  expect((await withTokens(named(4e9), { tokensPerStep: '5.1M' })).warnings).toMatchObject([
    { code: 'W_TOKENS', message: expect.stringContaining('its name 4B tokens') },
  ]);
});

test('a checkpoint without a step keeps no count, and that is said', async () => {
  const run = await withTokens(runOf([checkpointAt({ name: 'final' }), checkpointAt({ step: 5 })]), { tokensPerStep: 10 });
  expect(tokensOf(run)).toEqual([null, 50]);
  expect(run.warnings).toMatchObject([{ code: 'W_TOKENS', message: expect.stringContaining('(final)') }]);
});
