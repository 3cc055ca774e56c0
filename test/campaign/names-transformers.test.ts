import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { convert } from '../../src/merge/convert.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { linesOfPython, withoutPython } from '../support/python.ts';

/**
 * Models of transformers are put into the form of trainers by torchtitan's own adapters or by plain slices of
 * torch, come back by `--names hf`, and transformers is the judge of what comes back.
 */
const SCRIPT = join(import.meta.dirname, '../golden/make/names-transformers.py');
const reason = withoutPython('torch', 'transformers');
if (reason !== null) console.log(`names are not tried in transformers: ${reason}`);

const temporary = temporaryFolder();
afterAll(temporary.remove);

interface Written {
  readonly model: string;
  readonly layout: string;
  readonly config: boolean;
}

it('models in the form of trainers come back from --names hf as they were, to the last bit of their logits', async (context) => {
  context.skip(reason !== null, reason ?? '');
  const home = temporary.path;
  const written = linesOfPython<Written>(SCRIPT, 'make', home);
  const models = written.map(({ model }) => model.replace('-tied', ''));
  expect([...new Set(models)]).toEqual(['llama', 'mistral', 'qwen2', 'qwen3', 'qwen3_moe', 'mixtral', 'olmo2', 'olmo3']);
  for (const { model, layout, config } of written) {
    const given = config ? { config: join(home, model, 'hf/config.json') } : {};
    await convert({ input: join(home, model, layout), output: join(home, model, `${layout}-out`), names: 'hf', sync: false, ...given });
  }
  expect(linesOfPython(SCRIPT, 'check', home)).toEqual(
    written.map(({ model, layout }) => ({ model, layout, complaints: [], tied: model.endsWith('-tied'), state: true, logits: true })),
  );
});
