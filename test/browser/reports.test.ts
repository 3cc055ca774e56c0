import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { diffPage } from '../../src/analysis/diff/page.ts';
import { routersPage } from '../../src/analysis/routers/page.ts';
import { printable } from '../../src/render/format.ts';
import { lineChart } from '../../src/render/html/line-chart.ts';
import { htmlPage } from '../../src/render/html/page.ts';
import { forecastPage } from '../../src/search/forecast/page.ts';
import { gridPage } from '../../src/search/grid/page.ts';
import { livePage } from '../../src/search/optimise/live-page.ts';
import { searchPage } from '../../src/search/optimise/page.ts';
import { watchPage } from '../../src/upkeep/watch/scores/page.ts';
import { lowContrast } from './contrast.ts';
import { hoverCell, hoverPlace, openPage, startBrowser } from './open-page.ts';
import { sampleDiff } from './sample-diff.ts';
import { sampleForecast } from './sample-forecast.ts';
import { sampleGrid } from './sample-grid.ts';
import { sampleUnderWay } from './sample-live.ts';
import { sampleRouters } from './sample-routers.ts';
import { sampleSearch } from './sample-search.ts';
import { sampleWatch } from './sample-watch.ts';

/** Names that would run, or break out of where they stand, if they were taken as markup. */
const HOSTILE = [
  `<img src=x onerror="alert('img')">`,
  `</script><script>alert('script')</script>`,
  `"><svg onload=alert(1)>`,
  `' onmouseover='alert(2)`,
  `</table></details><style>*{display:none}</style>`,
  `</text></svg><iframe src="https://example.org/"></iframe>`,
  '<!--',
  'line\u2028separator\u202Eoverride\u0000nul',
  `{{constructor.constructor("alert(3)")()}}$\{alert(4)}`,
];

/** Loads itself when these tests are over. */
const LIVE = { now: 'evaluating trial 7', written: new Date().toISOString(), refresh: 3600, atLeastEvery: 60 };

const PAGES = {
  'a diff': diffPage(sampleDiff({ layers: 6, experts: 8, checkpoints: 3 })),
  'a report on routers': routersPage(sampleRouters({ layers: 6, members: 4 })),
  'a search of one parameter': searchPage(sampleSearch('pairwise')),
  'a search of two': searchPage(sampleSearch('plane')),
  'a validated search of a schedule': searchPage(sampleSearch('schedule', { trials: 25 })),
  'a forecast': forecastPage(sampleForecast({ calibrated: true })),
  'a watch': watchPage(...sampleWatch({ live: false })),
  'a watch that goes on': watchPage(...sampleWatch({ live: true })),
  'a scored grid': gridPage(sampleGrid({ failed: true })),
  'a search under way': livePage(sampleUnderWay(), { title: 'Search' }, LIVE),
};

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
});
// Without a browser the reason has been told already.
afterAll(() => browser?.close());

describe.each(Object.entries(PAGES))('the page of %s', (_, text) => {
  it.each(['light', 'dark'] as const)('asks for nothing, complains of nothing, and can be read in %s', async (colorScheme) => {
    const { page, incidents } = await openPage(browser, text, { colorScheme });
    expect(await page.evaluate(lowContrast)).toEqual([]);
    await page.mouse.wheel(0, 4000);
    expect(incidents).toEqual([]);
    await page.context().close();
  });

  it('shows its drawings without JavaScript', async () => {
    const { page, incidents } = await openPage(browser, text, { javaScriptEnabled: false });
    // Of a map that is drawn twice one drawing is shown.
    const drawings = await page.locator('figure svg:visible').all();
    expect(drawings.length).toBe([...text.matchAll(/<figure /g)].length);
    expect(drawings.length).toBeGreaterThan(0);
    for (const drawing of drawings) {
      expect(await drawing.isVisible()).toBe(true);
      expect(await drawing.locator('text').first().isVisible()).toBe(true);
    }
    await page.locator('figure summary').first().click();
    expect(await page.locator('figure table').first().isVisible()).toBe(true);
    expect(incidents).toEqual([]);
    await page.context().close();
  });

  it('fits a telephone: what is wider scrolls by itself', async () => {
    const { page } = await openPage(browser, text, { width: 390 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    await page.context().close();
  });

  it('prints its drawings', async () => {
    const { page } = await openPage(browser, text);
    await page.emulateMedia({ media: 'print' });
    await page.setViewportSize({ width: 700, height: 900 });
    for (const drawing of await page.locator('figure svg').all()) {
      expect(await drawing.isVisible()).toBe(true);
      expect((await drawing.boundingBox())!.width).toBeLessThanOrEqual(700);
    }
    await page.context().close();
  });
});

describe('hovering', () => {
  it('shows value, row, column and remark of the cell under the pointer, as its table has them', async () => {
    const { page } = await openPage(browser, PAGES['a diff']);
    const figure = page.locator('figure.heat', { hasText: 'By layer and expert' }).first();
    const svg = figure.locator('svg');
    await svg.scrollIntoViewIfNeeded();
    const inTable = async (row: number, column: number): Promise<string | null> =>
      figure.locator('tbody tr').nth(row).locator('td').nth(column).textContent();
    for (const [row, column] of [
      [0, 0],
      [5, 7],
      [1, 3],
    ] as const) {
      await hoverCell(svg, row, column);
      const tip = page.locator('.tip:visible');
      expect(await tip.locator('b').textContent()).toBe((await inTable(row, column))!.trim());
      expect(await tip.locator('span').first().textContent()).toBe(`layer ${row}`);
      expect(await tip.locator('span').nth(1).textContent()).toBe(`expert ${column}`);
    }
    expect(await page.locator('.tip:visible').textContent()).toContain('40 times further apart');
    await svg.hover({ position: { x: 2, y: 2 } });
    expect(await page.locator('.tip:visible').count()).toBe(0);
    await page.context().close();
  });

  it('shows the numbers of a line chart with their errors where the pointer is nearest', async () => {
    const points = Array.from({ length: 11 }, (_, i) => ({ x: 100 * i, y: 2 - i / 10, error: 0.01 }));
    const chart = lineChart({ title: 'Loss', x: { label: 'step' }, y: { label: 'nats' }, series: [{ label: HOSTILE[0]!, points }] });
    const text = htmlPage({
      title: 'Lines',
      summary: { headline: 'One chart.', tone: 'good' },
      sections: [{ title: 'Chart', parts: [chart] }],
    });
    const { page, incidents } = await openPage(browser, text);
    const figure = page.locator('figure.line');
    await hoverPlace(figure, 0.52);
    const tip = page.locator('.tip:visible');
    expect(await tip.locator('> b').textContent()).toBe('step 500');
    expect(await tip.locator('span').allTextContents()).toEqual([`${HOSTILE[0]} 1.500 ± 0.010`]);
    expect(await figure.locator('svg .hovered').count()).toBe(1);
    await hoverPlace(figure, 0);
    expect(await tip.innerText()).toContain('2.000 ± 0.010');
    await figure.locator('figcaption').hover();
    expect(await tip.count()).toBe(0);
    expect(await figure.locator('svg .hovered').count()).toBe(0);
    expect(incidents).toEqual([]);
    await page.context().close();
  });
});

it('a chart of scores names its levels and what is far off or failed under the pointer, and holds a single trial', async () => {
  const { page, incidents } = await openPage(browser, PAGES['a search of one parameter']);
  const figure = page.locator('figure.line', { hasText: 'Score against trial' });
  await hoverPlace(figure, 0.005);
  const tip = page.locator('.tip:visible');
  expect(await tip.innerText()).toContain('mean of all 6 1.19185');
  expect(await tip.innerText()).toContain('baselines and single checkpoints 1.33958');
  await hoverPlace(figure, 5 / 11);
  expect(await tip.locator('> b').textContent()).toBe('trial 5');
  expect(await tip.innerText()).toContain('failed or skipped yes');
  expect(await tip.locator('span', { hasText: /^trials / }).count()).toBe(0);
  expect(incidents).toEqual([]);
  await page.context().close();

  const single = await openPage(browser, searchPage(sampleSearch('one')));
  expect(await single.page.locator('figure.line svg:visible').count()).toBe(2);
  await hoverPlace(single.page.locator('figure.line').first(), 0.5);
  expect(await single.page.locator('.tip:visible').count()).toBe(1);
  expect(single.incidents).toEqual([]);
  await single.page.context().close();
});

it('the page of a grid shows the chosen recipe, the newest and the plain mean where the pointer is along the run', async () => {
  const document = sampleGrid();
  const { page, incidents } = await openPage(browser, gridPage(document));
  const figure = page.locator('figure.line', { hasText: 'Along the run' });
  await hoverPlace(figure, 0.999);
  const tip = page.locator('.tip:visible');
  expect(await tip.locator('> b').textContent()).toBe('step 2000');
  const scoreOf = (name: string) => [...document.outputs, ...document.references].find((one) => one.name === name)!.score!;
  const shown = await tip.locator('span').allTextContents();
  for (const [line, name] of [
    ['w200-wma', 'step2000-w200-wma'],
    ['newest', 'step2000'],
    ['mean of 200steps = w200-sma', 'step2000-w200-sma'],
  ] as const)
    expect(shown).toContainEqual(expect.stringContaining(`${line} ${scoreOf(name).toPrecision(6)}`));
  const chosen = page.locator('table tr', { hasText: 'step2000-w200-wma' }).filter({ hasText: 'chosen' });
  expect(await chosen.count()).toBeGreaterThan(0);
  expect(incidents).toEqual([]);
  await page.context().close();
});

it('a curve shows its nearest value at a trial that lies between its points', async () => {
  const { page } = await openPage(browser, PAGES['a search of one parameter']);
  const figure = page.locator('figure.line', { hasText: 'What the model makes of lambda' });
  for (const part of [0.1, 0.33, 0.5, 0.77]) {
    await hoverPlace(figure, part);
    expect(await page.locator('.tip:visible').innerText()).toMatch(/\nmodel [\d.]+ \([\d.]+ to [\d.]+\)/);
  }
  await page.context().close();
});

describe('hostile names', () => {
  let plain: readonly Consistence[];
  beforeAll(async () => {
    plain = [await consistence(PAGES['a diff']), await consistence(PAGES['a report on routers'])];
  });

  it.each(HOSTILE)('%j is text, wherever it stands', async (name) => {
    const diff = sampleDiff({ layers: 4, experts: 2, checkpoints: 3, name });
    const checkpoints = diff.checkpoints.map((checkpoint, i) => ({ ...checkpoint, path: `${name}${i}`, step: null }));
    const router = sampleRouters({ layers: 4, members: 3, name });
    const members = router.members.map((member, i) => ({ ...member, path: `${name}${i}`, step: null }));
    const hostile = [await consistence(diffPage({ ...diff, checkpoints })), await consistence(routersPage({ ...router, members }))];
    expect(hostile.map(({ kinds }) => kinds)).toEqual(plain.map(({ kinds }) => kinds));
    expect(hostile.map(({ handlers }) => handlers)).toEqual([0, 0]);
    expect(hostile[0]!.text).toContain(`${printable(name)} holds 3 NaN`);
  });

  it('are text in searches, forecasts and grids', async () => {
    const name = HOSTILE.join(' ');
    const [ordinary, hostile] = [searches('runs/dense/checkpoint'), searches(name)];
    for (const [i, text] of hostile.entries()) {
      const { kinds, handlers, text: shown } = await consistence(text);
      expect(kinds).toEqual((await consistence(ordinary[i]!)).kinds);
      expect(handlers).toBe(0);
      expect(shown).toContain(printable(name));
    }
  });

  it('are text in the page of a watch', async () => {
    const name = HOSTILE.join(' ');
    for (const live of [true, false]) {
      const { kinds, handlers, text: shown } = await consistence(watchPage(...sampleWatch({ live, name })));
      // Names that are cut in the middle stand in a span with all of them as its title.
      expect(kinds.filter((kind) => kind !== 'span')).toEqual(
        (await consistence(watchPage(...sampleWatch({ live })))).kinds.filter((kind) => kind !== 'span'),
      );
      expect(handlers).toBe(0);
      expect(shown).toContain('{{constructor.constructor');
    }
  });

  /** Names in parameters, values, roles, metrics, labels, commands and warnings, too. */
  function searches(name: string): string[] {
    const sample = sampleSearch('schedule', { name, trials: 25 });
    const [window, alpha, method] = sample.space.parameters;
    const space = { ...sample.space, parameters: [window!, alpha!, { ...method!, name, values: ['sma', 'ema', name] }] };
    const renamed = sample.trials.map((trial) => {
      const { method: chosen, ...params } = trial.params ?? {};
      return {
        ...trial,
        params: trial.params === null ? null : { ...params, [name]: chosen === 'wsm' ? name : chosen! },
        metrics: { [name]: 1, other: 2 },
      };
    });
    const best = { ...sample.best!, params: renamed[sample.best!.trial]!.params };
    const baselines = sample.baselines.map((baseline) => ({ ...baseline, label: name }));
    const schedule = {
      ...sample,
      space,
      trials: renamed,
      best,
      baselines,
      evaluator: name,
      metric: name,
      conclusion: { ...sample.conclusion, text: name },
    };
    const chain = sampleSearch('chain', { name });
    const warnings = [{ code: 'W_WEIGHT_SUM', message: name } as const];
    return [
      searchPage(schedule),
      searchPage({ ...chain, onBounds: [{ parameter: name, side: 'low', text: name }] }),
      forecastPage({ ...sampleForecast({ calibrated: true, name }), warnings }),
      gridPage({ ...sampleGrid({ name, failed: true }), warnings }),
      livePage(sampleUnderWay({ name }), { title: name }, { ...LIVE, now: name }),
    ];
  }

  interface Consistence {
    /** Names of the elements. */
    readonly kinds: readonly string[];
    /** Elements with an attribute that would run. */
    readonly handlers: number;
    readonly text: string;
  }

  /**
   * What a page consists of when the pointer has been on a cell of each map and in each chart; it must come
   * about without incident.
   */
  async function consistence(text: string): Promise<Consistence> {
    const { page, incidents } = await openPage(browser, text);
    for (const svg of await page.locator('figure.heat svg:visible').all()) await hoverCell(svg, 0, 1);
    for (const figure of await page.locator('figure.line').all()) await hoverPlace(figure, 0.5);
    const found = await page.evaluate(() => {
      const all = [...document.querySelectorAll('*')];
      const handlers = all.filter((element) => [...element.attributes].some(({ name }) => name.startsWith('on')));
      return {
        kinds: [...new Set(all.map((element) => element.tagName.toLowerCase()))].filter((kind) => kind !== 'br').sort(),
        handlers: handlers.length,
        text: document.body.innerText,
      };
    });
    expect(incidents).toEqual([]);
    await page.context().close();
    return found;
  }
});

it('opens a map of 60 layers and 256 experts, and finds its last cell', async () => {
  const text = diffPage(sampleDiff({ layers: 60, experts: 256 }));
  expect(text.length).toBeLessThan(5_000_000);
  const { page, incidents } = await openPage(browser, text);
  const svg = page.locator('figure.heat svg:visible').nth(1);
  await svg.scrollIntoViewIfNeeded();
  await hoverCell(svg, 59, 255);
  expect(await page.locator('.tip:visible').innerText()).toContain('layer 59\nexpert 255');
  expect(incidents).toEqual([]);
  await page.context().close();
});
