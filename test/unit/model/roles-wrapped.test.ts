import { expect, test } from 'vitest';
import type { Checkpoint } from '../../../src/checkpoints/types.ts';
import { wrappedNames } from '../../../src/model/roles/wrapped.ts';

const checkpointOf = (names: readonly string[]) => ({ path: 'c', shards: [{ tensors: { names } }] }) as unknown as Checkpoint;

/** The remedy of a warning, done as Python does it. */
function renamed(names: readonly string[]): string[] {
  const [{ message } = { message: '' }] = wrappedNames(checkpointOf(names));
  const expression = /save_file\(\{k(.*?): v for/.exec(message)![1]!;
  return names.map((name) =>
    [...expression.matchAll(/\.(removeprefix|replace)\('([^']*)'(?:, '([^']*)')?\)/g)].reduce(
      (text, [, call, part, by]) =>
        call === 'replace' ? text.replaceAll(part!, by!) : text.startsWith(part!) ? text.slice(part!.length) : text,
      name,
    ),
  );
}

test.each([
  [
    ['module.model.text_module.layers.0.weight', 'module.lm_head.weight'],
    ['model.text_module.layers.0.weight', 'lm_head.weight'],
  ],
  [['module._fsdp_wrapped_module.model.a_module.w'], ['model.a_module.w']],
  [
    ['module._orig_mod.model.w', 'module._orig_mod.head.w'],
    ['model.w', 'head.w'],
  ],
  [
    ['module.model.layers.0._checkpoint_wrapped_module.w', 'module.head.w'],
    ['model.layers.0.w', 'head.w'],
  ],
  [
    ['model.layers.0._orig_mod.w', 'head.my_orig_mod.w'],
    ['model.layers.0.w', 'head.my_orig_mod.w'],
  ],
  [['module.module.w'], ['w']],
])('the remedy leaves the names of the model: %j', (names, clean) => {
  expect(renamed(names)).toEqual(clean);
});

test('a wrapper around all that is named twice is not', () => {
  expect(wrappedNames(checkpointOf(['module._orig_mod.w']))[0]!.message).toContain('begin with module. and _orig_mod. (');
});
