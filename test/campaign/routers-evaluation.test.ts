import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { routers } from '../../src/analysis/routers/routers.ts';
import { ByteReader } from '../../src/base/store/byte-reader.ts';
import { average } from '../../src/merge/average.ts';
import { openCheckpoint } from '../../src/safetensors.ts';
import { mergeError, temporaryFolder } from '../support/safetensors.ts';

const MOE = 'demo/runs/moe';
const given = (work: string) => ({ inputs: [MOE], select: { last: 3 }, work, goal: 'minimize' as const });

/**
 * An evaluator that knows the models by the numbers of their trials; that of the newest checkpoint is the
 * first.
 */
const scores = (average: string, newest: string, oldest: string, unmerged: string) =>
  `case {trial} in 1) echo '${average}';; 2) echo '${newest}';; 3) echo '${oldest}';; *) echo '${unmerged}';; esac; : {model}`;

async function tensors(path: string): Promise<Map<string, string>> {
  const { shards } = await openCheckpoint(path);
  const reader = new ByteReader();
  const found = new Map<string, string>();
  for (const { path: file, header } of shards) {
    for (const [row, name] of header.tensors.names.entries()) {
      const begin = header.tensors.begin[row]!;
      const bytes = await reader.read(file, header.dataStart + begin, header.tensors.end[row]! - begin);
      found.set(name, bytes.toString('hex'));
    }
  }
  await reader.close();
  return found;
}

describe('scores of averaged, newest and oldest routers', () => {
  it("are of merges that differ in their routers alone, and have the members' own", async () => {
    const work = temporaryFolder();
    await routers({ ...given(work), eval: 'echo 1; :', keep: true });
    const [folder, ...others] = readdirSync(work);
    expect(others).toEqual([]);
    const study = join(work, folder!);
    expect(readdirSync(join(study, 'logs')).sort()).toEqual([0, 1, 2, 3].map((id) => `trial-000${id}.log`));
    const [made, ...rest] = readdirSync(study).filter((name) => name.startsWith('ckpt-merge-work-'));
    expect(rest).toEqual([]);
    const merges = readdirSync(join(study, made!)).sort();
    expect(merges.map((name) => name.replace(/-[0-9a-f]+$/, ''))).toEqual(['trial-0001', 'trial-0002', 'trial-0003']);
    const [averaged, newest, oldest] = merges.map((name) => join(study, made!, name));
    const merged = join(work, 'merged');
    await average({ inputs: [MOE], select: { last: 3 }, output: merged });
    const plain = await tensors(merged);
    expect(await tensors(averaged!)).toEqual(plain);
    for (const [variant, step] of [
      [newest!, 6000],
      [oldest!, 5600],
    ] as const) {
      const own = await tensors(`${MOE}/checkpoint-${step}`);
      for (const [name, bytes] of await tensors(variant)) {
        expect(bytes === (name.endsWith('.mlp.gate.weight') ? own : plain).get(name), name).toBe(true);
      }
    }
  });

  it('are reported with paired errors, and what they say of averaging', async () => {
    const work = temporaryFolder();
    const items = (...values: number[]) =>
      JSON.stringify({ score: values.reduce((a, b) => a + b, 0) / values.length, stderr: 0.5, items: values });
    const command = scores(items(1, 2, 3), items(1.1, 2.1, 3.1), items(1.2, 2.1, 3), items(2, 3, 4));
    const { evaluation, verdict } = await routers({ ...given(work), eval: command });
    expect(readdirSync(work)).toEqual([]);
    expect(evaluation).toMatchObject({
      command,
      goal: 'minimize',
      scores: [
        { router: 'average', score: 2, stderr: 0.5, items: 3 },
        { router: 'newest', items: 3 },
        { router: 'oldest', items: 3 },
        { router: 'unmerged', score: 3, items: 3 },
      ],
    });
    const [newest, oldest, unmerged] = evaluation!.differences;
    expect(newest).toMatchObject({ router: 'newest', paired: true, mean: expect.closeTo(0.1, 12), error: expect.closeTo(0, 12) });
    // 0.2, 0.1, 0: mean 0.1, standard deviation 0.1.
    expect(oldest).toMatchObject({
      router: 'oldest',
      paired: true,
      mean: expect.closeTo(0.1, 12),
      error: expect.closeTo(0.1 / Math.sqrt(3), 12),
    });
    expect(unmerged).toMatchObject({ router: 'unmerged', mean: expect.closeTo(1, 12) });
    expect(verdict.kind).toBe('measured');
    expect(verdict.headline).toMatch(
      /^Averaged routers score at least as well as those of the newest and the oldest, which are worse by up to 0\.10* ± 0, 10\.0 % of what merging gained\.$/,
    );
  });

  it.each([
    [
      'a choice that is clearly better',
      scores('{"score":2,"stderr":0.01}', '{"score":1.5,"stderr":0.01}', '3', '4'),
      'look',
      /^The newest routers score better on the averaged weights than averaged ones, by 0\.500 ± 0\.014\.$/,
    ],
    [
      'one that is not clearly better',
      scores('{"score":2,"stderr":0.1}', '{"score":1.9,"stderr":0.1}', '{"score":2,"stderr":0.1}', '4'),
      'measured',
      /^Averaging the routers does no harm that can be measured here: the choice of router changes the score by 0\.10 ± 0\.14, 5\.0 % of what merging gained\.$/,
    ],
    [
      'scores without errors',
      scores('2', '1', '3', '4'),
      'measured',
      /without standard errors nobody can say which differences are chance/,
    ],
  ])('say so of %s', async (_, command, kind, headline) => {
    const { verdict } = await routers({ ...given(temporaryFolder()), eval: command });
    expect(verdict.kind).toBe(kind);
    expect(verdict.headline).toMatch(headline);
  });

  it('take higher for better where that is the goal', async () => {
    const command = scores('{"score":2,"stderr":0.01}', '{"score":1.5,"stderr":0.01}', '{"score":2.5,"stderr":0.01}', '1');
    const { verdict } = await routers({ ...given(temporaryFolder()), eval: command, goal: 'maximize' });
    expect(verdict.headline).toBe('The oldest routers score better on the averaged weights than averaged ones, by 0.500 ± 0.014.');
  });

  it('are of the metric that is asked for, where the evaluator reports several', async () => {
    const work = temporaryFolder();
    const metrics = (a: number, b: number) => JSON.stringify({ metrics: { a, b } });
    const command = scores(metrics(1, 2), metrics(1, 3), metrics(1, 4), metrics(1, 5));
    const error = await mergeError(() => routers({ ...given(work), eval: command }));
    expect(error).toMatchObject({
      code: 'E_METRIC',
      message: expect.stringMatching(/which metric is the score\? .* has 2:\n {2}`metrics` a /),
    });
    const { evaluation } = await routers({ ...given(work), eval: command, metrics: [{ name: 'b', weight: 1 }] });
    expect(evaluation!.scores.map(({ score }) => score)).toEqual([2, 3, 4, 5]);
    expect(readdirSync(work)).toEqual([]);
  });

  it('are no better or worse where nobody says which way is better', async () => {
    const { goal, ...rest } = given(temporaryFolder());
    expect((await mergeError(() => routers({ ...rest, eval: 'echo 1; :' }))).code).toBe('E_GOAL');
    const said = scores('{"score":2,"higher_is_better":true}', '1', '1', '{"score":1,"higher_is_better":true}');
    expect((await routers({ ...rest, eval: said })).evaluation!.goal).toBe('maximize');
  });

  it('leave nothing behind when the evaluator fails, or the work is ended', async () => {
    const work = temporaryFolder();
    const error = await mergeError(() => routers({ ...given(work), eval: 'exit 2; :' }));
    expect(error).toMatchObject({ code: 'E_EVALUATOR', message: expect.stringContaining('exit code 2') });
    expect(readdirSync(work)).toEqual([]);
    const controller = new AbortController();
    const begun = join(temporaryFolder(), 'begun');
    const command = `touch '${begun}'; sleep 60; :`;
    const ended = expect(routers({ ...given(work), eval: command }, { signal: controller.signal })).rejects.toBe('enough');
    await vi.waitFor(() => expect(existsSync(begun)).toBe(true), { timeout: 60_000 });
    controller.abort('enough');
    await ended;
    expect(readdirSync(work)).toEqual([]);
  });

  it('need a folder that can be written', async () => {
    expect((await mergeError(() => routers({ ...given('/nowhere'), eval: 'echo 1; :' }))).code).toBe('E_IO');
  });
});
