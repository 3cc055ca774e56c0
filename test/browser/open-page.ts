import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Locator, type Page } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const MAC = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome';

/**
 * Starts the Chromium of the system: `CHROMIUM`, or the first of the usual names on PATH. Without one the
 * tests fail; they are never skipped.
 */
export async function startBrowser(): Promise<Browser> {
  const places = (process.env.PATH ?? '').split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)));
  const executablePath = [process.env.CHROMIUM, ...places, MAC].find((path) => path !== undefined && runs(path));
  if (executablePath === undefined) {
    throw new Error('No Chromium was found. Install one (Debian: apt-get install chromium), or name it in the variable CHROMIUM.');
  }
  return chromium.launch({ executablePath });
}

function runs(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface OpenPage {
  readonly page: Page;
  /**
   * Everything that a page at peace has none of: requests, console messages, script errors, dialogs,
   * violations of its policy.
   */
  readonly incidents: string[];
}

export interface OpenOptions {
  readonly colorScheme?: 'light' | 'dark';
  readonly javaScriptEnabled?: boolean;
  readonly width?: number;
  /** The file stays there until the browser is closed: for what loads itself again. */
  readonly keep?: boolean;
}

/** Writes a document to a file and opens that, as a user would. */
export async function openPage(browser: Browser, text: string, options: OpenOptions = {}): Promise<OpenPage> {
  const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-page-'));
  const file = join(folder, 'report.html');
  writeFileSync(file, text);
  const { width = 1200, keep = false, ...context } = options;
  const page = await (await browser.newContext({ ...context, viewport: { width, height: 900 } })).newPage();
  const incidents: string[] = [];
  const url = pathToFileURL(file).href;
  page.on('console', (message) => incidents.push(`console ${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => incidents.push(`script error: ${error.message}`));
  page.on('dialog', (dialog) => {
    incidents.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    if (request.url() !== url) incidents.push(`request: ${request.url()}`);
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  await page.goto(url);
  if (keep) page.context().on('close', () => rmSync(folder, { recursive: true }));
  else rmSync(folder, { recursive: true });
  return { page, incidents };
}

/** Puts the pointer on a cell of a heat map, by what the drawing says of its geometry. */
export async function hoverCell(svg: Locator, row: number, column: number): Promise<void> {
  const position = await svg.evaluate(
    (element, [r, c]) => {
      const { left, top, cellWidth, cellHeight } = (element as SVGSVGElement).dataset;
      return { x: Number(left) + (c + 0.5) * Number(cellWidth), y: Number(top) + (r + 0.5) * Number(cellHeight) };
    },
    [row, column] as const,
  );
  await svg.hover({ position });
}

/** Puts the pointer into a line chart, so far along its x axis, from 0 to 1. */
export async function hoverPlace(figure: Locator, part: number): Promise<void> {
  const svg = figure.locator('svg');
  await svg.scrollIntoViewIfNeeded();
  const position = await svg.evaluate((element, along) => {
    const { dataset, clientWidth, viewBox } = element as SVGSVGElement;
    const scale = clientWidth / viewBox.baseVal.width;
    const [left, right, top] = [Number(dataset.left), Number(dataset.right), Number(dataset.top)];
    return { x: scale * (left + along * (right - left)), y: scale * (top + 40) };
  }, part);
  await svg.hover({ position });
}
