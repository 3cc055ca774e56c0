import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { forecast, readForecast, readSearch, type SearchDocument, search, soup } from '../../src/index.ts';
import { recordedPolicies } from '../../src/recipe/policy/files.ts';
import { recipeOfTrialText } from '../../src/search/optimise/files.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { withoutTimes } from '../support/ended.ts';
import { fakeTerminal } from '../support/fake-terminal.ts';
import { weightsIn } from '../support/model-weights.ts';
import { weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
let count = 0;

/** A folder with checkpoints of one tensor, as run folders or as files, whose steps nothing tells. */
function place(kind: 'run' | 'files'): { folder: string; inputs: (folder: string) => string[] } {
  const folder = join(temporary.path, `place ${count++}`);
  const run = weightedRun(join(folder, 'run'), 3);
  const names = ['a', 'b', 'c'];
  for (const [i, name] of names.entries()) {
    mkdirSync(join(folder, name));
    cpSync(join(run, `checkpoint-${100 * (i + 1)}`, 'model.safetensors'), join(folder, name, 'model.safetensors'));
  }
  return {
    folder,
    inputs: (at) => (kind === 'run' ? [join(at, 'run')] : names.map((name) => join(at, name, 'model.safetensors'))),
  };
}

const scored: string[] = [];
async function score(model: string): Promise<number> {
  scored.push(model);
  return 1 - weightsIn(model).reduce((sum, w, i) => sum + (w - [0, 0.4, 0.6][i]!) ** 2, 0);
}

const lines = (dir: string) => readFileSync(join(dir, 'trials.jsonl'), 'utf8').trimEnd().split('\n');
const best = ({ best, conclusion }: SearchDocument) => ({ weights: best!.weights.map(({ weight }) => weight), text: conclusion.text });

/** The file as 0.1.0 wrote it: with the paths that were given. */
function asBefore(dir: string, folder: string): void {
  const file = join(dir, 'trials.jsonl');
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll('"../', `"${folder}/`));
}

describe.each(['run', 'files'] as const)('a study of a %s', (kind) => {
  it('goes on after it was moved together with its checkpoints, with absolute and with relative paths, and scores nothing again', async () => {
    const { folder, inputs } = place(kind);
    const options = { eval: score, goal: 'maximize' } as const;
    const first = await soup({ ...options, inputs: inputs(folder), dir: join(folder, 'soup') });
    // What is handed out has the paths that were given.
    expect(first.members.map(({ path }) => path)).toEqual(
      first.best!.weights.length > 0 ? expect.arrayContaining([expect.stringContaining(folder)]) : [],
    );
    const moved = join(temporary.path, `moved ${count++}`);
    renameSync(folder, moved);
    scored.length = 0;
    const before = lines(join(moved, 'soup'));
    for (const at of [moved, relative(process.cwd(), moved)]) {
      const again = await soup({ ...options, inputs: inputs(at), dir: join(at, 'soup'), resume: true });
      expect(best(again)).toEqual(
        best({ ...first, conclusion: { ...first.conclusion, text: first.conclusion.text.replaceAll(folder, at) } }),
      );
      expect(again.members.map(({ path }) => path)).toEqual(first.members.map(({ path }) => path.replace(folder, at)));
      expect(again.best!.weights.every(({ path }) => existsSync(path))).toBe(true);
      const read = await readSearch(join(at, 'soup'));
      expect(withoutTimes(read)).toEqual(withoutTimes({ ...again, inputs: read.inputs, merges: 0, reads: 0 }));
    }
    expect(scored).toEqual([]);
    expect(lines(join(moved, 'soup'))).toEqual(before);
    expect(readFileSync(join(moved, 'soup', 'result.json'), 'utf8')).not.toContain(temporary.path);
  });

  it('goes on with a file of 0.1.0, which has absolute paths, and shows none of them', async () => {
    const { folder, inputs } = place(kind);
    const dir = join(folder, 'forecast');
    const options = { inputs: inputs(folder), window: 2, eval: score, goal: 'maximize', dir } as const;
    const first = await forecast(options);
    asBefore(dir, folder);
    expect(lines(dir).join()).toContain(`"${folder}/`);
    scored.length = 0;
    const again = await forecast({ ...options, resume: true });
    expect(again.points).toEqual(first.points);
    expect((await readForecast(dir)).points).toEqual(first.points);
    expect(scored).toEqual([]);
    const terminal = fakeTerminal();
    expect(await main(['report', dir, '--quiet'], terminal)).toBe(0);
    for (const name of ['report.html', 'result.json']) expect(readFileSync(join(dir, name), 'utf8')).not.toContain(temporary.path);
  });
});

it('merge report makes the same page from the file of a search', async () => {
  const { folder, inputs } = place('files');
  const dir = join(folder, 'best.search');
  await search({ inputs: inputs(folder), eval: score, goal: 'maximize', dir, trials: 4, space: { space: 'weights' } });
  const page = readFileSync(join(dir, 'report.html'), 'utf8');
  expect(await main(['report', dir, '--quiet'], fakeTerminal())).toBe(0);
  const lessOfThisRun = (text: string) => text.replace(/\n *<div><dt>Merges, in the last run.*?<\/div>/s, '');
  const again = readFileSync(join(dir, 'report.html'), 'utf8');
  expect(lessOfThisRun(again)).toBe(lessOfThisRun(page));
});

it('a recipe of the best names files of policies from where it lies, and trials only by name', () => {
  const decayFile = relative(process.cwd(), join(temporary.path, 'factors.csv'));
  const policies = [{ role: 'norm', method: 'wsm', decayFile }] as const;
  const text = recipeOfTrialText({
    folder: join(temporary.path, 'best.search'),
    output: join(temporary.path, 'best'),
    members: [],
    taking: { members: [], weights: [], parts: [] },
    merging: { policies },
    head: [],
  });
  expect(text).toContain('decay-file: "../factors.csv"');
  expect(recordedPolicies({ policies })).toEqual(['role=norm:method=wsm,decay-file=factors.csv']);
});
