import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { classifier } from '../../../src/model/roles/classify.ts';
import { namingContext } from '../../../src/model/roles/context.ts';

const golden = readFileSync(join(import.meta.dirname, '../../golden/unseen-names.txt'), 'utf8');
const families = golden
  .split(/^## /m)
  .slice(1)
  .map((part) => {
    const [head, ...lines] = part.split('\n');
    const brace = head!.indexOf('{');
    const config = brace === -1 ? null : (JSON.parse(head!.slice(brace)) as Record<string, unknown>);
    return { family: brace === -1 ? head! : head!.slice(0, brace - 1), config, lines: lines.filter((line) => line !== '') };
  });

const place = (word: string) => (word === '-' ? null : word === 'all' ? 'all' : Number(word));
const SHAPES: Readonly<Record<string, readonly number[]>> = { '2d': [8, 64], '3d': [8, 64, 32] };

test('names of families that the labelled file does not have', () => {
  const wrong: unknown[] = [];
  const table = families.map(({ family, config, lines }) => {
    const classify = classifier(namingContext(config));
    let right = 0;
    for (const line of lines) {
      const [name, role, layer, expert, projection, ...also] = line.split(' ') as [string, string, string, string, string, ...string[]];
      const shape = SHAPES[also.find((word) => word in SHAPES) ?? ''] ?? null;
      const got = classify(name, null, shape);
      const want = {
        role,
        layer: place(layer),
        expert: place(expert),
        projection: projection === '-' ? null : projection,
        mtp: also.includes('mtp'),
      };
      // What words a role without matrices has at its end says nothing.
      if (['other', 'residual_mix', 'mtp_proj'].includes(role)) want.projection = got.projection;
      const { role: gotRole, layer: l, expert: e, projection: p, mtp } = got;
      if (JSON.stringify(want) === JSON.stringify({ role: gotRole, layer: l, expert: e, projection: p, mtp })) right++;
      else wrong.push(`${name}: ${JSON.stringify(Object.values(want))} and not ${JSON.stringify([gotRole, l, e, p, mtp])}`);
    }
    return `${family.padEnd(60)} ${right} of ${lines.length}`;
  });
  console.log(table.join('\n'));
  expect(wrong).toEqual([]);
  expect(families.reduce((sum, { lines }) => sum + lines.length, 0)).toBeGreaterThan(250);
});
