import { expect, it } from 'vitest';
import { CONFIG_PAIRS, unseenChanges } from '../support/config-pairs.ts';

// The keys that matter most are a unit test (test/unit/model/kinship.test.ts).
it.each(CONFIG_PAIRS)('$name is another model after any change of a value, in either form', (pair) => {
  expect(unseenChanges(pair)).toEqual([]);
});
