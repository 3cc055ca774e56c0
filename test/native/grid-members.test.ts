import { rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { average } from '../../src/merge/average.ts';
import { grid, gridRecipe, planGrid } from '../../src/merge/grid/grid.ts';
import type { GridOptions } from '../../src/merge/grid/types.ts';
import { runRecipe } from '../../src/merge/run.ts';
import { readGrid } from '../../src/recipe/grid/read.ts';
import { gridRun } from '../support/grid-run.ts';
import { published } from '../support/multi-output.ts';
import { mergeError } from '../support/safetensors.ts';

let run: ReturnType<typeof gridRun>;
const at = (...parts: string[]) => run.at(...parts);
/** Of saves 1 to 8: the best three of the last four are 5, 6, 8, of all 2, 5, 8. */
const SCORES = [10, 70, 20, 30, 60, 50, 40, 80];
beforeEach(() => {
  run = gridRun();
  run.save(1, 8);
  writeFileSync(at('scores.csv'), `step,acc\n${SCORES.map((score, i) => `${(i + 1) * 1000},${score}`).join('\n')}\n`);
  writeFileSync(at('deep.json'), JSON.stringify({ 'model.layers.0.*': [0.1, 0.2, 0.3, 0.4] }));
  writeFileSync(at('flat.yaml'), '"model.layers.*": [0.25, 0.25, 0.25, 0.25]\nmodel.norm.weight: [0, 0, 0, 1]\n');
});
afterEach(() => run.remove());
const options = (more: Partial<GridOptions>): GridOptions => ({
  run: at('run'),
  windows: ['4ckpt'],
  output: at('grid'),
  threads: 1,
  ...more,
});
const scored = (more: Partial<GridOptions> = {}) => options({ memberScores: at('scores.csv'), memberGoal: 'maximize', ...more });
const stepsOf = ({ members }: { readonly members: readonly { readonly step: number | null }[] }) => members.map(({ step }) => step! / 1000);
const tensors = (path: string) => Object.fromEntries(Object.entries(published(path)).filter(([name]) => name.endsWith('.safetensors')));

describe('members by their scores, as an axis of a grid', () => {
  it('are the best of each window, beside all of it, and what `average` makes of them', async () => {
    const { outputs, warnings } = await grid(scored({ windows: ['4ckpt', '8ckpt'], members: ['all', 'top:3'] }));
    expect(outputs.map((output) => [output.name, stepsOf(output)])).toEqual([
      ['step8000-w4ckpt-sma', [5, 6, 7, 8]],
      ['step8000-w4ckpt-sma-top3', [5, 6, 8]],
      ['step8000-w8ckpt-sma', [1, 2, 3, 4, 5, 6, 7, 8]],
      ['step8000-w8ckpt-sma-top3', [2, 5, 8]],
    ]);
    expect(outputs[3]!.axes).toMatchObject({ members: 'top:3', window: '8ckpt' });
    const [chosen, ...others] = warnings.filter(({ code }) => code === 'W_SELECTED_BY_SCORE');
    expect(chosen!.message).toMatch(
      /-w8ckpt-sma-top3, .*-w4ckpt-sma-top3: the 3 members were chosen by score in scores.csv: on the same items/,
    );
    expect(others).toEqual([]);
    // How far apart they lie is said of the windows alone.
    expect(warnings.flatMap(({ code, message }) => (code === 'W_WINDOW_WIDE' && message.includes('top3') ? [message] : []))).toEqual([]);
    const select = { members: 'top:3', scores: at('scores.csv'), goal: 'maximize' } as const;
    await average({ inputs: [at('run')], select, output: at('one'), threads: 1 });
    expect(tensors(at('grid', 'step8000-w8ckpt-sma-top3'))).toEqual(tensors(at('one')));
    // What the merge records of itself says it, too.
    const { selection, warnings: own } = JSON.parse(published(at('grid', 'step8000-w8ckpt-sma-top3'))['merge_provenance.json']!.toString());
    expect(JSON.stringify([selection, own])).toContain('W_SELECTED_BY_SCORE');
  });

  it('of a window that has no more are all, and one merge of two names', async () => {
    const { outputs } = await planGrid(scored({ members: ['all', 'top:4', 'top:9'] }));
    expect(outputs.map(({ name }) => name)).toEqual(['step8000-w4ckpt-sma']);
    expect(JSON.stringify(outputs[0])).toContain('step8000-w4ckpt-sma-top4');
  });

  it('go by smaller scores where they are better, and by schedules, strides and controls like others', async () => {
    const { outputs } = await planGrid(
      scored({ windows: ['8ckpt'], members: 'top:2', memberGoal: 'minimize', strides: [1, 2], method: ['wma'], controls: 'reverse' }),
    );
    // Of 1 to 8 the smallest are 1 and 3; of 2, 4, 6, 8: 4 and 6.
    expect(outputs.map((output) => [output.name, stepsOf(output), output.members.map(({ weight }) => weight > 0.5)])).toEqual([
      ['step8000-w8ckpt-wma-top2', [1, 3], [false, true]],
      ['step8000-w8ckpt-wma-top2-reverse', [1, 3], [true, false]],
      ['step8000-w8ckpt-wma-stride2-top2', [4, 6], [false, true]],
      ['step8000-w8ckpt-wma-stride2-top2-reverse', [4, 6], [true, false]],
    ]);
  });

  it('are not made of a window without a score, and the endpoints that have some are', async () => {
    writeFileSync(at('late.csv'), 'step,acc\n7000,1\n8000,2\n');
    const plan = await planGrid(
      scored({ windows: ['2ckpt'], endpoints: ['3000', 'newest'], members: 'top:1', memberScores: at('late.csv') }),
    );
    expect(plan.outputs.map(({ name }) => name)).toEqual(['step8000-w2ckpt-sma-top1']);
    expect(plan.left).toEqual([
      { name: 'step3000-w2ckpt-top1', reason: expect.stringContaining('late.csv has no score of any of its saves') },
    ]);
  });

  it('are made once: a second run makes nothing, also when members are gone', async () => {
    const asked = scored({ windows: ['8ckpt'], members: ['all', 'top:3'] });
    await grid(asked);
    rmSync(at('run', 'checkpoint-2000'), { recursive: true });
    const { outputs } = await grid(asked);
    expect(outputs.map(({ name, skipped }) => [name, skipped])).toEqual([
      ['step8000-w8ckpt-sma', true],
      ['step8000-w8ckpt-sma-top3', true],
    ]);
    await runRecipe({ ...(await gridRecipe(scored({ members: 'top:2', output: at('again') }))) }, { threads: 1 });
    expect(run.names(at('again'))).toEqual(['step8000-w4ckpt-sma-top2']);
  });
});

describe('windows of one member', () => {
  const copies = async (more: Partial<GridOptions>) =>
    (await planGrid(options(more))).warnings.flatMap(({ code, message }) => (code === 'W_ONE_MEMBER' ? [message] : []));

  it('are said to be copies, and that a number without a unit is steps', async () => {
    const [first] = await copies({ windows: [20, '4ckpt'], endpoints: ['7000', 'newest'] });
    expect(first).toMatch(/^the window 20steps has one member: step7000-w20steps-sma, step8000-w20steps-sma, each a copy of its own/);
    expect(first).toMatch(/a number without a unit is steps: tokens are as 20B, saves as 20ckpt$/);
    expect(await copies({ strides: [1, 5], endpoints: ['7000', 'newest'] })).toEqual([
      'the window 4ckpt has one member with such a stride: step7000-w4ckpt-sma-stride5, step8000-w4ckpt-sma-stride5, each a copy of its own',
    ]);
  });

  it('are nothing to tell of where one is asked for', async () => {
    expect(await copies({ windows: ['1ckpt', '2ckpt'] })).toEqual([]);
    expect(await copies({ memberScores: at('scores.csv'), memberGoal: 'maximize', members: 'top:1' })).toEqual([]);
    expect(await copies({ memberScores: at('scores.csv'), memberGoal: 'maximize', members: ['top:2'], windows: 20 })).toHaveLength(1);
  });
});

describe('files of weights, as an axis of a grid', () => {
  it('are told of where a list does not sum to 1, each by its name', async () => {
    writeFileSync(
      at('sums.json'),
      '{"model.norm.weight": [0.5, 0.5, 0.25, 0.25], "*mlp*": [0.25, 0.25, 0.25, 0.25], "*": [0, 0, 0.1, 0.2]}',
    );
    const { warnings } = await grid(options({ weightsFile: at('sums.json') }));
    expect(warnings.filter(({ code }) => code === 'W_WEIGHT_SUM').map(({ message }) => message)).toEqual([
      'the weights of 2 policies do not sum to 1, and are used as given: "model.norm.weight" (sums.json:1) to 1.5, "*" (sums.json:1) to 0.3',
    ]);
    const policies = [{ role: 'norms', weights: [0.5, 0.5, 0.5, 0.5] }];
    const merged = await average({ inputs: [at('run')], select: { last: 4 }, policies, output: at('one'), threads: 1 });
    expect(merged.warnings.map(({ message }) => message).join()).toContain(
      'the weights of a policy do not sum to 1, and are used as given: role=norms to 2',
    );
    expect((await grid(options({ weightsFile: at('deep.json') }))).warnings.map(({ code }) => code)).not.toContain('W_WEIGHT_SUM');
  });

  it('are each what `average` makes with that file', async () => {
    const { outputs } = await grid(options({ weightsFile: [at('deep.json'), at('flat.yaml')] }));
    expect(outputs.map(({ name, axes }) => [name, axes['weights-file']])).toEqual([
      ['step8000-w4ckpt-sma-weights-file-deep', 'deep'],
      ['step8000-w4ckpt-sma-weights-file-flat', 'flat'],
    ]);
    for (const [name, file] of [
      ['deep', 'deep.json'],
      ['flat', 'flat.yaml'],
    ] as const) {
      await average({ inputs: [at('run')], select: { last: 4 }, weightsFile: at(file), output: at(name), threads: 1 });
      expect(tensors(at('grid', `step8000-w4ckpt-sma-weights-file-${name}`)), name).toEqual(tensors(at(name)));
    }
    expect(tensors(at('deep'))).not.toEqual(tensors(at('flat')));
  });

  it('are made once, and one that was changed is another plan', async () => {
    const asked = options({ weightsFile: [at('deep.json')] });
    await grid(asked);
    expect((await grid(asked)).outputs.map(({ skipped }) => skipped)).toEqual([true]);
    rmSync(at('run', 'checkpoint-6000'), { recursive: true });
    expect((await grid(asked)).outputs[0]).toMatchObject({ skipped: true });
    run.save(6, 6);
    writeFileSync(at('deep.json'), JSON.stringify({ 'model.layers.0.*': [0.4, 0.3, 0.2, 0.1] }));
    expect((await mergeError(() => grid(asked))).code).toBe('E_OUTPUT_EXISTS');
  });
});

describe('a grid file', () => {
  const file = (text: string) => {
    writeFileSync(at('grid.yaml'), text);
    return readGrid(at('grid.yaml'));
  };

  it('has both axes, with paths as from its folder', async () => {
    const read = await file(
      'run: run\nwindows: 4ckpt\nmembers: [all, top:2]\nmember-scores: scores.csv\nmember-metrics: acc\nmember-goal: maximize\nweights-file: [deep.json]\n',
    );
    expect(read).toMatchObject({
      members: ['all', 'top:2'],
      memberScores: at('scores.csv'),
      memberMetrics: 'acc',
      weightsFile: [at('deep.json')],
    });
    const plain = await file('run: run\nwindows: 4ckpt\nmembers: [all, top:2]\nmember-scores: scores.csv\nmember-goal: maximize\n');
    const { outputs } = await planGrid({ ...plain, output: at('grid') });
    expect(outputs.map(stepsOf)).toEqual([
      [5, 6, 7, 8],
      [5, 8],
    ]);
  });

  it.each([
    ['members: top:0', 'takes all, or top:K'],
    ['members: best', 'takes all, or top:K'],
    ['members: [all, top:2]', 'member-scores'],
    ['members: [top:2, top:2]\nmember-scores: scores.csv', 'names top:2 twice'],
    ['member-scores: scores.csv', 'has a meaning only with members'],
    ['members: all\nmember-goal: maximize', 'has a meaning only with members'],
    ['members: top:2\nmember-scores: scores.csv\nmember-goal: up', 'member-goal'],
    ['weights-file: []', 'empty list'],
    ['weights-file: [deep.json, deep.json]', 'twice'],
    ['weights-file: { a: 1 }', 'must be a value or a list of values'],
  ])('with %j is refused at its place', async (line, message) => {
    const error = await mergeError(() => file(`run: run\nwindows: 4ckpt\n${line}\n`));
    expect(error.code).toBe('E_GRID');
    expect(JSON.stringify([error.message, error.details.conflicts])).toContain(message);
  });

  it.each<[string, Partial<GridOptions>, string]>([
    ['scores that are not there', { members: 'top:2', memberScores: 'none.csv' }, 'E_NOT_FOUND'],
    ['weights of another number of members', { windows: ['3ckpt'], weightsFile: 'deep.json' }, 'E_WEIGHTS'],
    ['a file of weights that is none', { weightsFile: 'scores.csv' }, 'E_WEIGHTS'],
    ['two files of one name', { weightsFile: ['deep.json', 'other/deep.json'] }, 'E_OPTION'],
  ])('%s are refused when the run is seen', async (_, { memberScores, weightsFile, ...more }, code) => {
    const files = [weightsFile ?? []].flat().map((name) => at(name));
    const own = { ...(memberScores !== undefined && { memberScores: at(memberScores) }), ...(files.length > 0 && { weightsFile: files }) };
    expect((await mergeError(() => planGrid(options({ ...more, ...own })))).code).toBe(code);
  });
});
