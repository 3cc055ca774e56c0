import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { differences, FORMS_OF_TORCH, readOracle, TORCH_VERSIONS, unpackGolden } from '../../support/containers.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What each version saved that is no weights, or none with bytes: file, code, message. */
const REFUSED: readonly (readonly [file: string, code: string, says: RegExp])[] = [
  ['legacy.pt', 'E_OTHER_CONTENT', /before version 1\.6.*load it with torch\.load/],
  ['script.pt', 'E_TORCH_FILE', /TorchScript/],
  ['sparse.pt', 'E_TORCH_FILE', /w is sparse/],
  ['conjugate.pt', 'E_TORCH_FILE', /w is a conjugate or negative view/],
  ['quantised.pt', 'E_TORCH_FILE', /w is quantised/],
  ['meta.pt', 'E_TORCH_FILE', /w is of the device meta/],
  ['module.pt', 'E_PICKLE_CLASS', /torch\.nn\.modules\.linear\.Linear/],
  ['stub.pt', 'E_TORCH_FILE', /the save was broken off/],
];

describe.each(TORCH_VERSIONS)('torch %s', (version) => {
  const home = unpackGolden(`torch-${version}`, join(folder, version));
  const files = FORMS_OF_TORCH.get(version)!;

  it('was written by that version', () => {
    const { torch } = JSON.parse(readFileSync(join(home, 'versions.json'), 'utf8')) as { torch: string };
    expect(torch.startsWith(`${version}.`)).toBe(true);
  });

  it.each(files)('%s: every tensor is what that version reads', async (path, step, sharesOracle) => {
    const oracle = readOracle(join(home, sharesOracle ? 'oracle' : `${path.split('/')[0]!}/oracle`, `${step}.safetensors`));
    const checkpoint = await openCheckpoint(join(home, path));
    expect(checkpoint.shards.flatMap(({ tensors }) => tensors.names)).toEqual(expect.arrayContaining([...oracle.keys()].filter(isOfModel)));
    const own = new Map([...oracle].filter(([name]) => isOfModel(name) || checkpoint.locate(name) !== undefined));
    expect(await differences(checkpoint, own)).toEqual([]);
  });

  it.each(REFUSED)('%s is refused', async (file, code, says) => {
    const path = join(home, 'refused', file);
    // Each version saves what it can.
    if (!(file === 'stub.pt' ? version === '2.1' : file !== 'quantised.pt' || version !== '2.15')) return;
    const error = await openCheckpoint(path).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(MergeError);
    expect([(error as MergeError).code, (error as MergeError).message]).toEqual([code, expect.stringMatching(says)]);
    expect((error as MergeError).message).toContain(path);
  });
});

function isOfModel(name: string): boolean {
  return !name.startsWith('optim.');
}
