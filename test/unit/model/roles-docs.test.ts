import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { classifier } from '../../../src/model/roles/classify.ts';
import { namingContext } from '../../../src/model/roles/context.ts';
import { RULES, type Rule } from '../../../src/model/roles/rules.ts';
import { ROLES } from '../../../src/model/roles/types.ts';

const page = readFileSync(join(import.meta.dirname, '../../../docs/naming.md'), 'utf8');
const block = (language: string) => new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'ms').exec(page)![1]!.trim().split('\n');

test('the page has every role', () => {
  const table = page.slice(page.indexOf('## Roles'), page.indexOf('## How a name'));
  const named = [...table.matchAll(/`(\w+)`/g)].map(([, word]) => word);
  expect(ROLES.filter((role) => !named.includes(role))).toEqual([]);
});

test('the family that the page adds is not known before, and is after', () => {
  const rows = block('json').map((line) => JSON.parse(line.replace(/,$/, '')) as Rule);
  const labels = block('text').slice(1);
  expect([rows.length, labels.length]).toEqual([2, 2]);
  const [before, after] = [classifier(), classifier(undefined, [...rows, ...RULES])];
  for (const label of labels) {
    const [name, role, layer, , projection] = label.split(' ') as [string, string, string, string, string];
    expect(before(name).role).not.toBe(role);
    expect(after(name)).toMatchObject({ role, layer: Number(layer), expert: null, projection });
  }
});

test('the result that the page shows', () => {
  const [code, shown] = [block('ts').join('\n'), /^\/\/ (\{.*\})$/m.exec(block('ts').join('\n'))![1]!];
  const [, config] = /namingContext\((\{.*?\})\)/.exec(code)!;
  const [, name] = /classify\('([^']+)'/.exec(code)!;
  const parse = (text: string) => JSON.parse(text.replaceAll(/(\w+):/g, '"$1":').replaceAll("'", '"'));
  expect(classifier(namingContext(parse(config!)))(name!, 'BF16', [7168, 2048])).toEqual(parse(shown));
});
