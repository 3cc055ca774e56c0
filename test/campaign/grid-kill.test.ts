import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { GridScores } from '../../src/search/grid/types.ts';
import { CAMPAIGN_MS, seedOf, TIMES } from '../support/campaign.ts';
import { generator } from '../support/checkpoints.ts';
import { withoutTimes } from '../support/ended.ts';
import { contentOf } from '../support/faults-merge.ts';
import { pooled } from '../support/hostile-case.ts';
import { FAST_SCORE, removePlaces, runDisturbed, type SearchPlace, searchPlace, wholeLines } from '../support/searching.ts';

afterAll(removePlaces);

/** Merges that end at two saves, their reverses, and what they are compared with. */
const AXES = ['--windows', '300steps', '--method', 'wma', '--controls', 'reverse', '--endpoints', '300,newest'];

/** Where a grid is scored in a place, and which trials were evaluated, one a line. */
const scoresOf = ({ out }: SearchPlace) => `${out}.scores`;
const evaluated = ({ folder }: SearchPlace) => wholeLines(join(folder, 'evaluated')).map(Number);

/** The same words the first time and to go on. */
function gridWords(place: SearchPlace, options: readonly string[]): string[] {
  const command = `${FAST_SCORE} && echo $MERGE_TRIAL >> ${join(place.folder, 'evaluated')}`;
  return ['grid', place.run, ...AXES, '-o', place.out, '--eval', command, '--goal', 'maximize', '--resume', ...options];
}

/** What a scored grid comes to, whatever it took and wherever it lies. */
function answerOf(place: SearchPlace) {
  const text = readFileSync(join(scoresOf(place), 'result.json'), 'utf8').replaceAll(basename(place.folder), '');
  const document = JSON.parse(text) as GridScores;
  const trials = document.trials.toSorted((a, b) => a.id - b.id);
  const merges = existsSync(place.out) ? readdirSync(place.out).sort() : [];
  return {
    said: withoutTimes({ ...document, trials, warnings: [] }),
    merges: merges.map((name) => [name, contentOf(join(place.out, name))]),
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

/** What a scored grid leaves beside its trials, logs and results. */
const LEFT = ['.lock', 'logs', 'report.html', 'result.json', 'results', 'trials.jsonl'];

describe('kill -9 of a grid that is scored', () => {
  it.each([
    ['in memory or beside, removed once scored', 5 * TIMES, []],
    ['three at a time, a second set', 3 * TIMES, ['--parallel', '3', '--validate', FAST_SCORE]],
    ['made to stay', 4 * TIMES, ['--keep']],
  ] as const)(
    '%s: at any moment nothing that was scored is scored again, and the same command comes to the same end',
    async (_, kills, options) => {
      const seed = seedOf(20_261_130);
      const random = generator(seed);
      const below = (n: number) => Math.floor((random() / 2 ** 32) * n);
      const whole = searchPlace();
      const counted = join(whole.folder, 'steps');
      const started = performance.now();
      const undisturbed = await runDisturbed(gridWords(whole, options), { steps: counted });
      const took = performance.now() - started;
      expect(undisturbed, undisturbed.stderr).toMatchObject({ code: 0 });
      const steps = Number(readFileSync(counted, 'utf8'));
      expect(steps).toBeGreaterThan(60);
      const wanted = answerOf(whole);
      const left = readdirSync(scoresOf(whole)).sort();
      expect(left).toEqual(options.includes('--validate' as never) ? [...LEFT, 'validation.jsonl'] : LEFT);

      // From the first step to the last, each third of them by the clock instead.
      const moments = Array.from({ length: kills }, (_, i) =>
        i % 3 === 2
          ? { killAfterMs: Math.round((took * (i + random() / 2 ** 32)) / kills) }
          : { kill: 1 + Math.floor((steps * i) / kills) + below(steps / kills) },
      );
      const seen = await pooled(moments, 2, async (moment, i) => {
        const place = searchPlace();
        const inputs = filesOf(place.run);
        const words = gridWords(place, i % 2 === 0 ? options : [...options, '--work', place.folder]);
        const killed = await runDisturbed(words, moment);
        const file = join(scoresOf(place), 'trials.jsonl');
        const works = wholeLines(join(scoresOf(place), '.lock', 'work.jsonl'));
        const kept = wholeLines(file);
        const begun = evaluated(place);
        const merged = existsSync(place.out) ? readdirSync(place.out).filter((name) => !name.startsWith('.')) : [];
        const before = new Map(merged.map((name) => [name, statSync(join(place.out, name)).ino]));
        const torn = existsSync(file) && !readFileSync(file, 'utf8').endsWith('\n');
        const resumed = await runDisturbed(words);
        expect(resumed, resumed.stderr).toMatchObject({ code: 0 });
        expect(answerOf(place)).toEqual(wanted);
        const lines = wholeLines(file);
        expect(lines.slice(0, kept.length)).toEqual(kept);
        // Nothing is evaluated twice but what was in flight, and what was made is not made again.
        const ids = kept.map((line) => JSON.parse(line).id as number);
        expect(
          evaluated(place)
            .slice(begun.length)
            .filter((id) => ids.includes(id)),
        ).toEqual([]);
        expect([...before].filter(([name, ino]) => statSync(join(place.out, name)).ino !== ino)).toEqual([]);
        expect(works.filter((line) => existsSync(JSON.parse(line).path))).toEqual([]);
        expect(readdirSync(scoresOf(place)).sort()).toEqual(left);
        const made = options.includes('--keep' as never) ? ['best'] : [];
        expect(readdirSync(place.folder).sort()).toEqual([...made, 'best.scores', 'evaluated', 'run']);
        expect(filesOf(place.run)).toEqual(inputs);
        return `${JSON.stringify(moment)}: ${killed.signal ?? 'was done before'}, ${merged.length} merges, ${kept.length} trials${torn ? ' and a torn line' : ''}`;
      });
      process.stdout.write(`kill -9 of a scored grid of ${steps} steps, seed ${seed}:\n${seen.join('\n')}\n`);
      expect(seen.filter((line) => line.includes('SIGKILL')).length).toBeGreaterThanOrEqual(Math.floor(kills * 0.8));
    },
    CAMPAIGN_MS,
  );
});
