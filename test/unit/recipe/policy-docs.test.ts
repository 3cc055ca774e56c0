import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readRecipe } from '../../../src/recipe/file/read.ts';
import { DEFAULTS } from '../../../src/recipe/policy/defaults.ts';
import { parsePolicy, parseRouterUse } from '../../../src/recipe/policy/parse.ts';
import { ROLE_GROUPS, SPECIAL_ROLES } from '../../../src/recipe/policy/roles.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';

const page = readFileSync(new URL('../../../docs/policies.md', import.meta.url), 'utf8');
const section = (heading: string) => page.split(`\n## ${heading}\n`)[1]!.split('\n## ')[0]!;
/** Rows of the last table of a section, without its head. */
const rows = (heading: string) =>
  section(heading)
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(2);
const folder = temporaryFolder();
afterAll(folder.remove);

it('the default table of the page is that of the code', () => {
  expect(rows('Defaults')).toEqual(DEFAULTS.map(({ tensors, treatment, why }) => `| ${tensors} | ${treatment} | ${why} |`));
});

it('the groups of the page are those of the code', () => {
  const groups = Object.entries(ROLE_GROUPS).map(([group, roles]) => `| \`${group}\` | ${roles.map((role) => `\`${role}\``).join(', ')} |`);
  const listed = rows('Selectors').slice(-groups.length - SPECIAL_ROLES.length);
  expect(listed.slice(0, groups.length)).toEqual(groups);
  expect(listed.slice(groups.length).map((row) => row.split('`')[1])).toEqual([...SPECIAL_ROLES]);
});

it('every policy on the page is one', () => {
  const options = [...page.matchAll(/--policy '([^']*)'/g)].map((match) => match[1]!);
  expect(options.length).toBeGreaterThan(4);
  for (const option of options) expect(() => parsePolicy(option), option).not.toThrow();
  for (const [, use] of page.matchAll(/--router (\w+)$/gm)) expect(() => parseRouterUse(use!, '--router'), use).not.toThrow();
});

it('every recipe on the page is one', async () => {
  const recipes = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map((match) => match[1]!);
  expect(recipes.length).toBeGreaterThan(2);
  for (const [i, text] of recipes.entries()) {
    const path = join(folder.path, `${i}.yaml`);
    writeFileSync(path, text);
    expect((await readRecipe(path)).outputs.some(({ policies, router }) => (policies ?? []).length > 0 || router !== undefined)).toBe(true);
  }
});
