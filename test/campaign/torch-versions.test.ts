import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { FloatDtypeName } from '../../src/base/dtype.ts';
import { average } from '../../src/merge/average.ts';
import { FORMS_OF_TORCH, readOracle, TORCH_VERSIONS, unpackGolden } from '../support/containers.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const homes = new Map(TORCH_VERSIONS.map((version) => [version, unpackGolden(`torch-${version}`, join(folder, version))]));
/** What torch computed of steps 100, 200 and 300 in float64, method by method and dtype by dtype. */
const merged = join(homes.get('2.15')!, 'merged');
const given = (JSON.parse(readFileSync(join(merged, 'weights.json'), 'utf8')) as { given: number[] }).given;

const METHODS = {
  sma: { method: 'sma' },
  wma: { method: 'wma' },
  ema: { method: 'ema', alpha: 0.3 },
  given: { weights: given },
} as const;
const DTYPES: Readonly<Record<string, FloatDtypeName | 'same' | undefined>> = { own: undefined, bf16: 'BF16', f16: 'F16', f32: 'F32' };

/** Every form of a step that any version saved. */
function formsOf(step: number): string[] {
  return TORCH_VERSIONS.flatMap((version) =>
    FORMS_OF_TORCH.get(version)!
      .filter(([, of, sharesOracle]) => of === step && sharesOracle)
      .map(([path]) => `${version} ${path}`),
  );
}

const forms = [100, 200, 300].map(formsOf);
/** Each form with forms of other versions and other shardings, each method with each dtype. */
const MERGES = Array.from({ length: Math.max(16, ...forms.map(({ length }) => length)) }, (_, i) => {
  // A version beside the next.
  const members = forms.map((all, at) => all[(i + 6 * at) % all.length]!);
  return { members, method: Object.keys(METHODS)[i % 4] as keyof typeof METHODS, dtype: Object.keys(DTYPES)[Math.floor(i / 4) % 4]! };
});

it.each(MERGES.map((merge) => [`${merge.method} ${merge.dtype}: ${merge.members.join(', ')}`, merge] as const))(
  '%s: is what torch computes in float64',
  async (_, { members, method, dtype }) => {
    const output = join(folder, 'out', `${MERGES.findIndex((merge) => merge.members === members)}`);
    const inputs = members.map((member) => {
      const [version, path] = member.split(' ') as [(typeof TORCH_VERSIONS)[number], string];
      return join(homes.get(version)!, path);
    });
    await average({ inputs, output, format: 'safetensors', ...METHODS[method], dtype: DTYPES[dtype] });
    const files = (JSON.parse(readFileSync(join(output, 'merge_provenance.json'), 'utf8')) as { files: { name: string }[] }).files;
    const result = new Map(files.flatMap(({ name }) => [...readOracle(join(output, name))]));
    const wanted = readOracle(join(merged, `${method}.${dtype}.safetensors`));
    expect([...result.keys()].sort()).toEqual([...wanted.keys()].sort());
    for (const [name, { dtype: ofTorch, shape, bytes }] of wanted) {
      const own = result.get(name)!;
      expect([name, own.dtype, own.shape]).toEqual([name, ofTorch, shape]);
      expect(own.bytes.equals(bytes), name).toBe(true);
    }
  },
);

it('every form is merged with another at least once', () => {
  const used = new Set(MERGES.flatMap(({ members }) => members));
  expect([...used].sort()).toEqual(forms.flat().sort());
});
