import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { corpus } from '../golden/corpus/make.js';
import { BIN } from '../support/run-cli.ts';

it('merges of the corpus have the bytes that they have always had', { timeout: 180_000 }, () => {
  const golden = JSON.parse(readFileSync(new URL('../golden/corpus/digests.json', import.meta.url), 'utf8'));
  expect(corpus(BIN)).toEqual(golden);
});
