import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runRecipe } from '../../src/merge/run.ts';
import { search } from '../../src/search/optimise/search.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { mergeError } from '../support/safetensors.ts';
import { SCORE_WEIGHTS, weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
const run = weightedRun(join(temporary.path, 'run'), 4);

describe('a pairwise search', () => {
  it('finds the best weight between two checkpoints, and leaves its merge, recipe, page and trials', async () => {
    const output = join(temporary.path, 'best');
    const document = await search({
      inputs: [run],
      select: { last: 2 },
      eval: `${SCORE_WEIGHTS} 0.3,0.7`,
      goal: 'maximize',
      trials: 8,
      output,
    });
    const { best, trials, merges, reads, baselines } = document;
    expect(trials.map(({ kind }) => kind).slice(0, 3)).toEqual(['newest', 'uniform', 'sma']);
    expect(trials.filter(({ kind }) => kind !== 'sma')).toHaveLength(8);
    expect(best!.params!.lambda).toBeCloseTo(0.7, 1);
    expect(document.conclusion.gainClaimed).toBe(true);
    expect(baselines.map(({ name }) => name)).toEqual(['newest', 'uniform', 'sma']);
    // The newest needs no merge; all that is known beforehand is one read, every later trial one.
    expect(merges).toBe(trials.length - 1);
    expect(reads).toBeLessThan(merges);
    const folder = `${output}.search`;
    for (const name of ['trials.jsonl', 'best.yaml', 'report.html', 'result.json', 'logs/trial-0000.log'])
      expect(existsSync(join(folder, name))).toBe(true);
    const again = join(temporary.path, 'again');
    const recipe = join(folder, 'best.yaml');
    const { readRecipe } = await import('../../src/recipe/file/read.ts');
    const read = await readRecipe(recipe);
    await runRecipe({ ...read, outputs: [{ ...read.outputs[0]!, path: again }] });
    expect(readFileSync(join(again, 'model.safetensors')).subarray(-16)).toEqual(
      readFileSync(join(output, 'model.safetensors')).subarray(-16),
    );
  });

  it.each(['pairwise', 'weights'] as const)(
    'of roles that the model has not is refused before anything is evaluated (%s)',
    async (space) => {
      const evaluated = join(temporary.path, `evaluated-${space}`);
      const options = {
        inputs: [run],
        select: { last: 2 },
        space,
        separate: ['routers'],
        eval: `touch ${evaluated}; echo 1`,
        goal: 'maximize',
      } as const;
      const error = await mergeError(() => search({ ...options, output: join(temporary.path, `none-${space}`) }));
      expect(error.code).toBe('E_POLICY_UNUSED');
      expect(error.help).toContain('asked for routers');
      expect(existsSync(evaluated)).toBe(false);
    },
  );

  it.each(['work', null])('leaves its merges in %s where they are to be kept, and a resumed one leaves them there', async (name) => {
    const dir = join(temporary.path, `kept-${name}.search`);
    const work = name === null ? undefined : join(temporary.path, name);
    const options = { inputs: [run], select: { last: 2 }, eval: `${SCORE_WEIGHTS} 0.3,0.7`, goal: 'maximize', keep: true } as const;
    const merges = () => {
      const folders = readdirSync(work ?? dir).filter((entry) => entry.startsWith('ckpt-merge-work-'));
      return folders.flatMap((folder) => readdirSync(join(work ?? dir, folder)));
    };
    const { merges: made } = await search({ ...options, trials: 3, dir, work });
    expect(merges()).toHaveLength(made);
    const again = await search({ ...options, trials: 4, dir, work, resume: true });
    expect(merges()).toHaveLength(made + again.merges);
  });
});
