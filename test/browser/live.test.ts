import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Live } from '../../src/render/html/live.ts';
import { htmlPage } from '../../src/render/html/page.ts';
import { livePage } from '../../src/search/optimise/live-page.ts';
import { type FolderServer, serveFolder } from '../../src/upkeep/serve/serve.ts';
import { lowContrast } from './contrast.ts';
import { openPage, startBrowser } from './open-page.ts';
import { sampleUnderWay } from './sample-live.ts';

const TOKEN = 'correct-horse-battery-staple';
let browser: Browser;
let folder: string;
const servers: FolderServer[] = [];
beforeAll(async () => {
  browser = await startBrowser();
  folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-live-'));
});
afterAll(async () => {
  for (const server of servers) await server.close();
  await browser?.close();
  rmSync(folder, { recursive: true });
});

const live = (more: Partial<Live> = {}): Live => ({
  now: 'evaluating trial 7 (8 of 12)',
  written: new Date().toISOString(),
  refresh: 1,
  atLeastEvery: 60,
  ...more,
});
const pageAt = (trials: number) => livePage(sampleUnderWay({ trials }), { title: 'Search over window, alpha' }, live());

/** As a study does it. */
function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(`${file}.draft`, text);
  renameSync(`${file}.draft`, file);
  return file;
}

async function served(token?: string): Promise<string> {
  const server = await serveFolder({ folder, token });
  servers.push(server);
  return server.url;
}

it.each([
  ['a file', async (file: string) => pathToFileURL(file).href],
  ['a server', async () => `${await served()}report.html`],
])('a page under way loads itself from %s, without a script and without any other request', async (_, urlOf) => {
  const url = await urlOf(write('report.html', pageAt(3)));
  const page = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  const requests: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(url);
  expect(await page.locator('body').innerText()).toContain('3: 3 scored');
  write('report.html', pageAt(5));
  await page.getByText('5: 5 scored').waitFor();
  write('report.html', htmlPage({ title: 'The end', summary: { headline: 'Concluded.', tone: 'good' }, sections: [] }));
  await page.getByText('Concluded.').waitFor();
  expect(requests.length).toBeGreaterThanOrEqual(3);
  expect(new Set(requests)).toEqual(new Set([url]));
  await page.context().close();
});

it('a token leaves the address bar, and the page goes on loading itself', async () => {
  const url = await served(TOKEN);
  write('report.html', pageAt(3));
  const page = await (await browser.newContext()).newPage();
  expect((await page.goto(`${url}report.html`))!.status()).toBe(401);
  await page.goto(`${url}report.html?token=${TOKEN}`);
  expect(page.url()).toBe(`${url}report.html`);
  expect(await page.locator('body').innerText()).toContain('3: 3 scored');
  write('report.html', pageAt(5));
  await page.getByText('5: 5 scored').waitFor();
  expect(await page.evaluate(() => document.cookie)).toBe('');
  await page.context().close();
});

it.each(['light', 'dark'] as const)('the list of pages can be read in %s, and leads to them', async (colorScheme) => {
  write('report.html', pageAt(3));
  const url = await served();
  const page = await (await browser.newContext({ colorScheme })).newPage();
  const incidents: string[] = [];
  page.on('console', (message) => incidents.push(message.text()));
  await page.goto(url);
  expect(await page.evaluate(lowContrast)).toEqual([]);
  expect(await page.locator('table').innerText()).toContain('under way');
  await page.getByRole('link', { name: 'Search over window, alpha' }).click();
  expect(page.url()).toBe(`${url}report.html`);
  expect(incidents).toEqual([]);
  await page.context().close();
});

it('a page that was to be written anew long ago says so', async () => {
  const old = new Date(Date.now() - 3 * 3_600_000).toISOString();
  const text = (more: Partial<Live>) => livePage(sampleUnderWay(), { title: 'Search' }, live({ refresh: 3600, written: old, ...more }));
  for (const [more, said] of [
    [{}, true],
    [{ written: new Date().toISOString() }, false],
  ] as const) {
    const { page, incidents } = await openPage(browser, text(more));
    expect((await page.locator('.live').innerText()).includes('that was 3 hours ago: what wrote this page was ended')).toBe(said);
    expect(await page.evaluate(lowContrast)).toEqual([]);
    expect(incidents).toEqual([]);
    await page.context().close();
  }
  // One that says of no time at which it is written anew cannot be late.
  const { atLeastEvery, ...unsaid } = live({ refresh: 3600, written: old });
  const { page } = await openPage(browser, livePage(sampleUnderWay(), { title: 'Search' }, unsaid));
  expect(await page.locator('.live').innerText()).not.toContain('hours ago');
  await page.context().close();
});
