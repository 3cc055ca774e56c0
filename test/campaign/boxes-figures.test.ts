import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { diff } from '../../src/analysis/diff/diff.ts';
import { routers } from '../../src/analysis/routers/routers.ts';
import { writeCheckpoint } from '../support/checkpoints.ts';
import { along, both, type Cut, cutCopy } from '../support/dcp-cuts.ts';
import { temporaryFolder } from '../support/safetensors.ts';

const demo = (path: string) => join(import.meta.dirname, '../../demo/runs', path);
const MEMBERS = ['moe/checkpoint-5600', 'moe/checkpoint-5800', 'moe/checkpoint-6000'].map(demo);
const CUTS: Readonly<Record<string, Cut>> = {
  rows: along(0, 3),
  columns: along(1, 3),
  'rows and columns': both(along(0, 2), along(1, 5)),
};

/** All figures of a document, by whatever paths. */
const figures = (document: object): unknown => {
  const text = JSON.stringify(document, (key, value) =>
    ['checkpoints', 'seconds', 'warnings', 'inputs', 'members'].includes(key) ? undefined : value,
  );
  return JSON.parse(text.replaceAll(/"[^"]*checkpoint-(\d+)"/g, '"$1"'));
};

describe.each(Object.entries(CUTS))('checkpoints of torch.distributed, cut along %s', (what, cut) => {
  test('diff and routers give the very figures of the same checkpoints as safetensors', async () => {
    const folder = join(temporaryFolder(), what);
    const inputs = await Promise.all(MEMBERS.map((path) => cutCopy(path, join(folder, path.split('/').at(-1)!), cut)));
    const [plain, reports] = [figures(await diff({ inputs: MEMBERS })), figures(await routers({ inputs: MEMBERS }))];
    expect(figures(await diff({ inputs }))).toEqual(plain);
    expect(figures(await diff({ inputs, io: 'read' }))).toEqual(plain);
    expect(figures(await diff({ inputs: [MEMBERS[0]!, inputs[1]!, inputs[2]!] }))).toEqual(plain);
    expect(figures(await routers({ inputs }))).toEqual(reports);
    expect(figures(await routers({ inputs: [inputs[0]!, MEMBERS[1]!, inputs[2]!] }))).toEqual(reports);
  });
});

test('tensors that are compared by their bytes, and those without elements', async () => {
  const folder = temporaryFolder();
  const tensors = [
    { name: 'model.embed_tokens.weight', dtype: 'F32', shape: [6, 6] },
    { name: 'model.layers.0.self_attn.q_proj.weight', dtype: 'F32', shape: [0, 6] },
    { name: 'model.codes', dtype: 'I64', shape: [4, 6] },
    ...Array.from({ length: 8 }, (_, i) => ({ name: `model.layers.${i}.mlp.down_proj.weight`, dtype: 'F32' as const, shape: [2, 2] })),
  ] as const;
  const [a, b] = [1, 2].map((seed) => writeCheckpoint(join(folder, `checkpoint-${seed}`), [tensors], seed)) as [string, string];
  const inputs = [
    await cutCopy(a, join(folder, 'x', 'checkpoint-1'), along(1, 4)),
    await cutCopy(b, join(folder, 'x', 'checkpoint-2'), along(1, 3)),
  ];
  const document = await diff({ inputs });
  expect(document.uncompared).toMatchObject([{ name: 'model.codes', equal: false }]);
  expect(figures(document)).toEqual(figures(await diff({ inputs: [a, b] })));
  expect((await diff({ inputs: [a, inputs[0]!] })).verdict).toBe('The checkpoints are the same');
});
