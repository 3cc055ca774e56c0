import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { plan } from '../../../src/merge/average.ts';
import { planRecipe } from '../../../src/merge/run.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { writeRun } from '../../support/run-trees.ts';

const folder = temporaryFolder();
afterAll(folder.remove);
const at = (...parts: string[]) => join(folder.path, ...parts);

beforeAll(() => {
  const names = ['model.embed_tokens.weight', 'model.layers.0.mlp.up_proj.weight', 'model.norm.weight'];
  const shard = names.map((name) => ({ name, dtype: 'BF16' as const, shape: [8, 8] }));
  writeRun(
    at('run'),
    [1, 2, 3, 4].map((i) => ({
      ...{ name: `checkpoint-${i * 100}`, step: i * 100, shards: [shard] },
      config: { model_type: 'llama', tie_word_embeddings: true, num_hidden_layers: 1 },
    })),
  );
});

/** What a merge of three members with a file of weights is refused for, without the folder of the test. */
async function refusal(name: string, text: string): Promise<string[]> {
  writeFileSync(at(name), text);
  const error = await plan({ inputs: [at('run')], select: { last: 3 }, weightsFile: at(name), output: at('out') }).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof MergeError)) throw error ?? new Error('it was not refused');
  const said = error.details.conflicts?.map(({ message }) => message) ?? [error.message];
  return said.map((message) => message.replaceAll(`${folder.path}/`, ''));
}

describe('messages about a file of weights name it, and the entry', () => {
  it.each([
    ['{\n  "model.*": [0.2, 0.3, 0.5],\n  "*": [0, 0, 0]\n}', ['w.json:3: the weights of "*" are all 0']],
    ['{"*": [1e308, 1e308, 1e308]}', ['w.json:1: the weights of "*" have no finite sum']],
    ['{\n"*": [0.2, 0.3, "x"]}', ['w.json:2: "*" has no list of finite numbers']],
    ['{"*": [0.5, 0.5]}', ['w.json: each entry has 2 weights for 3 members']],
    ['{"model.norm.weight": [0.5, 0.5],\n\n "*": [0.1, 0.9]}', ['w.json: each entry has 2 weights for 3 members']],
    [
      '{\n "{": [0.2, 0.3, 0.5],\n "*": [0.2, 0.3, 0.5]}',
      [expect.stringMatching(/^w\.json:2: "\{" fits no tensor: the name that comes nearest is /)],
    ],
    [
      '{"modle.*": [0.2, 0.3, 0.5]}',
      ['w.json:1: "modle.*" fits no tensor: the name that comes nearest is model.embed_tokens.weight; model.* fits it'],
    ],
    [
      '{"lm_head.weight": [0, 0, 1]}',
      ['w.json:1: "lm_head.weight" fits no tensor: the output head has no tensor of its own here: it is tied to model.embed_tokens.weight'],
    ],
  ])('%s', async (text, says) => {
    expect(await refusal('w.json', text)).toEqual(says);
  });

  it('in YAML, too', async () => {
    expect(await refusal('w.yaml', '# ours\nmodel.*: [0.2, 0.3, 0.5]\n"nothing.*": [1, 0, 0]\n')).toEqual([
      expect.stringMatching(/^w\.yaml:3: "nothing\.\*" fits no tensor/),
    ]);
  });

  it('of several outputs it is said of which', async () => {
    writeFileSync(at('two.json'), '{"*": [0.5, 0.5]}');
    const outputs = [2, 3, 3, 3].map((last, i) => ({ path: at(`out${i}`), select: { last }, weightsFile: at('two.json') }));
    await expect(planRecipe({ inputs: [at('run')], outputs })).rejects.toMatchObject({
      code: 'E_WEIGHTS',
      message: `${at('two.json')}: each entry has 2 weights for 3 members (${at('out1')} and 2 more outputs)`,
    });
  });

  it('a sum that is not 1 is told of the entry', async () => {
    writeFileSync(at('sum.json'), '{"model.norm.*": [0.5, 0.5, 0.5],\n"*": [0.2, 0.3, 0.5]}');
    const { warnings } = await plan({ inputs: [at('run')], select: { last: 3 }, weightsFile: at('sum.json'), output: at('out') });
    expect(warnings.filter(({ code }) => code === 'W_WEIGHT_SUM').map(({ message }) => message)).toEqual([
      expect.stringMatching(/: "model\.norm\.\*" \(sum\.json:1\) to 1\.5$/),
    ]);
  });
});
