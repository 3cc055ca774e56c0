import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { inspect } from '../../../src/analysis/inspect/inspect.ts';
import { plan, planConversion } from '../../../src/index.ts';
import { otherModels } from '../../../src/model/roles/several-models.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { dictOf, pickle, tensor, torchFiles, zipOf } from '../../support/torch-files.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());

it.each<[string, string[], string[]]>([
  ['an average', ['model.a.w', 'model.b.w', 'ema.a.w', 'ema.b.w'], ['ema']],
  ['with other keys before it', ['model.a.w', 'model_ema.module.a.w'], ['model_ema']],
  ["Lightning's", ['state_dict.net.a.w', 'state_dict.ema_model.a.w'], ['state_dict.ema_model']],
  ['without names', ['model.a.w', 'ema.shadow_params.0'], ['ema']],
  ['a teacher and its student', ['teacher.a.w', 'student.a.w'], ['teacher', 'student']],
  ['parts that are called so', ['model.ema.decay.w', 'model.a.w', 'model.layers.0.ref.w'], []],
  ['two towers', ['text_model.a.w', 'vision_model.a.w', 'encoder.a.w', 'decoder.a.w'], []],
])('another model beside the one: %s', (_, names, keys) => {
  expect(otherModels(names).map(({ key }) => key)).toEqual(keys);
});

it('is said once by inspect, convert and merges, and not where a policy drops it', async () => {
  const path = join(folder.path, 'step_100.pt');
  const weights = dictOf({ 'model.embed_tokens.weight': tensor(), 'model.norm.weight': tensor() });
  writeFileSync(path, zipOf(torchFiles(pickle(dictOf({ model: weights, ema: weights })))));
  const output = join(folder.path, 'out');
  const said = (warnings: readonly { code: string; message: string }[]) =>
    warnings.filter(({ code }) => code === 'W_SEVERAL_MODELS' || code === 'W_DROPPED').map(({ message }) => message);
  const words = [expect.stringMatching(/: ema \(2 of its 4 tensors\); .*'name=ema\.\*:use=drop'/)];
  expect(said((await inspect(path)).warnings)).toEqual(words);
  expect(said((await planConversion({ input: path, output })).warnings)).toEqual(words);
  expect(said((await plan({ inputs: [path], output })).warnings)).toEqual(words);
  const policies = [{ name: 'ema.*', use: 'drop' as const }];
  expect(said((await plan({ inputs: [path], output, policies })).warnings)).toEqual([]);
});
