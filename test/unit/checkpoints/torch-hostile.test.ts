import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { HOSTILE_TORCH_FILES, writeHostile } from '../../support/hostile-torch.ts';
import { dictOf, op, pickle, tensor, torchFiles, tupleOf, zipOf } from '../../support/torch-files.ts';

const told: string[] = [];
afterAll(() => process.stdout.write(`${[`${told.length} files of torch.save (code, place):`, ...told].join('\n')}\n`));

it.each(HOSTILE_TORCH_FILES.map((hostile) => [hostile.place, hostile] as const))(
  '%s: refused by code, and nothing is run',
  async (_, hostile) => {
    const path = writeHostile(hostile);
    const before = readFileSync(path);
    try {
      const error = await openCheckpoint(path).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(MergeError);
      const { code, message, details } = error as MergeError;
      expect([code, message]).toEqual([hostile.code, expect.stringMatching(hostile.says)]);
      expect(message).toContain(path);
      expect(details.file).toBe(path);
      expect(readFileSync(path).equals(before)).toBe(true);
      expect(readdirSync(dirname(path))).toEqual(['step-100.pt']);
      expect(existsSync('canary')).toBe(false);
      told.push(`${code.padEnd(16)} ${hostile.place}`);
    } finally {
      rmSync(dirname(path), { recursive: true });
    }
  },
);

it('each of them is another place, and without its fault the file is read', async () => {
  const places = HOSTILE_TORCH_FILES.map(({ code, place }) => `${code} ${place}`);
  expect(new Set(places).size).toBe(places.length);
  expect(places.length).toBeGreaterThanOrEqual(80);
  const path = writeHostile({ ...HOSTILE_TORCH_FILES[0]!, bytes: () => zipOf(torchFiles(pickle(dictOf({ w: tensor() })))) });
  try {
    const { shards } = await openCheckpoint(path);
    expect(shards[0]!.tensors.info(0)).toEqual({ name: 'w', dtype: 'F32', shape: [2, 2], bytes: 16 });
  } finally {
    rmSync(join(path, '..'), { recursive: true });
  }
});

it('long texts and the bytes of arrays beside weights are passed over', async () => {
  const text = op.text('x'.repeat(70_000));
  const encoded = Buffer.concat([op.global('_codecs', 'encode'), tupleOf(text, op.text('latin1')), op.reduce]);
  const bytes = () => zipOf(torchFiles(pickle(dictOf({ w: tensor(), tokenizer: text, array: encoded, ['k'.repeat(70_000)]: op.none }))));
  const path = writeHostile({ ...HOSTILE_TORCH_FILES[0]!, bytes });
  try {
    expect((await openCheckpoint(path)).tensorCount).toBe(1);
  } finally {
    rmSync(join(path, '..'), { recursive: true });
  }
});
