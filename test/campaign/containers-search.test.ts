import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { forecast } from '../../src/search/forecast/forecast.ts';
import { search } from '../../src/search/optimise/search.ts';
import { soup } from '../../src/search/optimise/soup.ts';
import type { StudyEvent } from '../../src/search/study/types.ts';
import { floatsOf, type OracleTensor, readOracle, unpackGolden } from '../support/containers.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const NORM = /(^|\.)norm\.weight$/;
/** In the golden runs a norm's float32 values tell the steps, and their means, apart. */
const normOf = (tensors: ReadonlyMap<string, OracleTensor>): OracleTensor => [...tensors].find(([name]) => NORM.test(name))![1];

/** An evaluator that loads what it is given as Hugging Face would, and says what it was given. */
function evaluator(seen: string[][]) {
  return async (model: string): Promise<number> => {
    seen.push(readdirSync(model).sort());
    const tensors = readOracle(join(model, 'model.safetensors'));
    const norm = normOf(tensors);
    return norm.dtype === 'F32' ? floatsOf(norm)[0]! : norm.bytes.readUInt16LE(0);
  };
}

const RUNS = [
  ['boxes in two dimensions', 'dcp-2d', ['100', '200']],
  ["torch.save's files", 'torch-bin', ['100', '200']],
  ['torchtitan', 'torchtitan', ['checkpoint/step-100', 'checkpoint/step-200']],
] as const;

describe('an evaluator is given safetensors of each checkpoint', () => {
  it.each(RUNS)('of %s', async (_, name, steps) => {
    const home = unpackGolden(name, join(folder, name));
    const inputs = steps.map((step) => join(home, step));
    const before = inputs.map((path) => readdirSync(path).sort());
    const wanted = steps.map((step) => floatsOf(normOf(readOracle(join(home, `oracle/${step.match(/\d+$/)![0]}.safetensors`))))[0]!);
    const seen: string[][] = [];
    const events: StudyEvent[] = [];
    const dir = join(folder, `soup-${name}`);
    const { trials } = await soup({ inputs, eval: evaluator(seen), goal: 'maximize', dir }, { onEvent: (event) => events.push(event) });
    expect(trials.map(({ status }) => status)).toEqual(trials.map(() => 'complete'));
    const alone = trials.filter(({ weights }) => weights.length === 1);
    expect(alone.map(({ score }) => score).sort()).toEqual([...wanted].sort());
    for (const names of seen) expect(names).toContain('model.safetensors');
    expect(inputs.map((path) => readdirSync(path).sort())).toEqual(before);
    expect(events.filter((event) => event.type === 'note' && /the evaluator gets safetensors/.test(event.text))).toHaveLength(1);
    expect(readdirSync(dir).filter((entry) => entry.startsWith('ckpt-merge-work'))).toEqual([]);
  });

  it('by a forecast and a search, too', async () => {
    const home = join(folder, 'dcp-2d/dcp-2d');
    const inputs = ['100', '200'].map((step) => join(home, step));
    const seen: string[][] = [];
    const { points } = await forecast({ inputs, eval: evaluator(seen), goal: 'maximize', window: 2, dir: join(folder, 'forecast') });
    expect(points.every(({ single }) => single !== null)).toBe(true);
    const output = join(folder, 'best');
    const found = await search({ inputs, eval: evaluator(seen), goal: 'maximize', trials: 4, output, dir: join(folder, 'search') });
    expect(found.trials.every(({ status }) => status === 'complete')).toBe(true);
    expect(existsSync(join(output, 'model.safetensors'))).toBe(true);
  });
});
