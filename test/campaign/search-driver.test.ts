import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, describe, expect, it } from 'vitest';
import { weightsIn } from '../support/model-weights.ts';
import { BIN } from '../support/run-cli.ts';
import { removePlaces, type SearchPlace, searchPlace, wholeLines } from '../support/searching.ts';

afterAll(removePlaces);

const TARGET = [0, 0, 0.3, 0.7];
const scoreOf = (model: string) => 1 - weightsIn(model).reduce((sum, w, i) => sum + (w - TARGET[i]!) ** 2, 0);

/** A session in which every message is answered before the next is sent. */
function session({ folder, run, out }: SearchPlace, options: readonly string[]) {
  const words = ['search', run, '--last', '2', '--ask-tell', '--goal', 'maximize', '-o', out, '--work', folder, ...options];
  const child = spawn(process.execPath, [BIN, ...words], { stdio: ['pipe', 'pipe', 'ignore'] });
  child.stdin.on('error', () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise<number | null>((done) => child.on('exit', done));
  const next = async () => JSON.parse((await lines.next()).value as string);
  const send = (message: object) => {
    child.stdin.write(`${JSON.stringify(message)}\n`);
    return next();
  };
  const kill = () => {
    child.kill('SIGKILL');
    return ended;
  };
  return { next, send, kill, ended };
}

/**
 * Asks and tells until 6 trials are told, and ends; or is killed when `step` of its messages were answered.
 */
async function drive(place: SearchPlace, options: readonly string[], step = Number.POSITIVE_INFINITY): Promise<boolean> {
  const { next, send, kill, ended } = session(place, options);
  let told = (await next()).search.trials.length;
  for (let answered = 0; told < 6; ) {
    const { trial, model } = await send({ ask: 1 });
    if (++answered > step) return kill().then(() => false);
    await send({ tell: trial, score: scoreOf(model) });
    told++;
    if (++answered > step) return kill().then(() => false);
  }
  expect(await send({ stop: true })).toHaveProperty('conclusion');
  expect(await ended).toBe(0);
  return true;
}

function answerOf({ folder, trials, dir }: SearchPlace) {
  const shown = wholeLines(trials).map((line) => {
    const { id, kind, params, weights, score, by, status } = JSON.parse(line);
    return { id, kind, params, weights, score, by, status };
  });
  const { best, conclusion } = JSON.parse(readFileSync(join(dir, 'result.json'), 'utf8'));
  return JSON.parse(JSON.stringify({ shown, best, conclusion }).replaceAll(folder, ''));
}

describe('a driven search', () => {
  it('that is killed after any message goes on with what was told, and comes to the same end', async () => {
    const whole = searchPlace();
    await drive(whole, []);
    const wanted = answerOf(whole);
    expect(wanted.shown).toHaveLength(6);
    const place = searchPlace();
    // Of 12 messages: after an ask, after a tell, at once, and two resumes later.
    for (const step of [2, 3, 0, 1]) {
      const kept = wholeLines(place.trials);
      expect(await drive(place, ['--resume'], step)).toBe(false);
      expect(wholeLines(place.trials).slice(0, kept.length)).toEqual(kept);
    }
    await drive(place, ['--resume']);
    expect(answerOf(place)).toEqual(wanted);
    expect(readdirSync(place.folder).sort()).toEqual(['best', 'best.search', 'run']);

    // What somebody else put in the place of its output is found before anything is asked for.
    writeFileSync(join(place.out, 'merge_provenance.json'), '{}');
    expect(await session(place, ['--resume']).ended).toBe(4);
    expect(wholeLines(place.trials)).toHaveLength(6);
  });
});
