import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { arrange } from '../../../src/model/layout/arrange.ts';
import { tensorsOfLine } from '../../support/architectures.ts';
import { opened } from '../../support/tiny-models.ts';

/**
 * Tiny models as their own files have them (`old`) and as transformers holds them (`new`): one model saved
 * twice by transformers 5.24, with save_original_format and without. `same` are tensors of the same bytes, one
 * of each kind of name.
 */
type Renamed = Record<
  string,
  { readonly config: Record<string, unknown>; readonly old: string[]; readonly new: string[]; readonly same: [string, string][] }
>;
const golden = JSON.parse(readFileSync(join(import.meta.dirname, '../../golden/renamed.json'), 'utf8')) as Renamed;

describe.each(Object.entries(golden))('%s, under the names of its own files and of transformers', (_, { config, same, ...names }) => {
  const [old, now] = [names.old, names.new].map((lines) => opened({ config, tensors: Object.fromEntries(lines.flatMap(tensorsOfLine)) }));

  it.each([
    ['new in old', now!, old!, same.map(([a, b]) => [b, a] as const)],
    ['old in new', old!, now!, same],
  ] as const)('%s: every tensor is found, and in its own place', (_, [layout, layoutRoles], [member, memberRoles], pairs) => {
    const arrangement = arrange(layout, layoutRoles, member, memberRoles);
    for (const [shard, { tensors }] of layout.shards.entries()) {
      for (const [row, name] of tensors.names.entries()) {
        if (member.locate(name) === undefined) expect(arrangement.of(shard, row), name).toHaveProperty('pieces');
      }
    }
    for (const [shard, { tensors }] of member.shards.entries()) {
      for (const [row, name] of tensors.names.entries()) {
        if (layout.locate(name) === undefined) expect(arrangement.uses(shard, row), name).toBe(true);
      }
    }
    for (const [wanted, held] of pairs) {
      const { shard, row } = layout.locate(wanted)!;
      const place = member.locate(held)!;
      expect(arrangement.of(shard, row), wanted).toMatchObject({ pieces: [{ ...place, from: 0, sourceFrom: 0 }] });
    }
  });
});
