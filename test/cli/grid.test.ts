import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/checkpoints.ts';
import { runCli } from '../support/run-cli.ts';
import { writeRun } from '../support/run-trees.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
  const log = Array.from({ length: 8 }, (_, i) => ({ step: (i + 1) * 1000, loss: 3, learning_rate: 3e-4 }));
  const entries = Array.from({ length: 8 }, (_, i) => ({
    name: `checkpoint-${(i + 1) * 1000}`,
    step: (i + 1) * 1000,
    tokens: (i + 1) * 25e9,
    log: log.slice(0, i + 1),
  }));
  writeRun(at('run'), entries);
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);
const merge = (...args: string[]) => runCli(args, { cwd: folder.path });

const AXES = '--windows 50B,100B --decay linear,minus-sqrt --controls reverse --endpoints every:100B --stage-starts 60B'.split(' ');

describe('merge grid', () => {
  it('shows what it would make: members, shapes, sizes, reads, other names, and what windows cross', async () => {
    const { code, stdout, stderr } = await merge('grid', 'run', ...AXES, '-n');
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('W_WINDOW_CROSSES') });
    expect(stdout).toMatch(/^would make 12 outputs in 1 read\n\n {2}members {2} +steps {2}weights +size {2}output\n/);
    expect(stdout).toMatch(/\n +2 {2}3000 to 4000 {2}██ +\d+ B {2}step4000-w50B-wsm-linear\n/);
    expect(stdout).toMatch(/\n +4 {2}1000 to 4000 {2}█▃▃▂ +\d+ B {2}step4000-w100B-wsm-minus-sqrt !\n/);
    expect(stdout).toContain(
      '\n  weights: a bar a member, the oldest first\n  wsm-linear is also wsm-linear-reverse: the plain mean (4 times)\n',
    );
    expect(stdout).toMatch(/\n {2}needs \S+ MB of .* free, 12\.0 MB of it at most for the records of 12 outputs\n/);
    expect(stdout).toContain('  ! crosses the stage that starts at 60B tokens: 3 outputs\n');
    expect(stdout).toMatch(
      /\n {2}read 1: 12 outputs of 8 checkpoints, 128 B\n {2}reads 128 B instead of 576 B one by one \(448 B less\), writes/,
    );
    expect(stdout).toMatch(/\nnothing was written\n$/);
    expect(readdirSync(folder.path)).toEqual(['run']);
  });

  it('makes it, once, and says what it did in words and as a document', async () => {
    const first = await merge('grid', 'run', ...AXES, '-o', 'grid');
    expect(first.code).toBe(0);
    expect(first.stdout).toMatch(/^made 12 outputs in 1 read in grid\n/);
    expect(first.stdout).toContain('check each with: merge verify grid/step4000-w50B-wsm-linear\n');
    expect(first.stderr).toContain('read 1: 12 outputs of 8 checkpoints, 128 B\n');
    expect((await merge('verify', 'grid/step8000-w100B-wsm-minus-sqrt-reverse', '--full')).code).toBe(0);
    const again = await merge('grid', 'run', ...AXES, '-o', 'grid', '--json');
    expect(JSON.parse(again.stdout)).toMatchObject({
      ...{ schema: 'ckpt-merge/grid', version: 1, run: 'run', batches: [], bytesRead: 0, left: [] },
      outputs: expect.arrayContaining([
        expect.objectContaining({
          name: 'step8000-w100B-wsm-minus-sqrt-reverse',
          path: 'grid/step8000-w100B-wsm-minus-sqrt-reverse',
          axes: { endpoint: 8000, tokens: 200e9, window: '100B', method: 'wsm', decay: 'minus-sqrt', stride: 1, reverse: true },
          skipped: true,
        }),
      ]),
    });
    expect((await merge('grid', 'run', ...AXES, '-o', 'grid')).stdout).toMatch(/^finished already: all 12 outputs in grid are/);
    expect((await merge('grid', 'run', ...AXES, '-o', 'grid', '-n')).stdout).toBe(
      'nothing is missing: all 12 outputs of this grid are there already\n\nnothing was written\n',
    );
    // What is there is a line, and what is none of the grid is told.
    const more = ['--windows', '75B', '--decay', 'linear', '--endpoints', '4000,8000'];
    const planned = (await merge('grid', 'run', ...more, '--method', 'wsm,sma', '-o', 'grid', '-n')).stdout;
    expect(planned).toMatch(/^would make 2 outputs in 1 read\n/);
    expect(planned).toContain(
      '\n  12 other merges lie there, and they are none of this grid: step4000-w100B-wsm-linear, step4000-w100B-wsm-minus-sqrt, ',
    );
    const wider = (await merge('grid', 'run', ...AXES, '--strides', '1,3', '-o', 'grid', '-n')).stdout;
    expect(wider).toMatch(/^would make \d+ outputs in 1 read; 12 others \(up to steps 4000 to 8000\) are there already\n/);
    expect(wider).not.toMatch(/ step4000-w50B-wsm-minus-sqrt\n/);
    const paths = (await merge('grid', 'run', ...AXES, '-o', 'grid', '-q')).stdout.trim().split('\n');
    expect(paths.sort()).toEqual(readdirSync(at('grid')).map((name) => `grid/${name}`));
  });

  it('has its scores in the plan of a merge of the best, and what was left out for them in a line', async () => {
    writeFileSync(at('scores.csv'), `step,acc\n${[3, 8, 1, 6, 5, 2, 7, 4].map((score, i) => `${(i + 1) * 1000},0.${score}`).join('\n')}\n`);
    const { stdout, stderr } = await merge('average', 'run', '--members', 'top:2', '--scores', 'scores.csv', '--goal', 'maximize', '-n');
    expect(stdout).toMatch(
      /\n {2}step +tokens {2}score {2}weight {2}checkpoint\n {2}2000 +50,000,000,000 {4}0\.8 +0\.5 {2}run\/checkpoint-2000\n/,
    );
    expect(stdout).toContain(
      'left out: 6 checkpoints with a worse score: step 4000 0.6, step 5000 0.5, step 8000 0.4, step 1000 0.3, step 6000 0.2 and 1 more\n',
    );
    expect([stdout.match(/left out/g)?.length, stderr.includes('W_WINDOW_WIDE')]).toEqual([1, false]);
  });

  it('prints the recipe that it stands for, which `run` takes', async () => {
    const { stdout } = await merge('grid', 'run', ...AXES, '-o', 'other', '--print-recipe');
    expect(existsSync(at('other'))).toBe(false);
    writeFileSync(at('recipe.yaml'), stdout);
    expect((await merge('run', 'recipe.yaml', '-q')).code).toBe(0);
    await merge('grid', 'run', ...AXES, '-o', 'grid', '-q');
    expect(readdirSync(at('other'))).toEqual(readdirSync(at('grid')));
    for (const name of readdirSync(at('grid'))) {
      const tensors = (where: string) => readFileSync(at(where, name, 'model.safetensors'));
      expect(tensors('other').equals(tensors('grid')), name).toBe(true);
    }
  });

  it('takes its axes from a file', async () => {
    writeFileSync(
      at('grid.yaml'),
      `run: run
windows: 100B
method: [sma, ema]
half-life: [50B]
dtype: [BF16, F32]
policies:
  plain: []
  newest-embedding: [{ role: embedding, use: newest }]
`,
    );
    const { code, stdout, stderr } = await merge('grid', 'grid.yaml', '-o', 'grid', '-q');
    expect([code, stderr.includes('W_DTYPE_CHANGED')]).toEqual([0, false]);
    const base = 'grid/step8000-w100B';
    expect(stdout.trim().split('\n')).toEqual(
      ['sma', 'ema-half-life50B'].flatMap((method) =>
        ['BF16', 'F32'].flatMap((dtype) => ['plain', 'newest-embedding'].map((set) => `${base}-${method}-dtype-${dtype}-${set}`)),
      ),
    );
    const { recipe } = JSON.parse(readFileSync(at(`${base}-ema-half-life50B-dtype-F32-newest-embedding`, 'merge_provenance.json'), 'utf8'));
    expect(recipe).toMatchObject({
      method: 'ema',
      parameters: { 'half-life': '50B' },
      dtype: 'F32',
      policies: [{ policy: 'role=embedding:use=newest' }],
    });
    expect(JSON.parse((await merge('schema', '--grid')).stdout)).toMatchObject({ title: 'ckpt-merge grid', required: ['run', 'windows'] });
  });
});
