import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { search } from '../../src/search/optimise/search.ts';
import { cutOff, failure, idsOf, optionsOf, said, scorer } from '../support/search-options.ts';
import { removePlaces, searchPlace, wholeLines } from '../support/searching.ts';

afterAll(removePlaces);

const undisturbed = searchPlace();
const wanted = said(await search(optionsOf(undisturbed)), undisturbed);

describe('trials.jsonl', () => {
  it.each([
    ['with a torn last line', (text: string) => `${text}${text.slice(0, 70)}`, 3],
    ['with half a character at its end', (text: string) => Buffer.concat([Buffer.from(text), Buffer.from('{"é').subarray(0, 3)]), 3],
    ['with its last line torn', (text: string) => text.slice(0, -9), 2],
    ['that is empty', () => '', 0],
    ['whose only line is torn', (text: string) => text.slice(0, 100), 0],
  ])('%s: what is whole stays, and the search goes on to the same end', async (_, damage, whole) => {
    const place = searchPlace();
    await cutOff(place, 3);
    const lines = wholeLines(place.trials);
    expect(lines).toHaveLength(3);
    writeFileSync(place.trials, damage(readFileSync(place.trials, 'utf8')));
    const { score, scored } = scorer();
    expect(said(await search(optionsOf(place, { eval: score, resume: true })), place)).toEqual(wanted);
    expect(wholeLines(place.trials).slice(0, whole)).toEqual(lines.slice(0, whole));
    expect(scored).toHaveLength(wanted.trials.length - whole);
  });

  it.each([
    ['a line of garbage in the middle', (lines: string[]) => [lines[0], 'garbage', ...lines.slice(1)], 'line 2: it is no JSON'],
    ['a line that is no trial', (lines: string[]) => [lines[0], '{"id":1}', ...lines.slice(1)], 'line 2: it is no trial'],
    ['a doubled line', (lines: string[]) => [...lines, lines.at(-1)], 'line 4: trial 2 is there twice'],
    ['no first line', (lines: string[]) => lines.slice(1), 'line 1: the first line does not say'],
    ['another version', ([first, ...rest]: string[]) => [first!.replace('"version":1', '"version":2'), ...rest], 'version 2'],
    ['lines of something else', () => ['Monday', 'Tuesday'], 'line 1: it is no JSON'],
    ['NUL bytes of a power cut', (lines: string[]) => [...lines, '\0'.repeat(40)], 'line 4: it is no JSON'],
  ])('with %s is refused, resumed or not, and stays as it is', async (_, damage, message) => {
    const place = searchPlace();
    await cutOff(place, 3);
    const text = damage(wholeLines(place.trials))
      .map((line) => `${line}\n`)
      .join('');
    writeFileSync(place.trials, text);
    for (const resume of [true, false]) {
      const error = await failure(search(optionsOf(place, { resume })));
      expect(error.code).toBe('E_TRIALS');
      expect(error.message).toContain(message);
      expect(error.message).toContain(place.trials);
    }
    expect(readFileSync(place.trials, 'utf8')).toBe(text);
  });

  it('that is not ours and has no line is not taken for a torn one', async () => {
    const place = searchPlace();
    mkdirSync(place.dir);
    writeFileSync(place.trials, 'patients 1 to 40: see the annex');
    expect((await failure(search(optionsOf(place)))).code).toBe('E_TRIALS');
    expect(readFileSync(place.trials, 'utf8')).toBe('patients 1 to 40: see the annex');
  });
});

describe('the folder of a search', () => {
  it('may be one of the user: what is not of a search stays when one begins in it, and begins anew', async () => {
    const place = searchPlace();
    const own = ['logs/train.log', 'results/table.csv', 'results/trial-7/notes', 'notes.txt'].map((name) => join(place.dir, name));
    for (const file of own) {
      mkdirSync(join(file, '..'), { recursive: true });
      writeFileSync(file, 'mine');
    }
    await search(optionsOf(place));
    const ours = ['logs/trial-0000.log', 'results/trial-0000'].map((name) => join(place.dir, name));
    // A function writes no log.
    for (const path of ours) expect(existsSync(path)).toBe(false);
    await search(optionsOf(place, { force: true, trials: 3 }));
    for (const file of own) expect(readFileSync(file, 'utf8')).toBe('mine');
    expect(wholeLines(place.trials)).toHaveLength(4);
  });
});

describe('a checkpoint', () => {
  it.each([300, 400])(
    '%i that is deleted while a search runs ends it by name; put back, the search goes on to the same end',
    async (step) => {
      const place = searchPlace();
      const victim = join(place.run, `checkpoint-${step}`);
      const aside = join(place.folder, 'aside');
      const { score } = scorer();
      let calls = 0;
      const deleting = async (model: string) => {
        if (++calls === 4) renameSync(victim, aside);
        return score(model);
      };
      Object.defineProperty(deleting, 'name', { value: 'score' });
      const error = await failure(search(optionsOf(place, { eval: deleting })));
      expect({ code: error.code, named: error.message.includes(victim) }).toEqual({ code: 'E_NOT_FOUND', named: true });
      expect(idsOf(place).length).toBeGreaterThanOrEqual(4);
      expect((await failure(search(optionsOf(place, { resume: true })))).code).toMatch(/E_SEARCH_STATE|E_OPTION/);
      renameSync(aside, victim);
      expect(said(await search(optionsOf(place, { resume: true })), place)).toEqual(wanted);
    },
  );

  it('that changes while a search runs ends it, and a resume with the new content is refused', async () => {
    const place = searchPlace();
    const file = join(place.run, 'checkpoint-300/model.safetensors');
    const bytes = readFileSync(file);
    const { score } = scorer();
    let calls = 0;
    const changing = async (model: string) => {
      if (++calls === 4) writeFileSync(file, Buffer.from(bytes).fill(0, bytes.length - 16));
      return score(model);
    };
    Object.defineProperty(changing, 'name', { value: 'score' });
    const error = await failure(search(optionsOf(place, { eval: changing })));
    expect(error.code).toBe('E_INPUT_CHANGED');
    expect(error.message).toContain('checkpoint-300');
    const refused = await failure(search(optionsOf(place, { resume: true })));
    expect(refused.code).toBe('E_SEARCH_STATE');
    expect(refused.message).toContain('the content of the checkpoints');
    writeFileSync(file, bytes);
    expect(said(await search(optionsOf(place, { resume: true })), place)).toEqual(wanted);
  });
});
