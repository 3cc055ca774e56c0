import { expect, test } from 'vitest';
import type { Run } from '../../../src/checkpoints/run/types.ts';
import { selectMembers } from '../../../src/recipe/select/select.ts';
import type { Selected, Selection } from '../../../src/recipe/select/types.ts';
import { checkpointAt, demoLog, logOfLosses, normalFrom, runOf, runOfSteps, stepsFrom } from '../../support/run-objects.ts';

const stepsOf = ({ members }: Selected) => members.map(({ step }) => step);
const select = (run: Run, selection: Selection) => selectMembers([run], selection);

const normal = normalFrom(3);
/** A log line every 10 steps; the loss goes up at step 1010 and stays. */
const LOG = logOfLosses(Array.from({ length: 150 }, (_, i) => (i < 100 ? 2 : 6) + 0.02 * normal()));
/** 100, 200 … 1500. */
const RUN = runOfSteps(stepsFrom(100, 100, 15), 1e6, { log: LOG });

test('members lie at least one save interval before the spike in the log', () => {
  const selected = select(RUN, { beforeSpike: 'auto', last: 3 });
  expect(stepsOf(selected)).toEqual([700, 800, 900]);
  expect(selected.spike).toMatchObject({ step: 1010, loss: LOG[100]!.loss });
  expect(selected.spike!.threshold).toBeGreaterThan(2);
  expect(selected.spike!.threshold).toBeLessThan(2.5);
  expect(Object.fromEntries(selected.excluded.map(({ step, reason }) => [step, reason]))).toMatchObject({
    600: 'older than the newest 3',
    1000: 'less than 100 steps before the loss spike at step 1010',
    1100: 'after the loss spike at step 1010',
  });
});

test('the plan is told where the spike is, and what the paper showed and left open', () => {
  const { notes } = select(RUN, { beforeSpike: 'auto', last: 3 });
  expect(notes[0]).toMatch(
    /^loss spike at step 1010, found in the log: [56]\.\d+, over the threshold of 2\.\d+; members are at least 100 steps older$/,
  );
  expect(notes[1]).toMatch(/PMA paper .*330M\/3\.3B .*recovered.*optimizer state/);
});

test('a step that is given is taken as it is, without a log', () => {
  const selected = select({ ...RUN, log: [] }, { beforeSpike: 500 });
  expect(stepsOf(selected)).toEqual([100, 200, 300, 400]);
  expect(selected.spike).toEqual({ step: 500, loss: null, threshold: null });
  expect(selected.notes[0]).toBe('loss spike at step 500, as given; members are at least 100 steps older');
});

test.each<[Selection['margin'], number]>([
  [undefined, 900],
  [0, 1000],
  [10, 1000],
  [11, 900],
  ['110steps', 900],
  ['111steps', 800],
  ['2ckpt', 800],
  // At 1M tokens a step, 310M tokens are 310 steps.
  ['0.31B', 700],
  ['0.311B', 600],
])('with a margin of %j the newest member is step %d', (margin, newest) => {
  expect(stepsOf(select(RUN, { beforeSpike: 'auto', margin })).at(-1)).toBe(newest);
});

test('the checkpoint at the spike itself is never a member', () => {
  expect(stepsOf(select(RUN, { beforeSpike: 1000, margin: 0 })).at(-1)).toBe(900);
});

test('a margin in tokens uses the tokens a step had before the spike, and needs them', () => {
  // 1M tokens a step up to step 300, 4M after it: 400M are 100 steps.
  const ramp = runOf([
    ...[100, 200, 300].map((step) => checkpointAt({ step, tokens: step * 1e6 })),
    ...[400, 500, 600].map((step) => checkpointAt({ step, tokens: 300e6 + (step - 300) * 4e6 })),
  ]);
  expect(stepsOf(select(ramp, { beforeSpike: 600, margin: '400M' })).at(-1)).toBe(500);
  expect(stepsOf(select(ramp, { beforeSpike: 600, margin: '401M' })).at(-1)).toBe(400);
  expect(stepsOf(select(ramp, { beforeSpike: 400, margin: '400M' })).at(-1)).toBe(300);
  expect(stepsOf(select(ramp, { beforeSpike: 350, margin: '100M' })).at(-1)).toBe(200);
  expect(() => select(runOfSteps([100, 200, 300]), { beforeSpike: 300, margin: '1M' })).toThrow(
    expect.objectContaining({ code: 'E_NO_TOKENS' }),
  );
});

test('the save interval is that of the whole run, whatever else is selected', () => {
  expect(stepsOf(select(RUN, { beforeSpike: 'auto', steps: undefined, from: 900 }))).toEqual([900]);
});

test('the save interval is the median, of the stage alone', () => {
  const uneven = [0, 10, 110, 210, 310, 900].map((step) => checkpointAt({ stage: 1, step }));
  expect(stepsOf(select(runOf(uneven), { beforeSpike: 1000 })).at(-1)).toBe(900);
  expect(stepsOf(select(runOf(uneven), { beforeSpike: 999 })).at(-1)).toBe(310);
  const staged = runOf([...uneven, ...stepsFrom(5, 5, 40).map((step) => checkpointAt({ stage: 2, step }))]);
  expect(stepsOf(select(staged, { beforeSpike: 999, stage: 1 })).at(-1)).toBe(310);
  expect(stepsOf(select(staged, { beforeSpike: 200, stage: 2 })).at(-1)).toBe(195);
});

test('no spike is an error that says how many logs were looked at', () => {
  const calm = { ...RUN, log: LOG.slice(0, 100) };
  expect(() => select(calm, { beforeSpike: 'auto' })).toThrow(
    expect.objectContaining({
      code: 'E_NO_SPIKE',
      exitCode: 3,
      message: '/run: no loss spike among the 100 losses in the log',
      help: expect.stringContaining('`beforeSpike`'),
    }),
  );
  const demo = runOfSteps(stepsFrom(3800, 200, 12), undefined, { log: demoLog('dense', 'checkpoint-6000') });
  expect(() => select(demo, { beforeSpike: 'auto' })).toThrow(
    /among the 30 losses in the log, and one is measured against the 50 before it$/,
  );
  expect(() => select({ ...RUN, log: [] }, { beforeSpike: 'auto' })).toThrow(/among the 0 losses/);
});

test('a spike before anything was saved leaves nothing', () => {
  expect(() => select(RUN, { beforeSpike: 150 })).toThrow(
    expect.objectContaining({
      code: 'E_NO_MEMBERS',
      message: expect.stringMatching(/at least 100 steps before the loss spike at step 150; .*nearest: step 100 .*and step 200/),
    }),
  );
});

test('spacing counts back from the newest checkpoint before the spike', () => {
  expect(stepsOf(select(RUN, { beforeSpike: 'auto', every: 300, last: 3 }))).toEqual([300, 600, 900]);
});

test('a run of several stages must say which, and its log is that of the newest', () => {
  const staged = runOf(
    [
      ...stepsFrom(100, 100, 15).map((step) => checkpointAt({ stage: 1, step })),
      ...RUN.checkpoints.map(({ step }) => checkpointAt({ stage: 2, step })),
    ],
    { log: LOG },
  );
  expect(() => select(staged, { beforeSpike: 'auto' })).toThrow(
    expect.objectContaining({ code: 'E_OPTION', message: expect.stringContaining('needs stage') }),
  );
  expect(stepsOf(select(staged, { beforeSpike: 'auto', stage: 2, last: 1 }))).toEqual([900]);
  expect(() => select(staged, { beforeSpike: 'auto', stage: 1 })).toThrow(expect.objectContaining({ code: 'E_NO_SPIKE' }));
  expect(stepsOf(select(staged, { beforeSpike: 1010, stage: 1, last: 1 }))).toEqual([900]);
});
