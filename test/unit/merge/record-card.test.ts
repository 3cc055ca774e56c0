import { describe, expect, test } from 'vitest';
import { cachedRepoId, checkRepoId, isRepoId } from '../../../src/checkpoints/hub.ts';
import { mergeCard } from '../../../src/merge/record/merge-card.ts';
import { buildProvenance, type ProvenanceInput } from '../../../src/merge/record/provenance.ts';

const RECIPE: ProvenanceInput['recipe'] = {
  method: 'ema',
  alpha: null,
  parameters: { 'half-life': '20B', reverse: true },
  normalized: false,
  dtype: 'F32',
  purpose: null,
  optimizer: null,
  policies: [],
  allowMixedDtypes: false,
  allowUnknown: false,
  like: null,
  members: [1000, 2000].map((step) => ({
    path: `/data/run/checkpoint-${step}`,
    step,
    tokens: step * 4e6,
    weight: 0.5,
    bytes: 1,
    fingerprint: 'f',
  })),
};
const provenance = (changed: Partial<ProvenanceInput['recipe']> = {}) =>
  buildProvenance({
    toolVersion: '1.2.3',
    output: '/data/merged',
    recipe: { ...RECIPE, ...changed },
    planDigest: 'd',
    files: [],
    dtypeChanges: [],
    warnings: [],
    timings: null,
  });
const card = (options: Partial<Parameters<typeof mergeCard>[1]> = {}, changed: Partial<ProvenanceInput['recipe']> = {}) =>
  mergeCard(provenance(changed), { name: 'merged', ...options });
const front = (options: Partial<Parameters<typeof mergeCard>[1]>) => card(options).split('---\n')[1];
const source = (...lines: string[]) => ['---', ...lines, '---', ''].join('\n');

test('names of checkpoints are neither markup nor escapes of a terminal', () => {
  const members = RECIPE.members.map((member) => ({ ...member, path: '/data/run/\u001b[31m\u202e<img src=x>[a](b)|`' }));
  expect(card({}, { members })).toContain('| \\\\x1b\\[31m\\\\u202e\\<img src=x>\\[a](b)\\|\\` | 1000 |');
});

test('that members were chosen by their scores is said, and of other warnings nothing', () => {
  const message =
    'the 2 members were chosen by acc in a<b>.csv: on the same items the merge scores better than it is, so judge it on others';
  const warnings = [
    { code: 'W_SELECTED_BY_SCORE', message },
    { code: 'W_SCORES', message: 'other' },
  ] as const;
  const text = mergeCard({ ...provenance(), warnings }, { name: 'merged' });
  expect(text).toContain('The 2 members were chosen by acc in a\\<b>.csv: on the same items the merge scores better than it is');
  expect(text).not.toContain('other.');
});

test('of the front matter nothing is kept that is not so of the merge, or that an editor would show turned round', () => {
  const sourceReadme = source(
    'license: \u202emit',
    'language: [en, "d\u0007e"]',
    'library_name: mlx',
    'tags: [text-generation, fp8, compressed-tensors, gguf, 4-bit, moe]',
    'base_model: org/model',
    'base_model_relation: quantized',
    'model-index:',
    '- name: x',
  );
  const lines = (floats: boolean) => front({ sourceReadme, floats })!.split('\n');
  const floats = lines(true);
  expect(floats).toEqual(
    expect.arrayContaining(['library_name: transformers', 'license: \\u202emit', 'language: [en, "d\\x07e"]', 'base_model: org/model']),
  );
  expect(floats.filter((line) => line.startsWith('- '))).toEqual(['- text-generation', '- moe', '- merge', '- ckpt-merge']);
  expect(floats.join()).not.toMatch(/relation|model-index|\u202e/);
  // Where the merge is quantised as its members are.
  expect(lines(false)).toEqual(expect.arrayContaining(['library_name: mlx', '- fp8', '- compressed-tensors', '- 4-bit']));
  expect(lines(false)).not.toContain('- gguf');
});

test('files are named that say of the weights what is not so', () => {
  const left = [
    { name: 'hf_quant_config.json', reason: 'r', outdated: true },
    { name: 'optimizer.pt', reason: 'training state' },
  ] as const;
  expect(card({ left })).toContain('Left out, because the weights are plain floats here: `hf_quant_config.json`.');
  expect(card({ left })).not.toContain('optimizer.pt');
});

test('the arithmetic is said of the tensors that it is of', () => {
  const row = { role: null, mtp: false, tensors: 3, bytes: 1, policy: null } as const;
  expect(card({ treatments: [{ ...row, treatment: 'average, sma' }] })).toContain('\nEach floating-point tensor is the weighted sum');
  const text = card({
    treatments: [
      { ...row, treatment: 'average, sma' },
      { ...row, role: 'router', treatment: 'newest, step 3000', policy: 'role=router|norm:use=newest' },
    ],
  });
  expect(text).toContain('| unknown | 3 | average, sma |\n| router | 3 | newest, step 3000 |\n');
  expect(text).toContain('\nEach tensor with the treatment `average` is the weighted sum');
  expect(text).not.toContain('Each floating-point tensor');
});

describe('base_model', () => {
  test('is the id of the model on the Hub, and the relation is a merge', () => {
    const sourceReadme = source('license: mit', 'base_model: other/start', 'base_model_relation: finetune');
    expect(front({ sourceReadme, baseModelId: 'org/run' })).toBe(
      'library_name: transformers\nlicense: mit\nbase_model: org/run\nbase_model_relation: merge\ntags:\n- merge\n- ckpt-merge\n',
    );
  });

  test.each([
    ['base_model: org/model'],
    ['base_model: "org/model" # the start'],
    ['base_model: [org/a, org/b]'],
    ['base_model:', '- org/a', "- 'org/b'"],
  ])('of the source stays where it is an id: %s', (...lines) => {
    const text = front({ sourceReadme: source(...lines, 'base_model_relation: finetune') });
    expect(text).toContain(`${lines.join('\n')}\nbase_model_relation: finetune\n`);
  });

  test.each([
    ['base_model: my-model'],
    ['base_model: /data/model'],
    ['base_model: ../model'],
    ['base_model: runs/checkpoint-1000'],
    ['base_model: runs/dense/last'],
    ['base_model: out--x/model'],
    ['base_model:'],
    ['base_model:', '- org/a', '- local'],
    ['base_model: {a: b}'],
  ])('of the source goes where it may be a folder: %s', (...lines) => {
    expect(front({ sourceReadme: source(...lines, 'base_model_relation: finetune') })).not.toContain('base_model');
  });
});

describe('an id of the Hub', () => {
  test.each(['org/name', 'allenai/OLMo-2-1124-7B', 'a/b', 'o_g/v1.5_x'])('%s is one', (id) => {
    expect(checkRepoId(id)).toBe(id);
  });

  test.each([
    'name',
    '',
    'a/b/c',
    '/a',
    'a/',
    '-a/b',
    'a/b-',
    'a/.b',
    'a/b--c',
    'a/b..c',
    'a b/c',
    'a/b.git',
    `a/${'b'.repeat(95)}`,
    'a/b\nc',
  ])('%j is none', (id) => {
    expect(isRepoId(id)).toBe(false);
    expect(() => checkRepoId(id)).toThrow(expect.objectContaining({ code: 'E_OPTION', help: expect.stringContaining('org/name') }));
  });

  test('is found where all members lie in the cache of one model', () => {
    const hub = '/c/hub/models--org--my-name';
    expect(cachedRepoId([`${hub}/snapshots/abc`, `${hub}/snapshots/def/step-2`])).toBe('org/my-name');
    expect(cachedRepoId([`${hub}/snapshots/abc/model.safetensors`])).toBe('org/my-name');
    expect(cachedRepoId([`${hub}/snapshots/abc`, '/c/hub/models--org--other/snapshots/abc'])).toBeNull();
    expect(cachedRepoId([`${hub}/snapshots/abc`, '/runs/checkpoint-1'])).toBeNull();
    expect(cachedRepoId([`${hub}/blobs/abc`])).toBeNull();
    expect(cachedRepoId(['/c/datasets--org--name/snapshots/abc'])).toBeNull();
    expect(cachedRepoId(['/c/models--gpt2/snapshots/abc'])).toBeNull();
    expect(cachedRepoId([])).toBeNull();
  });
});

test('the method comes with its parameters', () => {
  expect(card()).toContain('with the method `ema` (half-life 20B, reverse true).');
  expect(card({}, { parameters: {} })).toContain('with the method `ema`.\n');
});

test('the recipe and how to make it again', () => {
  const recipe = 'inputs:\n  - ../run/checkpoint-1000\noutputs:\n  - path: ../merged-again\n';
  const text = card({ recipe });
  expect(text).toContain(`\`\`\`yaml\n${recipe}\`\`\`\n`);
  expect(text).toContain('`npx ckpt-merge run merge_recipe.yaml`');
  expect(card()).not.toContain('Make it again');
});

describe('a start of more training', () => {
  test('says what the paper showed, and what it did not', () => {
    const dropped = card({}, { purpose: 'resume', optimizer: 'drop' });
    for (const fact of ['parity, not a gain', 'could not repeat gains of that size', 'does not say what became of the optimizer state'])
      expect(dropped).toContain(fact);
    expect(dropped).toContain('There is no optimizer state');
    const newest = card({}, { purpose: 'resume', optimizer: 'newest' });
    expect(newest).toContain('the moments belong to its weights, not to the merged ones');
    expect(newest).not.toContain('There is no optimizer state');
  });

  const kept = (optimizer: 'kept' | 'no moments' | 'none') => ({ kept: { optimizer } });
  test.each([
    [
      'newest',
      kept('kept'),
      /newest, 40 to 50 % of that was left after 10 updates/,
      'Moments and steps of the optimizer are those of the newest',
    ],
    ['average', kept('kept'), /60 to 70 % of that was left after 10 updates/, 'averaged like the weights'],
    ['drop', kept('kept'), /lost before the fifth; with a warm-up/, 'Moments of the optimizer are zeros'],
    ['newest', kept('no moments'), /lost before the fifth/, 'has no moments of the optimizer, as before its first update'],
    ['average', kept('no moments'), /lost before the fifth/, 'has no moments of the optimizer'],
    ['drop', kept('none'), /lost before the fifth/, 'There is no optimizer state in it'],
    ['drop', {}, /lost before the fifth/, "Left behind of the newest checkpoint's trainer: `optimizer.pt`, `scheduler.pt`."],
  ] as const)('says what was measured of %s where the state is %j', (optimizer, state, measured, said) => {
    const left = ['optimizer.pt', 'scheduler.pt'].map((name) => ({ name, reason: 'training state' }));
    const text = card({ ...state, left, next: 'load this folder' }, { purpose: 'resume', optimizer });
    expect(text).toContain(said);
    expect(text).toMatch(measured);
    expect(text.match(/left after 10|lost before/g)!.length).toBeLessThanOrEqual(2);
    expect(text).toContain('`docs/resume.md`');
    expect(text).toContain('To go on: load this folder.');
    // What was measured and what a paper said of rates do not contradict each other.
    expect(text).not.toContain('no retuning');
    if (said.includes('no moments')) expect(text).not.toMatch(/Moments (and steps )?of the optimizer are/);
  });

  test('is not what every merge is', () => {
    for (const purpose of [null, 'inference']) expect(card({}, { purpose })).not.toContain('optimizer');
  });
});
