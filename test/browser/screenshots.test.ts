import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { diffPage } from '../../src/analysis/diff/page.ts';
import { routersPage } from '../../src/analysis/routers/page.ts';
import { forecastPage } from '../../src/search/forecast/page.ts';
import { gridPage } from '../../src/search/grid/page.ts';
import { searchPage } from '../../src/search/optimise/page.ts';
import { watchPage } from '../../src/upkeep/watch/scores/page.ts';
import { openPage, startBrowser } from './open-page.ts';
import { sampleDiff } from './sample-diff.ts';
import { sampleForecast } from './sample-forecast.ts';
import { sampleGrid } from './sample-grid.ts';
import { sampleRouters } from './sample-routers.ts';
import { sampleSearch } from './sample-search.ts';
import { sampleWatch } from './sample-watch.ts';

/** Where pictures go, to be looked at: `npm run screenshots`. Without it every page is opened in every way, and measured. */
const FOLDER = process.env.CKPT_SCREENSHOTS;

const PAGES = {
  diff: diffPage(sampleDiff({ layers: 12, experts: 16, checkpoints: 4 })),
  routers: routersPage(sampleRouters({ layers: 12, members: 6 })),
  'search-one': searchPage(sampleSearch('pairwise')),
  'search-two': searchPage(sampleSearch('plane')),
  'search-schedule': searchPage(sampleSearch('schedule', { trials: 25 })),
  soup: searchPage(sampleSearch('soup')),
  forecast: forecastPage(sampleForecast({ calibrated: true })),
  grid: gridPage(sampleGrid({ failed: true })),
  'watch-live': watchPage(...sampleWatch({ live: true })),
  'watch-ended': watchPage(...sampleWatch({ live: false })),
};

const WAYS = {
  light: { width: 1200 },
  dark: { width: 1200, colorScheme: 'dark' },
  narrow: { width: 390 },
  wide: { width: 1800 },
  print: { width: 800 },
} as const;

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
  if (FOLDER !== undefined) mkdirSync(FOLDER, { recursive: true });
});
afterAll(() => browser?.close());

/** Without pictures only the width that other tests do not open a page in. */
const SEEN = Object.entries(WAYS).filter(([way]) => FOLDER !== undefined || way === 'wide');

describe.each(Object.entries(PAGES))('the page %s', (name, text) => {
  it.each(SEEN)('fits %s', async (way, options) => {
    const { page } = await openPage(browser, text, options);
    if (way === 'print') await page.emulateMedia({ media: 'print' });
    if (FOLDER !== undefined) await page.screenshot({ path: join(FOLDER, `${name}-${way}.png`), fullPage: true });
    // What is too wide scrolls by itself, and the page does not.
    const { scrolled, seen } = await page.evaluate(() => ({
      scrolled: document.documentElement.scrollWidth,
      seen: document.documentElement.clientWidth,
    }));
    expect(scrolled).toBeLessThanOrEqual(way === 'print' ? Number.POSITIVE_INFINITY : seen);
    const empty = await page.evaluate(() => [...document.querySelectorAll('svg')].filter((svg) => svg.childElementCount === 0).length);
    expect(empty).toBe(0);
    await page.context().close();
  });
});

it('a wide screen has charts and tables beside each other', async () => {
  const { page } = await openPage(browser, PAGES['watch-ended'], { width: 1800 });
  const tops = await page.evaluate(() =>
    [...document.querySelectorAll('section:first-of-type > figure')].map((one) => one.getBoundingClientRect().top),
  );
  expect(tops.length).toBeGreaterThan(1);
  expect(Math.abs(tops[0]! - tops[1]!)).toBeLessThan(2);
  await page.context().close();
});

it('a heat map is shaded role by role, and by one scale where the reader chooses that, without a script', async () => {
  const { page, incidents } = await openPage(browser, PAGES.diff, { javaScriptEnabled: false });
  const map = page.locator('.alternatives').first();
  const shown = () => map.locator('.alternative').evaluateAll((all) => all.map((one) => getComputedStyle(one).display !== 'none'));
  expect(await shown()).toEqual([true, false]);
  await map.getByLabel('all by one scale', { exact: true }).first().check();
  expect(await shown()).toEqual([false, true]);
  expect(incidents).toEqual([]);
  await page.context().close();
});

it('the page of a watch loads itself again, and asks for nothing else', async () => {
  const live = PAGES['watch-live'].replace('http-equiv="refresh" content="10"', 'http-equiv="refresh" content="1"');
  const { page, incidents } = await openPage(browser, live, { keep: true });
  const first = await page.evaluate(() => performance.timeOrigin);
  await expect.poll(() => page.evaluate(() => performance.timeOrigin).catch(() => first), { timeout: 10_000 }).not.toBe(first);
  expect(incidents).toEqual([]);
  await page.context().close();
});
