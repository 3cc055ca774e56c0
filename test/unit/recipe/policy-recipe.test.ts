import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MergeError } from '../../../src/base/errors.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import type { Checkpoint } from '../../../src/checkpoints/types.ts';
import { resolveRecipe } from '../../../src/merge/members/resolve.ts';
import { recipeText } from '../../../src/merge/plan/recipe-text.ts';
import { readRecipe, recipeJsonSchema } from '../../../src/recipe/file/read.ts';
import { assignTreatments } from '../../../src/recipe/policy/assign.ts';
import { parsePolicy } from '../../../src/recipe/policy/parse.ts';
import { policyText } from '../../../src/recipe/policy/text.ts';
import type { Policy, PolicyRequest, PolicyTensor } from '../../../src/recipe/policy/types.ts';
import { resolveWeights } from '../../../src/recipe/schedule/resolve.ts';
import type { Recipe } from '../../../src/recipe/types.ts';
import { temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';

const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder.path, ...parts);
const MEMBERS = [1000, 2000, 4000];
let members: Checkpoint[];

beforeAll(async () => {
  const shards = [[{ name: 'lm_head.weight', dtype: 'BF16', shape: [2] }]] as const;
  members = await Promise.all(MEMBERS.map((step) => openCheckpoint(writeCheckpoint(at(`checkpoint-${step}`), shards, step))));
});
afterAll(folder.remove);

let written = 0;
function recipe(...lines: string[]): Promise<Recipe> {
  const path = at(`recipe-${written++}.yaml`);
  writeFileSync(
    path,
    `inputs: [checkpoint-1000, checkpoint-2000, checkpoint-4000]\noutputs:\n  - path: out\n${lines.map((line) => `    ${line}\n`).join('')}`,
  );
  return readRecipe(path);
}

/** The policies of a recipe's one output, as the command line writes them. */
const asOptions = async (...lines: string[]) => (await recipe('policies:', ...lines)).outputs[0]!.policies!.map(policyText);

describe('policies in a recipe', () => {
  it('are those of the command line', async () => {
    const options = [
      'role=router:use=newest',
      'name=model.layers.0.*:weights=0.2,0.8',
      'role=experts:method=sma',
      'role=routers:method=ema,alpha=0.2',
      'role=router|norms,layers=0-3|-1,experts=7,stored=F32|BF16:use=2000,dtype=F32',
      'name=x:method=ema,half-life=2B,reverse=true',
    ];
    const lines = [
      '- { role: router, use: newest }',
      "- { name: 'model.layers.0.*', weights: [0.2, 0.8] }",
      '- role: experts',
      '  method: sma',
      '- { role: routers, method: ema, alpha: 0.2 }',
      "- { role: [router, norms], layers: ['0-3', -1], experts: 7, stored: F32|BF16, use: 2000, dtype: F32 }",
      '- { name: x, method: ema, half-life: 2B, reverse: true }',
    ];
    expect(await asOptions(...lines)).toEqual(options);
    expect(options.map((text) => policyText(parsePolicy(text)))).toEqual(options);
  });

  it('go on to the plan, with router and what is allowed', async () => {
    const path = at('allowed.yaml');
    writeFileSync(
      path,
      'inputs: [checkpoint-1000]\nallow-unknown: true\nallow-permuted: true\noutputs:\n  - { path: out, dtype: same, router: 4000, policies: [{ role: mtp, use: drop }] }\n',
    );
    expect(await resolveRecipe(await readRecipe(path))).toMatchObject({
      ...{ allowUnknown: true, allowPermuted: true },
      outputs: [{ dtype: 'same', router: 4000, policies: [{ role: 'mtp', use: 'drop' }] }],
    });
  });

  it('hold files relative to the recipe', async () => {
    const { outputs } = await recipe('policies:', '  - { role: norms, method: lr-curve, lr-curve: sub/lr.csv }');
    expect(outputs[0]!.policies).toEqual([{ role: 'norms', method: 'lr-curve', lrCurve: at('sub/lr.csv') }]);
  });

  it.each([
    ['policies: router', ['4:15: `policies` must be a list, not router']],
    ['policies: [router]', ['4:16: `policies[0]` must be a map, such as { role: router, use: newest }, not router']],
    ['policies: [{ rolle: router, use: newest }]', ['4:18: unknown key `rolle`; did you mean `role`?']],
    ['policies: [{ role: ruter, use: newest }]', ['4:24: there is no role "ruter"; did you mean router?']],
    ['policies: [{ role: [router, norm|nrms], use: newest }]', ['4:24: there is no role "nrms"; did you mean norms?']],
    ['policies: [{ role: [router, 3], use: newest }]', ['4:33: `role[1]` must be text, not 3']],
    ['policies: [{ layers: [0, true], use: newest }]', ['`layers[1]` must be a number or a range, not true']],
    ['policies: [{ role: router, use: newst }]', ['`use` must be one of average, newest, oldest, equal, drop, or a step, not newst']],
    ['policies: [{ role: router, layers: 3-1, use: newest }]', ['4:40: layers "3-1" is no number']],
    ['policies: [{ role: router }]', ['4:16: a policy must say what to do']],
    ['policies: [{ use: newest }]', ['a policy must say which tensors it is about']],
    ['policies: [{ role: router, use: drop, alpha: 0.2 }]', ['4:50: alpha has no meaning with use=drop']],
    ['policies: [{ role: router, method: ema, alpha: 3 }]', ['`alpha` must be over 0 and at most 1, not 3']],
    ['policies: [{ role: router, method: extrapolate }]', ['4:40: method extrapolate needs gamma']],
    ['policies: [{ role: router, use: newest }, { role: router, use: oldest }]', ['4:47: two policies select role=router']],
    ['policies: [{ role: router, dtype: I8 }]', ['`dtype` must be one of BF16, F16, F32, F64, not I8']],
    ['router: drop', ['4:13: `router` must be one of average, newest, oldest, or a step, not drop']],
    ['role: router', ['4:5: unknown key `role`; `role` belongs in an item of `policies`']],
    ['policies: [{ role: router, select: { last: 2 } }]', ['unknown key `select`; `select` belongs in an output']],
    ['polices: []', ['4:5: unknown key `polices`; did you mean `policies`?']],
  ])('%s is told with its place', async (line, expected) => {
    const error = await recipe(line).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'E_RECIPE' });
    const messages = (error as MergeError).details.conflicts!.map(({ message }) => message).join('\n');
    for (const text of expected) expect(messages).toContain(text);
  });

  it('wrong ones from a program are refused before an input is looked at', async () => {
    const wrong = { inputs: ['nowhere'], outputs: [{ path: 'out', policies: [{ role: 'ruter', use: 'newest' }], router: 'drop' }] };
    await expect(resolveRecipe(wrong as unknown as Recipe)).rejects.toMatchObject({
      code: 'E_OPTION',
      details: { conflicts: { length: 2 } },
    });
  });

  it('are in the schema for editors', async () => {
    const text = JSON.stringify(await recipeJsonSchema());
    for (const word of ['policies', 'router_correction_bias', 'shared_experts', 'allow-unknown']) expect(text).toContain(`"${word}"`);
  });
});

describe('the recipe in a merge', () => {
  const tensors: PolicyTensor[] = ['router', 'expert', 'norm', 'attn'].map((role) => ({
    name: `${role}: "0"`,
    ...{ dtype: 'BF16', bytes: 2 },
    role: { role, of: null, layer: 0, expert: null, projection: null, mtp: false, tower: null, family: null } as PolicyTensor['role'],
  }));

  async function again(
    request: PolicyRequest,
    positions = MEMBERS.map((step) => ({ step, tokens: null as number | null })),
  ): Promise<readonly Policy[]> {
    const { treatments, conflicts } = assignTreatments(tensors, request, { members: positions, allowUnknown: false });
    expect(conflicts).toEqual([]);
    const placed = members.map(({ path }, i) => ({ path, ...positions[i]! }));
    const own = await Promise.all(
      treatments.map((treatment) => (treatment.request === null ? null : resolveWeights(placed, treatment.request))),
    );
    const schedule = await resolveWeights(placed, {});
    const text = await recipeText({
      output: { path: at('out'), ...request },
      members,
      schedule,
      treated: { treatments, own },
      request: { allowUnknown: true },
    });
    mkdirSync(at('out'), { recursive: true });
    writeFileSync(at('out', 'merge_recipe.yaml'), text);
    const read = await readRecipe(at('out', 'merge_recipe.yaml'));
    expect(read.allowUnknown).toBe(true);
    return read.outputs[0]!.policies!;
  }

  it('has the same policies', async () => {
    const policies: Policy[] = [
      { role: ['expert', 'mlp'], layers: [0, '2-3'], use: 2000, dtype: 'F32' },
      { name: 'norm: "?"', method: 'ema', alpha: 0.3 },
      { stored: 'BF16', weights: [0.1, 0.2, 0.7] },
    ];
    expect(await again({ policies, router: 'newest' })).toEqual([{ role: 'routers', use: 'newest' }, ...policies]);
  });

  it('has the weights where the schedule gives them only by what is not in the checkpoints', async () => {
    writeFileSync(at('decay.txt'), '0.5\n0.25\n');
    const policies: Policy[] = [
      { role: 'router', method: 'ema', halfLife: '2B' },
      { role: 'expert', method: 'wsm', decayFile: at('decay.txt') },
    ];
    const positions = MEMBERS.map((step) => ({ step, tokens: step * 1e6 }));
    // Half-life 2B over 1B and 2B: an old share of 2^-0.5, then of 2^-1.
    const ema = [Math.SQRT1_2 / 2, (1 - Math.SQRT1_2) / 2, 0.5];
    const [router, expert] = await again({ policies }, positions);
    expect(Object.keys(router!)).toEqual(['role', 'weights']);
    expect(router!.weights!.map((w, i) => Math.abs(w - ema[i]!) < 1e-15)).toEqual([true, true, true]);
    expect(expert).toEqual({ role: 'expert', weights: [0.5, 0.25, 0.25] });
  });
});
