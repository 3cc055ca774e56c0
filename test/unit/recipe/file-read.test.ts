import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import pc from 'picocolors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { readRecipe, recipeJsonSchema } from '../../../src/recipe/file/read.ts';
import { PARAMETERS, parameterLabel } from '../../../src/recipe/schedule/parameters.ts';
import { asFailure, errorText } from '../../../src/render/error-text.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);

function written(text: string | Uint8Array, name = 'recipe.yaml'): string {
  writeFileSync(at(name), text);
  return at(name);
}

const read = (text: string | Uint8Array) => readRecipe(written(text));

async function failure(text: string | Uint8Array): Promise<MergeError> {
  const error = await read(text).catch((e: unknown) => e);
  if (!(error instanceof MergeError)) throw new Error(`not refused: ${error}`);
  expect(error).toMatchObject({ code: 'E_RECIPE', exitCode: 2 });
  expect(error.help).not.toBe('');
  return error;
}

/** The problems without the file's path: `2:5: message`, then the line and the caret. */
async function problems(text: string): Promise<string[]> {
  const { details } = await failure(text);
  return details.conflicts!.map(({ message }) => message.replace(`${at('recipe.yaml')}:`, ''));
}

/** A recipe with one output of these lines. */
const output = (...lines: string[]) => `inputs: run\noutputs:\n  - path: out\n${lines.map((line) => `    ${line}\n`).join('')}`;

describe('a recipe file', () => {
  it('becomes a recipe with the names of the library and paths seen from its folder', async () => {
    const recipe = await read(`
inputs: ../runs/dense
tokens-per-step: 4M
like: like
allow-mixed-dtypes: true
allow-stages: false
allow-configs: true
base-model-id: org/name
outputs:
  - path: out/sma10
    select: { last: 10, every: 8B, min-members: 3, before-spike: auto, margin: 2ckpt, stage: 0 }
  - path: /abs/{step}
    select: { last: 5, from: 1, to: 2e3, before: 1.5T, min-interval: 1000steps }
    sliding: true
    method: ema
    half-life: 20B
    reverse: true
  - path: wsm
    select: { steps: [1000, 2000] }
    method: wsm
    decay-file: decay.txt
    scramble: 7
  - { path: a, method: wsm, decay: 1-sqrt, decay-floor: 0.1, decay-end: 5000, select: { each-ingredient: last } }
  - { path: b, method: extrapolate, gamma: -0.5, window: 2, lag: 3 }
  - { path: c, method: lr-curve, lr-curve: ../lr.csv }
  - { path: d, method: ema-normalized, alpha: 0.5, preset: pma }
  - path: weighted
    weights: [-0.5, 1.5, 1e-3]
    normalize: true
    dtype: F32
    for: resume
    optimizer: newest
`);
    expect(recipe).toEqual({
      inputs: [at('../runs/dense')],
      tokensPerStep: '4M',
      like: at('like'),
      allowMixedDtypes: true,
      allowStages: false,
      allowConfigs: true,
      baseModelId: 'org/name',
      outputs: [
        { path: at('out/sma10'), select: { last: 10, every: '8B', minMembers: 3, beforeSpike: 'auto', margin: '2ckpt', stage: 0 } },
        {
          path: '/abs/{step}',
          select: { last: 5, from: 1, to: 2000, before: '1.5T', minInterval: '1000steps' },
          ...{ sliding: true, method: 'ema', halfLife: '20B', reverse: true },
        },
        { path: at('wsm'), select: { steps: [1000, 2000] }, method: 'wsm', decayFile: at('decay.txt'), scramble: 7 },
        {
          path: at('a'),
          ...{ method: 'wsm', decay: '1-sqrt', decayFloor: 0.1, decayEnd: 5000, select: { eachIngredient: 'last' } },
        },
        { path: at('b'), method: 'extrapolate', gamma: -0.5, window: 2, lag: 3 },
        { path: at('c'), method: 'lr-curve', lrCurve: at('../lr.csv') },
        { path: at('d'), method: 'ema-normalized', alpha: 0.5, preset: 'pma' },
        {
          path: at('weighted'),
          ...{ weights: [-0.5, 1.5, 0.001], normalize: true, dtype: 'F32', for: 'resume', optimizer: 'newest' },
        },
      ],
    });
  });

  it('may lie elsewhere: its paths stay relative where its own path is', async () => {
    mkdirSync(at('sub'));
    const file = relative(process.cwd(), written('inputs: [a, ../b]\noutputs: [{ path: out }]\n', 'sub/recipe.yaml'));
    const sub = join(file, '..');
    expect(await readRecipe(file)).toEqual({ inputs: [join(sub, 'a'), join(sub, '../b')], outputs: [{ path: join(sub, 'out') }] });
  });

  it('expands nothing', async () => {
    expect((await read('inputs: $HOME/run\noutputs: [{ path: "~/out" }]\n')).inputs).toEqual([at('$HOME/run')]);
  });

  it('may be JSON, have a byte order mark, Windows line ends, comments and anchors', async () => {
    const wanted = {
      inputs: [at('run')],
      outputs: [
        { path: at('a'), select: { last: 3 } },
        { path: at('b'), select: { last: 3 } },
      ],
    };
    const json = {
      inputs: 'run',
      outputs: [
        { path: 'a', select: { last: 3 } },
        { path: 'b', select: { last: 3 } },
      ],
    };
    expect(await read(JSON.stringify(json))).toEqual(wanted);
    const yaml =
      '\uFEFF# two\r\ninputs: run\r\noutputs:\r\n  - path: a\r\n    select: &three { last: 3 } # newest\r\n  - { path: b, select: *three }\r\n';
    expect(await read(yaml)).toEqual(wanted);
  });
});

describe('what is wrong with a recipe', () => {
  it('is told all at once, in the order of the lines, each with its line and a caret', async () => {
    const text = `inputs: run
token-per-step: 4M
outputs:
  - path: a
    select: { last: 10, evry: 8B }
    alpha: .inf
  - path: b
    optimizer: newest
    method: smaa
`;
    expect(await problems(text)).toEqual([
      '2:1: unknown key `token-per-step`; did you mean `tokens-per-step`?\n  token-per-step: 4M\n  ^^^^^^^^^^^^^^',
      '5:25: unknown key `evry`; did you mean `every`?\n      select: { last: 10, evry: 8B }\n                          ^^^^',
      '6:12: `alpha` must be a finite number, not .inf\n      alpha: .inf\n             ^^^^',
      '8:16: `optimizer` has a meaning only with `for: resume`\n      optimizer: newest\n                 ^^^^^^',
      expect.stringMatching(/^9:13: `method` must be one of sma, .*, not smaa; did you mean `sma`\?\n {6}method: smaa\n {14}\^{4}$/),
    ]);
    expect((await failure(text)).message).toBe(`${at('recipe.yaml')} has 5 problems`);
  });

  it('is the message itself where it is one thing', async () => {
    const { message, details } = await failure('inputs: run\noutputs: []\n');
    expect(message).toBe(`${at('recipe.yaml')}:2:10: \`outputs\` is an empty list\n  outputs: []\n           ^^`);
    expect(details).toMatchObject({ file: at('recipe.yaml'), conflicts: [{ code: 'E_RECIPE', message }] });
  });

  it.each([
    ['a key that belongs in select', output('last: 3'), '4:5: unknown key `last`; `last` belongs in `select` of an output'],
    [
      'a key that belongs in an output',
      'inputs: run\nmethod: ema\noutputs: [{ path: a }]\n',
      '2:1: unknown key `method`; `method` belongs in an output',
    ],
    [
      'a key that belongs at the top',
      output('tokens_per_step: 4M'),
      '4:5: unknown key `tokens_per_step`; `tokens-per-step` belongs at the top',
    ],
    ['the spelling of the library', output('halfLife: 2B'), '4:5: unknown key `halfLife`; did you mean `half-life`?'],
    ['a key like nothing', output('select: { qqqqqqqq: 1 }'), '4:15: unknown key `qqqqqqqq`; known here: last, every,'],
    ['__proto__', output('__proto__: 1'), '4:5: unknown key `__proto__`'],
    ['no inputs', 'outputs: [{ path: a }]\n', '1:1: `inputs` is missing'],
    ['no outputs', 'inputs: run\n', '1:1: `outputs` is missing'],
    ['a misspelt key, once', 'input: run\noutputs: [{ path: a }]\n', '1:1: unknown key `input`; did you mean `inputs`?'],
    ['no path', 'inputs: run\noutputs:\n  - method: sma\n', '3:5: `path` is missing'],
    ['an empty entry', output('method:'), '4:12: `method` is empty'],
    ['an empty path', 'inputs: ""\noutputs: [{ path: a }]\n', '1:9: `inputs`'],
    ['no inputs in the list', 'inputs: []\noutputs: [{ path: a }]\n', '1:9: `inputs` is an empty list'],
    ['an input that is no path', 'inputs: [a, 7]\noutputs: [{ path: a }]\n', '1:13: `inputs[1]` must be a path, not 7'],
    ['outputs as a map', 'inputs: run\noutputs: { path: a }\n', '2:10: `outputs` must be a list'],
    ['NaN', output('weights: [0.5, .nan]'), '4:20: `weights[1]` must be a finite number, not .nan'],
    ['a weight that is text', output('weights: [0.5, half]'), '4:20: `weights[1]` must be a finite number, not half'],
    ['half a checkpoint', output('select: { last: 2.5 }'), '4:21: `last` must be a whole number of at least 1, not 2.5'],
    ['none', output('select: { last: 0 }'), '4:21: `last` must be a whole number of at least 1, not 0'],
    ['an unknown unit', output('select: { every: 8X }'), '4:22: `every` takes tokens (8B, 500M, 1.5T), steps'],
    ['a spacing of nothing', output('select: { every: 0 }'), '4:22: `every` takes a distance over 0, not 0'],
    ['steps for tokens', 'inputs: run\ntokens-per-step: 5steps\noutputs: [{ path: a }]\n', '2:18: `tokens-per-step` takes tokens'],
    ['alpha of 0', output('method: ema', 'alpha: 0'), '5:12: `alpha` must be over 0 and at most 1, not 0'],
    ['an alpha over 1', output('method: ema', 'alpha: 1.01'), '5:12: `alpha` must be over 0 and at most 1, not 1.01'],
    ['a spike by name', output('select: { before-spike: soon }'), '4:29: `before-spike` must be auto or the step of the spike, not soon'],
    ['an unknown dtype', output('dtype: FP32'), '4:12: `dtype` must be one of BF16, F16, F32, F64, same, not FP32; did you mean `F32`?'],
    ['two truths', output('normalize: yes'), '4:16: `normalize` must be true or false, not yes'],
    [
      'weights and a method',
      output('method: sma', 'weights: [1]'),
      '5:14: explicit weights and a method cannot be used together. Give one',
    ],
    ['normalize of nothing', output('normalize: true'), '4:16: normalize is for explicit weights'],
    [
      'a parameter of another method',
      output('method: wma', 'alpha: 0.5'),
      '5:12: alpha has no meaning for method wma. Leave it out: it belongs to ema',
    ],
    ['a parameter that is needed', output('method: extrapolate'), '4:13: method extrapolate needs gamma. gamma: '],
    [
      'parameters that exclude each other',
      output('method: ema', 'alpha: 0.5', 'half-life: 2B'),
      '6:16: alpha and half-life cannot be used together',
    ],
    ['conditions that exclude each other', output('select: { last: 2, steps: [1] }'), '4:13: steps cannot be used together with last'],
    ['a window of nothing', output('select: { from: 2000, to: 1000 }'), '4:13: nothing lies from 2000 on and up to 1000'],
    ['windows without a size', 'inputs: run\noutputs: [{ path: "a{step}", sliding: true }]\n', '2:39: `sliding` needs `last: N`'],
    ['windows in one place', output('sliding: true', 'select: { last: 2 }'), '3:11: `path` needs `{step}` or `{tokens}` in it'],
    ['windows of a preset', output('sliding: true', 'preset: pma'), ': `preset` cannot be used together with `sliding`'],
    [
      'two sources of tokens',
      'inputs: run\ntokens-per-step: 1\nbatch-schedule: 0:2M\noutputs: [{ path: a }]\n',
      '3:17: `batch-schedule` is a second source',
    ],
    ['a list', '- a\n- b\n', '1:1: a recipe must be a map with `inputs` and `outputs`'],
    ['text', 'recipe\n', '1:1: a recipe must be a map with `inputs` and `outputs`, not recipe'],
    ['a key twice', 'inputs: run\ninputs: run2\noutputs: [{ path: a }]\n', '2:1: this key is given twice in one map'],
    ['a tab', 'inputs: run\noutputs:\n\t- path: a\n', '3:1: a tab cannot indent YAML: use spaces'],
    ['broken YAML', 'inputs: [run\noutputs: a\n', ': not valid YAML: '],
    ['a tag that runs code', 'inputs: !!js/function "x"\noutputs: [{ path: a }]\n', '1:9: not valid YAML: unresolved tag'],
    ['an unknown alias', 'inputs: *run\noutputs: [{ path: a }]\n', '1:9: there is no anchor `&run` before this'],
    ['a second document', 'inputs: run\noutputs: [{ path: a }]\n---\ninputs: b\n', ': a second document begins here; a recipe is one'],
    ['an empty file', '', '1:1: the recipe is empty'],
    ['comments alone', '# nothing\n', '1:1: the recipe is empty'],
    ['null', '~\n', '1:1: the recipe is empty'],
    ['a policy for no role', output('policies: [{ role: "", use: newest }]'), '`role` is empty, not ""'],
    ['a policy for a list of none', output('policies: [{ layers: [], use: newest }]'), '`layers` is an empty list'],
  ])('%s', async (_, text, expected) => {
    expect((await problems(text)).join('\n')).toContain(expected);
  });

  it('a key that is there twice does not hide the rest', async () => {
    expect(await problems('inputs: run\ninputs: run\noutputs: [{ path: a, dtyp: F32 }]\n')).toEqual([
      expect.stringContaining('2:1: this key is given twice'),
      expect.stringContaining('3:22: unknown key `dtyp`; did you mean `dtype`?'),
    ]);
  });

  it('is at the anchor where an alias repeats it', async () => {
    const text = 'inputs: run\noutputs:\n  - path: a\n    select: &s { lst: 1 }\n  - path: b\n    select: *s\n';
    expect(await problems(text)).toEqual([expect.stringContaining('4:18: unknown key `lst`; did you mean `last`?')]);
  });

  it('keeps the caret below the fault behind tabs and in very long lines', async () => {
    const [long] = await problems(`inputs: run\noutputs: [{ path: "${'x'.repeat(500)}", dtype: F3 }]\n`);
    const [, line, caret] = long!.split('\n');
    expect(line!.length).toBeLessThan(130);
    expect(line!.slice(caret!.indexOf('^'), caret!.length)).toBe('F3');
    const [tabbed] = await problems('inputs: run\noutputs: [{\tpath: a,\t\tdtype:\tF3 }]\n');
    const [, shown, below] = tabbed!.split('\n');
    expect(shown!.slice(below!.indexOf('^'), below!.length)).toBe('F3');
  });

  it('an alias that doubles itself line by line ends quickly', async () => {
    const doubling = Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i}, `.repeat(10)}]`).join('\n');
    expect(await problems(`a0: &a0 [x]\n${doubling}\ninputs: *a30\n`)).toEqual([expect.stringContaining('aliases')]);
  });

  it('binary data, other encodings and huge files are no recipes', async () => {
    expect((await failure(Uint8Array.from([0x10, 0, 0, 0, 0, 0, 0, 0, 0x7b]))).message).toContain('holds binary data, so it is no recipe');
    expect((await failure(Uint8Array.from([0x69, 0xff, 0xfe]))).message).toContain('is not UTF-8');
    expect((await failure(`# ${'x'.repeat(5 * 2 ** 20)}\n`)).message).toContain('bytes, so it is no recipe');
  });

  it('a file that is not there, or a folder', async () => {
    await expect(readRecipe(at('none.yaml'))).rejects.toMatchObject({ code: 'E_NOT_FOUND', exitCode: 3 });
    await expect(readRecipe(folder.path)).rejects.toMatchObject({ code: 'E_NOT_READABLE', exitCode: 3 });
  });
});

const guide = readFileSync(new URL('../../../docs/recipes.md', import.meta.url), 'utf8');
const samples = [...guide.matchAll(/^```yaml\n(.*?)^```$/gms)].map((match) => match[1]!);

describe('the guide', () => {
  it.each(samples)('shows recipes: %#', async (text) => {
    expect((await read(text)).outputs.length).toBeGreaterThan(0);
  });

  it('shows every entry, and what a mistake gives', async () => {
    const { KEYS } = await import('../../../src/recipe/file/schema.ts');
    const parameters = Object.keys(PARAMETERS).map(parameterLabel);
    const missing = Object.values(KEYS)
      .flat()
      .filter((key) => !parameters.includes(key) && !guide.includes(`\`${key}\``));
    expect(missing).toEqual([]);
    expect(samples.length).toBeGreaterThan(2);
    const shown = /^error\[E_RECIPE\].*?(?=^```)/ms.exec(guide)![0];
    const text = 'inputs: run\noutputs:\n  - path: a\n    select: { last: 10, evry: 8B }\n    method: emaa\n';
    expect(shown).toBe(
      errorText(asFailure(await failure(text)), pc.createColors(false), false)
        .replaceAll(at('recipe.yaml'), 'recipe.yaml')
        .replace(/ {2}help:.*\n$/s, ''),
    );
  });
});

describe('the JSON Schema', () => {
  it('names every key with what it is for, refuses others, and lists the words that are allowed', async () => {
    const schema = (await recipeJsonSchema()) as Schema;
    const item = schema.properties!.outputs!.items!;
    const select = item.properties!.select!;
    expect([schema, item, select].map((level) => level.additionalProperties)).toEqual([false, false, false]);
    expect(schema.required).toEqual(['inputs', 'outputs']);
    expect(item.required).toEqual(['path']);
    expect(select.required ?? []).toEqual([]);
    const entries = [schema, item, select].flatMap((level) => Object.entries(level.properties!));
    expect(entries.filter(([, entry]) => entry.description === undefined).map(([name]) => name)).toEqual([]);
    expect(entries.map(([name]) => name)).toEqual(expect.arrayContaining(['tokens-per-step', 'half-life', 'min-interval', 'decay-floor']));
    expect(item.properties!.method!.enum).toEqual(
      expect.arrayContaining(['sma', 'wma', 'ema', 'ema-normalized', 'wsm', 'lr-curve', 'extrapolate']),
    );
    expect(item.properties!.alpha).toMatchObject({ exclusiveMinimum: 0, maximum: 1 });
    expect(schema.$schema).toContain('draft-07');
  });
});

interface Schema {
  readonly $schema?: string;
  readonly properties?: Record<string, Schema>;
  readonly items?: Schema;
  readonly required?: string[];
  readonly additionalProperties?: boolean;
  readonly description?: string;
  readonly enum?: string[];
}
