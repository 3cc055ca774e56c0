import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { METHODS } from '../../../src/recipe/schedule/methods.ts';
import { PARAMETERS, parameterLabel } from '../../../src/recipe/schedule/parameters.ts';
import { resolveWeights } from '../../../src/recipe/schedule/resolve.ts';

const root = new URL('../../../', import.meta.url);
const read = (name: string) => readFileSync(new URL(`docs/${name}`, root), 'utf8');
const HELP = 'out of date: npm run build && npm run docs';

let written: Record<string, string>;
beforeAll(async () => {
  const script = new URL('scripts/schedule-pictures.js', root).href;
  written = await ((await import(script)) as { files: (resolve: typeof resolveWeights) => Promise<Record<string, string>> }).files(
    resolveWeights,
  );
});

test('pictures and tables are what the schedules give', () => {
  for (const [name, content] of Object.entries(written)) expect(read(name), `docs/${name} is ${HELP}`).toBe(content);
  const pictures = readdirSync(fileURLToPath(new URL('docs/images/', root))).filter((name) => /^schedule-.*svg$/.test(name));
  expect(pictures.map((name) => `images/${name}`).sort()).toEqual(
    Object.keys(written)
      .filter((name) => name.endsWith('svg'))
      .sort(),
  );
});

test('the tables hold the numbers computed by hand', () => {
  const page = read('schedules.md');
  expect(page).toContain('| wsm, linear | .1000 | .1000 | .1000 | .5000 | .2000 |');
  expect(page).toContain('| ema, half-life 20 | .0625 | .0259 | .0366 | .0518 | .8232 |');
});

test('every schedule has a section with a picture, a formula or rule and a source, and every parameter is explained', () => {
  const page = read('schedules.md');
  for (const { name, parameters } of METHODS) {
    const section = page.split(`\n## ${name}\n`)[1]?.split('\n## ')[0] ?? '';
    expect(section, name).toContain(`(images/schedule-${name}.svg)`);
    expect(section, name).toContain('**Source:**');
    for (const parameter of parameters) expect(section, name).toContain(`\`--${parameterLabel(parameter)}`);
  }
  for (const parameter of Object.keys(PARAMETERS)) expect(page).toContain(`\`--${parameterLabel(parameter)}`);
});
