import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { heldOutLoss } from '../../src/cli/demo/held-out-loss.ts';
import { main } from '../../src/cli/main.ts';
import type { RouterReport } from '../../src/index.ts';
import { readScore } from '../../src/search/evaluate/results/read.ts';
import { fakeTerminal } from '../support/fake-terminal.ts';
import { reordered, someLayers, trained, writeMoeRun } from '../support/moe-run.ts';
import { runCli } from '../support/run-cli.ts';
import { temporaryFolder } from '../support/safetensors.ts';

async function routers(...args: readonly string[]) {
  const terminal = fakeTerminal();
  const code = await main(['routers', ...args], terminal);
  return { code, ...terminal.written };
}

describe('merge routers', () => {
  it('prints the verdict first, what it rests on, what was not tested, and a line a layer', async () => {
    const { code, out, err } = await routers('demo/runs/moe', '--last', '3');
    expect([code, err]).toEqual([0, '']);
    expect(out.split('\n')[0]).toBe('Experts kept their places in every layer; what averaged routers do to the model was not measured.');
    expect(out).toContain('\nNot tested:\n  - Real inputs: ');
    expect(out).toContain('olmoe, 3 checkpoints (step 5600 to step 6000), sma; softmax scores, the best 2, weights made to sum to 1\n');
    const table = out.slice(out.indexOf('layer  experts'));
    expect(table).toMatch(
      /^layer {2}experts {2}places {2}margin {3}moved {2}to newest {2}overlap {3}first\n {4}0 {8}8 {2}kept {6}0\.\d\d {2}1\d\.\d % +1\d\.\d % +9\d\.\d % +9\d\.\d %\n {4}1 /,
    );
  });

  it('says the same on every run, and other synthetic inputs with another seed', async () => {
    const report = async (...more: readonly string[]) => {
      const { out } = await routers('demo/runs/moe', '--last', '2', '--json', ...more);
      const { seconds, ...rest } = JSON.parse(out) as RouterReport;
      expect(seconds).toBeGreaterThan(0);
      return rest;
    };
    const first = await report();
    expect(first).toMatchObject({ schema: 'ckpt-merge/routers', version: 1, family: 'olmoe', inputs: { kind: 'synthetic', seed: 0 } });
    expect(await report()).toEqual(first);
    const other = await report('--seed', '1', '--probes', '64');
    expect(other.layers[0]!.choice).toMatchObject({ tokens: 64 });
    expect(other.layers[0]!.drift).toEqual(first.layers[0]!.drift);
  });

  it('writes a page', async () => {
    const page = join(temporaryFolder(), 'report.html');
    expect((await routers('demo/runs/moe', '--last', '2', '--out', page)).code).toBe(0);
    expect(readFileSync(page, 'utf8')).toContain('Experts kept their places in every layer');
    const { code, err } = await routers('demo/runs/moe', '--last', '2', '--out', '/nowhere/report.html');
    expect(code).toBe(1);
    expect(err).toContain('/nowhere/report.html');
    expect(existsSync('/nowhere')).toBe(false);
  });

  it('names permuted experts, and is a report all the same', async () => {
    const first = someLayers(1);
    const folder = temporaryFolder();
    writeMoeRun(folder, [first, reordered(trained(first, 2), 0, [0, 1, 2, 5, 4, 3])]);
    // No evaluator is run: such a merge would be refused.
    const { code, out } = await routers(folder, '--eval', 'exit 1; :');
    expect(code).toBe(0);
    expect(out).toMatch(/^Do not average these checkpoints: experts changed places in 1 of 2 MoE layers\.\n/);
    expect(out).toContain('Scores: a merge of permuted experts or layers is refused.');
    expect(out).toContain('In layer 0 experts 3 and 5 changed places between step 100 and step 200');
    expect(out).toMatch(/\n +0 +6 {2}changed in 1 pair +-[01]\.\d\d /);
  });

  it('scores one of several metrics, with the words of merge search', async () => {
    const metrics = `echo '{"metrics": {"a": 1, "b": 2}}'; :`;
    const words = ['--metric', 'b', '--goal', 'minimize', '--timeout', '30m', '--work', 'build'];
    const { code, out, err } = await routers('demo/runs/moe', '--last', '2', '--eval', metrics, ...words, '--json');
    expect([code, err]).toEqual([
      0,
      expect.stringMatching(/evaluating trial 1 \(2 of 4; best so far 2 of trial 0; about \d+ s left\): router average\n/),
    ]);
    expect((JSON.parse(out) as RouterReport).evaluation).toMatchObject({ goal: 'minimize', scores: Array(4).fill({ score: 2 }) });
  });

  it.each([
    [['demo/runs/dense', '--last', '2'], 3, 'E_NO_ROUTERS'],
    [['demo/runs/moe/checkpoint-6000'], 2, 'E_OPTION'],
    [['demo/runs/moe', '--sliding'], 2, 'E_USAGE'],
    [['demo/runs/moe', '--probes', '0'], 2, 'E_OPTION'],
    [['demo/runs/moe', '--goal', 'best'], 2, 'E_OPTION'],
    [['demo/runs/moe', '--goal', 'lower'], 2, 'E_OPTION'],
    [['demo/runs/moe', '--last', '2', '--eval', `echo '{"metrics": {"a": 1, "b": 2}}'; :`], 2, 'E_METRIC'],
    [['demo/runs/moe', '--last', '2', '--eval', 'echo 1; :'], 2, 'E_GOAL'],
    [['demo/runs/moe', '--hidden', 'nowhere.safetensors'], 3, 'E_NOT_FOUND'],
    [['demo/runs/moe', '--hidden', 'demo/runs/moe/checkpoint-6000/model.safetensors'], 3, 'E_HIDDEN_STATES'],
    [['demo/runs/moe', '--last', '2', '--work', 'build', '--eval', 'echo no score; :'], 1, 'E_EVALUATOR'],
  ])('%j ends with %i and %s', async (args, exit, code) => {
    const { code: ended, err } = await routers(...args);
    expect(err).toContain(`error[${code}]`);
    expect(ended).toBe(exit);
  });
});

it('the evaluator of the demo prints the held-out loss, with the loss of each block', async () => {
  const script = fileURLToPath(new URL('../../demo/evaluate.js', import.meta.url));
  const { code, stdout } = await runCli(['demo/runs/moe/checkpoint-6000', '8192'], { script });
  const text = readFileSync('demo/held-out/validation.txt');
  const { loss, blockLosses } = await heldOutLoss('demo/runs/moe/checkpoint-6000', text, { maxBytes: 8192, windowsPerBlock: 32 });
  expect(code).toBe(0);
  expect(blockLosses).toHaveLength(2);
  const [a, b] = blockLosses as [number, number];
  const out = temporaryFolder();
  expect(await readScore({ out, resultFile: join(out, 'result'), stdout, stderr: '', since: 0 }, {})).toMatchObject({
    score: expect.closeTo(loss, 12),
    stderr: expect.closeTo(Math.abs(a - b) / 2, 12),
    items: [{ scores: blockLosses, weight: 1 }],
  });
});
