import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { forecast, readSearch, type ScoreFunction, scoreGrid, search, searchPage, serveFolder, soup } from '../../src/index.ts';
import { weightsIn } from '../support/model-weights.ts';
import { weightedRun } from '../support/weighted-run.ts';

let root: string;
let run: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'live-'));
  run = weightedRun(join(root, 'run'), 6);
});
afterAll(() => rmSync(root, { recursive: true }));

/** The page, once what it says is as wanted. */
async function pageWith(folder: string, wanted: RegExp): Promise<string> {
  const file = join(folder, 'report.html');
  for (;;) {
    const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
    if (wanted.test(text)) return text;
    await wait(20);
  }
}

const textOf = (page: string) =>
  page
    .replace(/<(style|script)>.*?<\/\1>/gs, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ');
const REFRESH = '<meta http-equiv="refresh" content="10">';
/** What conclusions say, and no page that is under way. */
const CLAIMS =
  /probability|95 % interval|is better than|no better than|within the noise|cannot be told|claimed|\bgain|posterior|by the model/i;

/** Scores by the oldest weight, and stops at two trials for the page of that moment. */
function watched(folder: string) {
  const pages: string[] = [];
  const score: ScoreFunction = async (model, { trial }) => {
    if (trial === 0) pages.push(await pageWith(folder, /evaluating trial 0 \(1 of \d+\)/));
    if (trial === 2) pages.push(await pageWith(folder, /evaluating trial 2 \(3 of \d+\)/));
    return 0.125 + weightsIn(model)[0]!;
  };
  return { pages, score };
}

const KINDS = {
  search: (dir: string, score: ScoreFunction) =>
    search({ inputs: [run], select: { last: 2 }, eval: score, goal: 'maximize', dir, trials: 5 }),
  soup: (dir: string, score: ScoreFunction) => soup({ inputs: [run], select: { last: 3 }, eval: score, goal: 'maximize', dir }),
  forecast: (dir: string, score: ScoreFunction) => forecast({ inputs: [run], window: 2, eval: score, goal: 'maximize', dir }),
  grid: (dir: string, score: ScoreFunction) =>
    scoreGrid({
      run,
      windows: ['200steps', '400steps'],
      method: ['sma', 'wma'],
      output: `${dir}.grid`,
      eval: score,
      goal: 'maximize',
      dir,
    }),
};

describe.each(Object.entries(KINDS))('the page of a %s', (kind, study) => {
  it.concurrent('shows scores while it goes on, loads itself, and concludes at its end', async ({ expect }) => {
    const dir = join(root, kind);
    const { pages, score } = watched(dir);
    await study(dir, score);
    const [first, later] = pages as [string, string];
    for (const page of [first, later]) {
      expect(page).toContain(REFRESH);
      expect(textOf(page)).toMatch(/Written \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC ?, anew within 60 s/);
      expect(textOf(page)).not.toMatch(CLAIMS);
    }
    expect(textOf(first)).toContain('No trial has ended yet.');
    expect(textOf(later)).toMatch(/evaluating trial 2 \(3 of \d+\)(; about \d+ s left)?\./);
    expect(textOf(later)).toContain('Best score so far: 0.125000, of trial 0.');
    const last = readFileSync(join(dir, 'report.html'), 'utf8');
    expect(last).not.toContain('http-equiv="refresh"');
    expect(last).not.toContain('class="live"');
    const titles = [later, last].map((page) => /<title>(.*)<\/title>/.exec(page)![1]);
    expect(titles[0]).toBe(titles[1]);
    expect(readdirSync(dir).filter((name) => name.endsWith('.draft'))).toEqual([]);
  });
});

it('is a page without a refresh where the study was ended, and what it says then is of all trials', async () => {
  const dir = join(root, 'ended');
  const stop = new AbortController();
  const score: ScoreFunction = async (model, { trial, signal }) => {
    if (trial < 2) return weightsIn(model)[0]!;
    await pageWith(dir, /evaluating trial 2/);
    stop.abort('enough');
    return wait(60_000, 0, { signal });
  };
  const options = { inputs: [run], select: { last: 2 }, eval: score, goal: 'maximize', dir, trials: 5 } as const;
  await expect(search(options, { signal: stop.signal })).rejects.toBe('enough');
  const page = readFileSync(join(dir, 'report.html'), 'utf8');
  expect(page).not.toContain('http-equiv="refresh"');
  expect(textOf(page)).toContain('interrupted');
  const document = await readSearch(dir);
  expect(document.trials).toHaveLength(2);
  expect(searchPage({ ...document, ended: 'interrupted' })).toContain('interrupted');
});

it('can be watched through a server in the same process, whole at each look', async () => {
  const dir = join(root, 'served');
  const server = await serveFolder({ folder: dir });
  const seen = new Set<string>();
  let looking = true;
  const look = (async () => {
    while (looking) {
      const answer = await fetch(`${server.url}report.html`);
      const text = await answer.text();
      if (answer.status !== 200) continue;
      expect(text).toMatch(/^<!doctype html>[\s\S]*<\/html>\n$/);
      for (const [, trial] of text.matchAll(/evaluating trial (\d+)/g)) seen.add(trial!);
    }
  })();
  const score: ScoreFunction = async (model, { trial }) => {
    while (!seen.has(String(trial))) await wait(10);
    return weightsIn(model)[0]!;
  };
  await search({ inputs: [run], select: { last: 2 }, eval: score, goal: 'maximize', dir, trials: 3 });
  looking = false;
  await look;
  expect(textOf(await (await fetch(`${server.url}report.html`)).text())).not.toContain('under way');
  await server.close();
});
