import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { routers } from '../../src/analysis/routers/routers.ts';
import { verdictOf } from '../../src/analysis/routers/verdict.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { recipeOf } from '../../src/merge/average.ts';
import { runRecipe } from '../../src/merge/run.ts';
import { routerConflicts } from '../../src/model/places/swapped-experts.ts';
import { safetensorsBytes, writeCheckpoint } from '../support/checkpoints.ts';
import { EXPERTS, f32, type MoeLayer, normals, reordered, someLayers, trained, writeMoeRun } from '../support/moe-run.ts';
import { writeNanotron } from '../support/run-trees.ts';
import { mergeError, temporaryFolder } from '../support/safetensors.ts';

const MOE = 'demo/runs/moe';

/** Three moments of one run. */
function run(): MoeLayer[][] {
  const first = someLayers(1);
  const second = trained(first, 2);
  return [first, second, trained(second, 3)];
}

const conflictsOf = async (paths: readonly string[]) => routerConflicts(await Promise.all(paths.map((path) => openCheckpoint(path))));

describe('the router report of the demo run', () => {
  it('finds experts in their places, and drift and choice by the numbers that numpy gives', async () => {
    const report = await routers({ inputs: [MOE], select: { steps: [5800, 6000] } });
    expect(report.verdict.kind).toBe('no-objection');
    expect(report.layers.map(({ layer, experts, hidden }) => ({ layer, experts, hidden }))).toEqual([
      { layer: 0, experts: 8, hidden: 64 },
      { layer: 1, experts: 8, hidden: 64 },
    ]);
    for (const { identity } of report.layers) expect(identity).toMatchObject([{ status: 'same', moved: [], ties: [] }]);
    const numpy = [
      {
        relative: 0.10159105170673668,
        cosine: 0.9948424150213232,
        expert: 6,
        row: 0.14915797160895486,
        least: 0.9972471857655291,
        mean: 0.9986763509362915,
        margin: 0.6240447014369606,
      },
      {
        relative: 0.12675875583122456,
        cosine: 0.9920157199031978,
        expert: 5,
        row: 0.19642985511962058,
        least: 0.9951452091605648,
        mean: 0.9978977394092007,
        margin: 0.8026948252011102,
      },
    ];
    for (const [l, { relative, cosine, expert, row, least, mean, margin }] of numpy.entries()) {
      const { drift, midpoint, identity, overall } = report.layers[l]!;
      expect(drift[0]!.relative).toBeCloseTo(relative, 12);
      expect(drift[0]!.cosine).toBeCloseTo(cosine, 12);
      expect(drift[0]!.worst?.expert).toBe(expert);
      expect(drift[0]!.worst?.relative).toBeCloseTo(row, 12);
      expect(midpoint).toMatchObject({ expert });
      expect(midpoint.least).toBeCloseTo(least, 12);
      expect(midpoint.mean).toBeCloseTo(mean, 12);
      expect(identity[0]!.margin.router).toBeCloseTo(margin, 12);
      expect(overall).toBeNull();
    }
    expect(report.inputs).toMatchObject({ kind: 'synthetic', path: null, seed: 0 });
    for (const { choice } of report.layers) {
      expect(choice?.load).toBeNull();
      expect(choice?.members.every(({ load }) => load === null)).toBe(true);
    }
    expect(JSON.stringify(report.verdict)).not.toMatch(/\bsafe\b/i);
  });

  it('tells of each layer once', async () => {
    const seen: unknown[] = [];
    await routers({ inputs: [MOE], select: { last: 2 } }, { onProgress: (progress) => seen.push(progress) });
    expect(seen).toEqual([1, 2].map((done) => ({ type: 'layer', done, total: 2 })));
  });

  it('says nothing against merging it, to a plan', async () => {
    const paths = ['4200', '5000', '5200', '6000'].map((step) => `${MOE}/checkpoint-${step}`);
    expect(await conflictsOf(paths)).toEqual({ conflicts: [], warnings: [] });
  });

  it('compares on hidden states where they are given, with load', async () => {
    const folder = temporaryFolder();
    const normal = normals(4);
    const hidden = join(folder, 'hidden.safetensors');
    const states = (l: number) => f32(`layers.${l}.hidden`, [40, 64], Float32Array.from({ length: 40 * 64 }, normal));
    writeFileSync(hidden, safetensorsBytes([states(0), states(1)], 0));
    const report = await routers({ inputs: [MOE], select: { last: 3 }, hidden });
    expect(report.inputs).toEqual({ kind: 'hidden-states', path: hidden, tokens: 40, seed: null });
    expect(report.layers[0]!.choice).toMatchObject({ tokens: 40, synthetic: false, load: { dead: 0 } });
    expect(report.verdict.kind).toBe('measured');
    expect(report.verdict.notTested.join()).not.toMatch(/--hidden/);
    // The same report, had averaging crowded tokens onto one expert of layer 1, or starved one.
    const [first, second] = report.layers;
    const had = (load: object) => {
      const layer = { ...second!, choice: { ...second!.choice!, load: { ...second!.choice!.load!, ...load } } };
      return verdictOf({ ...report, layers: [first!, layer] }, []);
    };
    const highest = Math.max(...second!.choice!.members.map((m) => m.load!.maxOverMean));
    expect(had({ maxOverMean: 1.49 * highest }).kind).toBe('measured');
    expect(had({ maxOverMean: 1.51 * highest })).toMatchObject({
      kind: 'look',
      headline: expect.stringContaining('spread tokens less evenly'),
    });
    expect(had({ dead: 1 }).findings.join()).toContain("In layer 1: 1 expert without a token, with members' routers none.");
    const fewer = await routers({ inputs: [MOE], select: { last: 3 }, hidden, probes: 7 });
    expect(fewer.layers[0]!.choice?.tokens).toBe(7);
  });
});

describe('permuted experts', () => {
  it('are found by report and plan, in the layer and pair where they are', async () => {
    const [a, b, c] = run();
    const folder = temporaryFolder();
    const paths = writeMoeRun(folder, [a!, reordered(b!, 1, [2, 1, 0, 3, 4, 5]), reordered(c!, 1, [2, 1, 0, 3, 4, 5])]);
    const report = await routers({ inputs: [folder] });
    expect(report.verdict.kind).toBe('refuse');
    expect(report.verdict.headline).toBe('Do not average these checkpoints: experts changed places in 1 of 2 MoE layers.');
    expect(report.verdict.findings[0]).toBe(
      'In layer 1 experts 0 and 2 changed places between step 100 and step 200, by router rows and by expert weights.',
    );
    expect(report.layers.map(({ identity }) => identity.map(({ status }) => status))).toEqual([
      ['same', 'same'],
      ['permuted', 'same'],
    ]);
    const { conflicts, warnings } = await conflictsOf(paths);
    expect(warnings).toEqual([]);
    expect(conflicts).toEqual([
      {
        code: 'E_PERMUTED',
        message: `layer 1: experts 0 and 2 changed places between ${paths[0]} and ${paths[1]}`,
        file: paths[1],
        tensor: 'model.layers.1.mlp.gate.weight',
      },
    ]);
  });

  it('in all layers of a later checkpoint are a conflict for each', async () => {
    const [a, b] = run();
    const order = [1, 2, 3, 4, 5, 0];
    const paths = writeMoeRun(temporaryFolder(), [a!, reordered(reordered(b!, 0, order), 1, order)]);
    const { conflicts } = await conflictsOf(paths);
    expect(conflicts.map(({ code, message }) => [code, message.split(':')[0]])).toEqual([
      ['E_PERMUTED', 'layer 0'],
      ['E_PERMUTED', 'layer 1'],
    ]);
    expect(conflicts[0]!.message).toContain('experts moved: 0 to 5, 1 to 0, 2 to 1, 3 to 2 and 2 more');
  });

  it('are one conflict of a plan, however many outputs of the same members it has', async () => {
    const [a, b, c] = run();
    const folder = temporaryFolder();
    const paths = writeMoeRun(folder, [a!, b!, reordered(c!, 0, [1, 0, 2, 3, 4, 5])]);
    const recipe = recipeOf({ inputs: paths, output: join(folder, 'one') });
    const [output] = recipe.outputs;
    const outputs = [output!, { ...output!, path: join(folder, 'two'), router: 'newest' as const }];
    const error = await mergeError(() => runRecipe({ ...recipe, outputs }));
    expect(error.code).toBe('E_PERMUTED');
    expect(error.details.conflicts).toMatchObject([{ code: 'E_PERMUTED', file: paths[2] }]);
    expect(existsSync(join(folder, 'one'))).toBe(false);
  });

  it('are no conflict where router rows alone are exchanged, but a warning', async () => {
    const [a, b] = run();
    const paths = writeMoeRun(temporaryFolder(), [a!, reordered(b!, 0, [1, 0, 2, 3, 4, 5], ['rows'])]);
    const { conflicts, warnings } = await conflictsOf(paths);
    expect(conflicts).toEqual([]);
    expect(warnings).toMatchObject([{ code: 'W_EXPERT_ORDER' }]);
    expect(warnings[0]!.message).toContain('and the experts did not: experts 0 and 1 changed places');
    expect((await routers({ inputs: paths })).verdict.kind).toBe('look');
  });
});

describe('experts that moved while router rows stayed', () => {
  const order = [1, 0, 2, 3, 5, 4];
  const moved = (layers: readonly MoeLayer[], what: readonly (keyof MoeLayer)[] = ['experts']) =>
    [0, 1].reduce((all, layer) => reordered(all, layer, order, what), [...layers]);

  it('are refused by plan and report, with a way past', async () => {
    const [a, b, c] = run();
    const folder = temporaryFolder();
    const paths = writeMoeRun(folder, [a!, moved(b!), moved(c!)]);
    const { conflicts, warnings } = await conflictsOf(paths);
    expect(warnings).toEqual([]);
    const where = `between ${paths[0]} and ${paths[1]} by their weights, and rows of the router`;
    expect(conflicts.map(({ code, message }) => [code, message])).toEqual(
      [0, 1].map((l) => [
        'E_PERMUTED',
        `layer ${l}: experts moved: 0 to 1, 1 to 0, 4 to 5, 5 to 4 ${where} (model.layers.${l}.mlp.gate.weight) stayed`,
      ]),
    );
    const recipe = recipeOf({ inputs: paths, output: join(folder, 'out') });
    expect((await mergeError(() => runRecipe(recipe))).code).toBe('E_PERMUTED');
    const merged = await runRecipe({ ...recipe, allowPermuted: true });
    expect(merged.warnings.map(({ code }) => code)).toContain('W_EXPERT_ORDER');
    expect((await routers({ inputs: paths })).verdict).toMatchObject({
      kind: 'refuse',
      headline: 'Do not average these checkpoints: weights of experts changed places in 2 of 2 MoE layers, and router rows did not.',
    });
  });

  it('are refused where rows moved as well, but otherwise', async () => {
    const [a, b] = run();
    const rows = reordered(moved(b!), 0, [0, 1, 3, 2, 4, 5], ['rows']);
    const { conflicts } = await conflictsOf(writeMoeRun(temporaryFolder(), [a!, rows]));
    expect(conflicts[0]!.message).toMatch(/^layer 0: experts moved: 0 to 1, 1 to 0, .* did not move with them$/);
  });

  it('are none where training moves all a lot, early on, experts have hardly parted, or one stack of noise follows another', async () => {
    const [a] = run();
    const few = a!.map(({ rows, experts }, l) => ({
      rows,
      experts: experts.map((e, i) => experts[0]!.map((v, k) => v + 0.02 * e[k]! * (i + l + 1))),
    }));
    for (const [older, by] of [
      [a!, 1],
      [a!, 3],
      [few, 0.02],
      [few, 0.3],
    ] as const) {
      for (const seed of [11, 12, 13])
        expect(await conflictsOf(writeMoeRun(temporaryFolder(), [older, trained(older, seed, by)]))).toEqual({
          conflicts: [],
          warnings: [],
        });
    }
  });
});

describe('no alarm', () => {
  it('for experts just upcycled from one, which are listed', async () => {
    const [a] = run();
    const alike = a!.map(({ rows, experts }) => ({ rows: rows.map(() => rows[0]!), experts: experts.map(() => experts[0]!) }));
    const paths = writeMoeRun(temporaryFolder(), [alike, trained(alike, 5, 0)]);
    const report = await routers({ inputs: paths });
    const all = Array.from({ length: EXPERTS }, (_, e) => e);
    expect(report.layers[0]!.identity).toMatchObject([{ status: 'same', ties: [all], margin: { router: null, weights: null } }]);
    expect(report.verdict.kind).toBe('no-objection');
    expect(report.verdict.findings.join('\n')).toContain(
      'In 2 layers some experts cannot be told apart (upcycled from one, or dead), as 0, 1, 2, 3, 4, 5 in layer 0',
    );
    expect(await conflictsOf(paths)).toEqual({ conflicts: [], warnings: [] });
  });

  it('for one starved expert in a healthy run: tokens never reach it, weight decay shrinks it, its router row sinks', async () => {
    const [a, b] = run();
    const [rows, experts] = [b![0]!.rows.slice(), b![0]!.experts.slice()];
    rows[3] = a![0]!.rows[3]!.map((v) => -0.01 * v);
    experts[3] = a![0]!.experts[3]!.map((v) => 0.05 * v);
    const paths = writeMoeRun(temporaryFolder(), [a!, [{ rows, experts }, b![1]!]]);
    const report = await routers({ inputs: paths });
    expect(report.layers[0]!.identity).toMatchObject([{ status: 'same', moved: [] }]);
    expect(report.verdict.kind).toBe('no-objection');
    expect(await conflictsOf(paths)).toEqual({ conflicts: [], warnings: [] });
  });
});

describe('what is not known', () => {
  it('is the choice, where nobody knows how the family routes', async () => {
    const paths = writeMoeRun(temporaryFolder(), run(), {
      model_type: 'mystery_moe',
      num_hidden_layers: 2,
      num_experts: EXPERTS,
      num_experts_per_tok: 2,
    });
    const report = await routers({ inputs: paths });
    expect(report).toMatchObject({ routing: null, inputs: null, layers: [{ choice: null }, { choice: null }] });
    expect(report.verdict.notTested[0]).toBe(
      'The choice of experts: how mystery_moe chooses is not known here, or its configuration does not say, or does not fit these routers.',
    );
    expect(report.layers[0]!.identity[0]!.status).toBe('same');
  });

  it('is told where a router holds NaN, and the rest is compared', async () => {
    const [a, b] = run();
    const rows = b![1]!.rows.slice();
    rows[4] = rows[4]!.map((v, i) => (i === 3 ? Number.NaN : v));
    const paths = writeMoeRun(temporaryFolder(), [a!, [b![0]!, { ...b![1]!, rows }]]);
    const report = await routers({ inputs: paths });
    expect(report.warnings).toEqual([
      { code: 'W_ROUTER', message: `model.layers.1.mlp.gate.weight of ${paths[1]} holds NaN or infinity, 1 number` },
    ]);
    expect(report.verdict).toMatchObject({
      kind: 'look',
      findings: [expect.stringMatching('holds NaN'), expect.anything(), expect.anything(), expect.anything()],
    });
    expect(JSON.stringify(report.verdict)).not.toMatch(/NaN %|Infinity/);
    expect(report.layers[1]!.drift[0]!.relative).toBeGreaterThan(0.1);
    expect(report.layers[0]!.drift[0]!.relative).toBeGreaterThan(0.1);
  });
});

describe('what does not fit', () => {
  it('is a choice of more experts than there are: told, and not tested', async () => {
    const config = { model_type: 'olmoe', num_hidden_layers: 2, num_experts: EXPERTS, num_experts_per_tok: EXPERTS + 1 };
    const paths = writeMoeRun(temporaryFolder(), run().slice(0, 2), config);
    const report = await routers({ inputs: paths });
    expect(report).toMatchObject({ routing: null, inputs: null, layers: [{ choice: null }, { choice: null }] });
    expect(report.warnings.map(({ message }) => message)).toContain(`the configuration of ${paths[1]} wants the best 7 of 6 experts`);
    expect(report.verdict.notTested[0]).toMatch(/^The choice of experts:.* does not fit these routers/);
  });

  it('are routers that begin at zero: nothing is divided by their length', async () => {
    const [a, b] = run();
    const zero = a!.map(({ rows, experts }) => ({ rows: rows.map((row) => row.map(() => 0)), experts }));
    const { verdict, layers } = await routers({ inputs: writeMoeRun(temporaryFolder(), [zero, b!]) });
    expect(layers[0]!.drift[0]!.relative).toBeNull();
    expect(layers[0]!.identity[0]!.status).toBe('same');
    expect(verdict.findings.join()).not.toContain('NaN');
    expect(verdict.findings.join()).toContain('Routers moved from nothing');
  });

  it('are models of two runs: neither this order nor another, in report and plan', async () => {
    const paths = writeMoeRun(temporaryFolder(), [someLayers(1), someLayers(2)]);
    const report = await routers({ inputs: paths });
    expect(report.layers).toMatchObject([{ identity: [{ status: 'unrelated' }] }, { identity: [{ status: 'unrelated' }] }]);
    expect(report.verdict).toMatchObject({
      kind: 'look',
      headline: 'Look before averaging: in 2 of 2 MoE layers experts have nothing in common from checkpoint to checkpoint.',
    });
    expect(await conflictsOf(paths)).toEqual({ conflicts: [], warnings: [] });
  });

  it('is an expert that is not there', async () => {
    const [a, b] = run();
    const without = b!.map((layer, l) => (l === 1 ? { ...layer, experts: layer.experts.slice(0, -1) } : layer));
    const paths = writeMoeRun(temporaryFolder(), [a!, without]);
    const { warnings } = await routers({ inputs: paths });
    expect(warnings).toMatchObject([{ code: 'W_ROUTER', message: expect.stringMatching(/expert 5 of layer 1/) }]);
    expect(warnings[0]!.message).toContain(paths[1]);
  });

  it("are layers in each other's places: refused, and by number of the layers", async () => {
    const normal = normals(8);
    const layers = Array.from({ length: 3 }, () => [0, 1].map(() => Float32Array.from({ length: 32 * 32 }, normal)));
    const folder = temporaryFolder();
    const config = JSON.stringify({ model_type: 'olmoe', num_hidden_layers: 3, num_experts: 32, num_experts_per_tok: 2 });
    const write = (step: number, order: readonly number[]) =>
      writeCheckpoint(
        join(folder, `checkpoint-${step}`),
        [
          order.flatMap((from, l) => [
            f32(
              `model.layers.${l}.self_attn.q_proj.weight`,
              [32, 32],
              layers[from]![0]!.map((v) => v + 0.1 * normal()),
            ),
            f32(
              `model.layers.${l}.mlp.gate.weight`,
              [32, 32],
              layers[from]![1]!.map((v) => v + 0.1 * normal()),
            ),
          ]),
        ],
        0,
        { 'config.json': config },
      );
    const [a, b] = [write(100, [0, 1, 2]), write(200, [0, 2, 1])];
    const { verdict } = await routers({ inputs: [a, b], eval: 'echo 1' });
    expect(verdict).toMatchObject({ kind: 'refuse', headline: 'Do not average these checkpoints: layers changed places.' });
    expect(verdict.findings[0]).toContain('layer 1 is where layer 2 was, layer 2 is where layer 1 was');
    expect((await routers({ inputs: [a, write(300, [0, 1, 2])] })).verdict.kind).toBe('no-objection');
  });

  it('are siblings of one step: they are told by their folders', async () => {
    const [a, b] = run();
    const folder = temporaryFolder();
    const [one] = writeMoeRun(join(folder, 'seed0'), [a!]);
    const [two] = writeMoeRun(join(folder, 'seed1'), [reordered(b!, 0, [1, 0, 2, 3, 4, 5])]);
    const { verdict } = await routers({ inputs: [one!, two!], weights: [0.5, 0.5] });
    expect(verdict.findings[0]).toContain(`experts 0 and 1 changed places between ${one} and ${two}`);
  });

  it('is looked for until eight pairs of checkpoints are found', async () => {
    const [a] = run();
    const [as, other] = [a!, reordered(reordered(a!, 0, [1, 0, 2, 3, 4, 5]), 1, [1, 0, 2, 3, 4, 5])];
    const paths = writeMoeRun(temporaryFolder(), [as, other, as, other, as, other, as, other, as]);
    const { conflicts } = await conflictsOf(paths);
    expect(conflicts.length).toBe(8);
    expect(conflicts.every(({ message }) => message.startsWith('layer 0'))).toBe(true);
    expect(conflicts[7]!.message).toMatch(/; further layers were not looked at$/);
    expect((await conflictsOf(paths.slice(1))).conflicts.length).toBe(14);
  });
});

describe('what cannot be compared', () => {
  it('is a dense model', async () => {
    const error = await mergeError(() => routers({ inputs: ['demo/runs/dense'], select: { last: 2 } }));
    expect(error.code).toBe('E_NO_ROUTERS');
    expect(await conflictsOf(['demo/runs/dense/checkpoint-5800', 'demo/runs/dense/checkpoint-6000'])).toEqual({
      conflicts: [],
      warnings: [],
    });
  });

  it("are slices of routers, a rank's each: told once, with what to do", async () => {
    const folder = temporaryFolder();
    const ranks = [0, 1, 2, 3].map(
      (i) => `model/decoder/${i >> 1}/pp_block/mlp/router/model_weight_pp-rank-0-of-1_tp-rank-${i % 2}-of-2.safetensors`,
    );
    const files = Object.fromEntries(ranks.map((name) => [name, [1, 2, 3, 4]]));
    const paths = [100, 200].map((step) => writeNanotron(join(folder, String(step)), step, files));
    const error = await mergeError(() => routers({ inputs: paths }));
    expect(error).toMatchObject({
      code: 'E_NO_ROUTERS',
      message: `${paths[1]} has no router that can be looked at: its files are of single ranks, and hold slices of routers`,
      help: expect.stringContaining('Convert'),
    });
  });

  it('is one checkpoint', async () => {
    expect((await mergeError(() => routers({ inputs: [`${MOE}/checkpoint-6000`] }))).code).toBe('E_OPTION');
  });

  it('are routers of other sizes, and layers that only some have: all of them told', async () => {
    const folder = temporaryFolder();
    const [a, b] = writeMoeRun(folder, run().slice(0, 2));
    const other = writeCheckpoint(
      join(folder, 'checkpoint-300'),
      [[f32('model.layers.0.mlp.gate.weight', [4, 32], new Float32Array(128))]],
      0,
      {
        'config.json': JSON.stringify({ model_type: 'olmoe', num_hidden_layers: 2, num_experts: 4, num_experts_per_tok: 2 }),
      },
    );
    const error = await mergeError(() => routers({ inputs: [other, a!, b!], weights: [0.2, 0.4, 0.4] }));
    expect(error.code).toBe('E_CONFLICTS');
    expect(error.details.conflicts).toMatchObject([
      { code: 'E_SHAPE', file: other, tensor: 'model.layers.0.mlp.gate.weight' },
      { code: 'E_TENSOR_MISSING', file: other, tensor: 'model.layers.1.mlp.gate.weight' },
    ]);
  });
});
