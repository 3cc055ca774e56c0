import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CAMPAIGN_MS, seedOf, TIMES } from '../support/campaign.ts';
import { generator } from '../support/checkpoints.ts';
import { contentOf } from '../support/faults-merge.ts';
import { pooled } from '../support/hostile-case.ts';
import { FAST_SCORE, removePlaces, runDisturbed, type SearchPlace, searchPlace, searchWords, wholeLines } from '../support/searching.ts';

afterAll(removePlaces);

/** What a search comes to, whatever it took and wherever it lies. */
function answerOf({ folder, dir, out }: SearchPlace) {
  const text = (value: unknown) => JSON.stringify(value).replaceAll(folder, '');
  const trials = wholeLines(join(dir, 'trials.jsonl')).map((line) => JSON.parse(line));
  const shown = trials
    .sort((a, b) => a.id - b.id)
    .map(({ id, kind, params, point, weights, recipe, status, score, repeatOf, by, proposals, round, roundSize }) =>
      text({ id, kind, params, point, weights, recipe, status, score, repeatOf, by, proposals, round, roundSize }),
    );
  const { best, conclusion, baselines, ended } = JSON.parse(readFileSync(join(dir, 'result.json'), 'utf8'));
  const recipe = readFileSync(join(dir, 'best.yaml'), 'utf8');
  return {
    trials: shown,
    said: text({ best, conclusion, baselines, ended }),
    recipe: recipe.replaceAll(folder, ''),
    output: contentOf(out),
  };
}

/** Every file of a folder with its size and times. */
function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { size, mtimeMs } = statSync(join(folder, name));
      return `${name} ${size} ${mtimeMs}`;
    });
}

/** What a search that came to its end leaves beside its trials, logs and results. */
const LEFT = ['.lock', 'best.yaml', 'logs', 'made.json', 'report.html', 'result.json', 'results', 'sma.yaml', 'trials.jsonl'];

describe('kill -9 of merge search', () => {
  it.each([
    ['one evaluation at a time', 8 * TIMES, [], 1],
    ['three at a time, twice each, and validated', 4 * TIMES, ['--parallel', '3', '--repeats', '2', '--validate', FAST_SCORE], 2],
  ] as const)(
    '%s: at any moment no trial is lost or doubled, and the answer is that of an undisturbed search',
    async (_, kills, options, per) => {
      const seed = seedOf(20_260_301);
      const random = generator(seed);
      const below = (n: number) => Math.floor((random() / 2 ** 32) * n);
      const whole = searchPlace();
      const counted = join(whole.folder, 'steps');
      const started = performance.now();
      const undisturbed = await runDisturbed(searchWords(whole, { options }), { steps: counted });
      const took = performance.now() - started;
      expect(undisturbed).toMatchObject({ code: 0 });
      const steps = Number(readFileSync(counted, 'utf8'));
      expect(steps).toBeGreaterThan(60);
      const wanted = answerOf(whole);
      expect(new Set(wanted.trials.map((trial) => JSON.parse(trial).recipe)).size * per).toBe(wanted.trials.length);

      // From the first step to the last, each third of them by the clock instead.
      const moments = Array.from({ length: kills }, (_, i) =>
        i % 3 === 2
          ? { killAfterMs: Math.round((took * (i + random() / 2 ** 32)) / kills) }
          : { kill: 1 + Math.floor((steps * i) / kills) + below(steps / kills) },
      );
      const seen = await pooled(moments, 2, async (moment, i) => {
        const place = searchPlace();
        const inputs = filesOf(place.run);
        const words = searchWords(place, { options, ...(i % 2 === 0 ? { work: false } : {}) });
        const killed = await runDisturbed(words, moment);
        const works = wholeLines(join(place.dir, '.lock', 'work.jsonl'));
        const kept = wholeLines(place.trials);
        const validated = wholeLines(join(place.dir, 'validation.jsonl'));
        const torn = existsSync(place.trials) && !readFileSync(place.trials, 'utf8').endsWith('\n');
        const resumed = await runDisturbed([...words, '--resume']);
        expect(resumed, resumed.stderr).toMatchObject({ code: 0 });
        const lines = wholeLines(place.trials);
        expect(lines.slice(0, kept.length)).toEqual(kept);
        expect(new Set(lines.map((line) => JSON.parse(line).id)).size).toBe(lines.length);
        if (per === 1) expect(lines.map((line) => JSON.parse(line).id)).toEqual(lines.map((_, id) => id));
        expect(answerOf(place)).toEqual(wanted);
        expect(works.filter((line) => existsSync(JSON.parse(line).path))).toEqual([]);
        expect(readdirSync(place.dir).sort()).toEqual(per === 1 ? LEFT : [...LEFT, 'validation.jsonl']);
        expect(wholeLines(join(place.dir, 'validation.jsonl')).slice(0, validated.length)).toEqual(validated);
        expect(readdirSync(place.folder).sort()).toEqual(['best', 'best.search', 'run']);
        expect(filesOf(place.run)).toEqual(inputs);
        return `${JSON.stringify(moment)}: ${killed.signal ?? 'was done before'}, ${kept.length} trials, ${validated.length} validated${torn ? ' and a torn line' : ''}`;
      });
      process.stdout.write(`kill -9 of a search of ${steps} steps, seed ${seed}:\n${seen.join('\n')}\n`);
      expect(seen.filter((line) => line.includes('SIGKILL')).length).toBeGreaterThanOrEqual(kills * 0.7);
    },
    CAMPAIGN_MS,
  );
});
