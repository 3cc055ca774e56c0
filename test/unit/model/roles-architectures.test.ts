import { expect, test } from 'vitest';
import { architectures, misread } from '../../support/architectures.ts';

/** One for each way in which a model's names or configuration were once read as another family's. */
const SAMPLE = new Set([
  ...['llama', 'mixtral', 'deepseek_v3', 'deepseek_v4', 'longcat_flash', 'gpt_oss', 'nemotron_h', 'kimi_linear', 'hy_v4', 'axk1'],
  // Unknown names, learned scales, norms and routers with matrices of their own.
  ...['axk2', 'zaya', 'inkling2', 'mistral_large4', 'neomme', 'wav2vec2', 'parakeet_rnnt'],
  // Layers counted otherwise, convolutions called layers and experts, experts that are whole models.
  ...['dory', 'hrm_text', 'encodec', 'mimi', 'efficientnet', 'depth_pro', 'sam3_lite_text', 'pi0', 'ernie4_5_vl_moe', 'doge'],
]);
const models = architectures().filter(({ family }) => SAMPLE.has(family));

test.each(models)('$family', (model) => {
  expect(misread(model)).toEqual([]);
});

test('the sample is there', () => {
  expect(models.length).toBe(SAMPLE.size);
});
