import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { average, verify } from '../../src/index.ts';
import { temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeAll(() => {
  folder = temporaryFolder();
  for (const [i, value] of [0x3f80, 0x3f81].entries()) {
    const data = new Uint8Array(Uint16Array.of(value).buffer);
    const path = writeCheckpoint(at(`checkpoint-${i + 1}`), [[{ name: 'w', dtype: 'BF16', shape: [1], data }]], i);
    writeFileSync(join(path, 'tokenizer.json'), '{"model": {}}');
  }
});
afterAll(() => folder.remove());
beforeEach(async () => {
  await merge({ force: true });
});
const at = (...parts: string[]) => join(folder.path, ...parts);
const out = (name: string) => at('merged', name);
const merge = (more: { force?: boolean; resume?: boolean }) =>
  average({ inputs: [at('checkpoint-1'), at('checkpoint-2')], output: at('merged'), sync: false, ...more });

/** What may happen to a merge that is there, which its size or its name tells. */
const TOLD: readonly (readonly [string, () => void, RegExp])[] = [
  ['config.json is gone', () => rmSync(out('config.json')), /config\.json is missing/],
  ['config.json is torn', () => writeFileSync(out('config.json'), '{"bad'), /config\.json has 5 bytes instead of \d+/],
  ['the tokenizer is empty', () => truncateSync(out('tokenizer.json')), /tokenizer\.json has 0 bytes instead of 13/],
  ['the weights are gone', () => rmSync(out('model.safetensors')), /model\.safetensors is missing/],
  ['the weights are cut off', () => truncateSync(out('model.safetensors'), 40), /model\.safetensors has 40 bytes instead of \d+/],
];

describe('a resume finds its merge there, finished', () => {
  it('and does nothing, without a look at its content', async () => {
    expect((await merge({ resume: true })).finished).toEqual([at('merged')]);
    // With both, resuming comes first.
    expect((await merge({ resume: true, force: true })).finished).toEqual([at('merged')]);
  });

  it.each(TOLD)('and damaged: %s', async (_, damage, said) => {
    damage();
    const error = await merge({ resume: true }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'E_OUTPUT_EXISTS',
      message: expect.stringMatching(said),
      help: expect.stringContaining('`force`'),
    });
    expect((await merge({ resume: true, force: true })).finished).toEqual([]);
    expect((await verify(at('merged'))).ok).toBe(true);
  });
});

describe('a verification', () => {
  it('compares what lies beside the tensors, too', async () => {
    const { sideFiles } = await verify(at('merged'));
    expect(sideFiles?.map(({ name }) => name).sort()).toEqual(['config.json', 'tokenizer.json']);
    // The card is written on before a merge is published.
    writeFileSync(out('README.md'), 'ours');
    expect((await verify(at('merged'))).ok).toBe(true);
  });

  it.each<readonly [string, () => void]>([
    ...TOLD.filter(([what]) => !what.includes('weights')).map(([what, damage]) => [what, damage] as const),
    ['a letter of the tokenizer is another', () => writeFileSync(out('tokenizer.json'), '{"modem": {}}')],
  ])('refuses a merge of which %s', async (_, damage) => {
    damage();
    await expect(verify(at('merged'), { full: true })).rejects.toMatchObject({
      code: 'E_VERIFY',
      help: expect.stringContaining('`sideFiles`'),
    });
  });

  it('takes the word of who changed a file and removed its entry', async () => {
    writeFileSync(out('tokenizer.json'), '{"model": {"new": 1}}');
    const record = JSON.parse(readFileSync(out('merge_provenance.json'), 'utf8'));
    record.sideFiles = record.sideFiles.filter(({ name }: { name: string }) => name !== 'tokenizer.json');
    writeFileSync(out('merge_provenance.json'), JSON.stringify(record));
    expect((await verify(at('merged'))).sideFiles).toHaveLength(1);
  });

  it('looks only whether config.json is JSON where an older record names no such files', async () => {
    const { sideFiles, ...older } = JSON.parse(readFileSync(out('merge_provenance.json'), 'utf8'));
    expect(sideFiles).toHaveLength(2);
    writeFileSync(out('merge_provenance.json'), JSON.stringify(older));
    expect((await verify(at('merged'))).sideFiles).toBeNull();
    expect((await merge({ resume: true })).finished).toEqual([at('merged')]);
    writeFileSync(out('config.json'), '{"bad');
    await expect(verify(at('merged'))).rejects.toMatchObject({ code: 'E_VERIFY', message: expect.stringContaining('is no JSON object') });
    rmSync(out('config.json'));
    await expect(merge({ resume: true })).rejects.toMatchObject({ message: expect.stringContaining('config.json is missing') });
  });
});
