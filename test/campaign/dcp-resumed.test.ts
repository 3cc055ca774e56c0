import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import { ByteReader } from '../../src/base/store/byte-reader.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { readTensor } from '../../src/checkpoints/tensors/extents.ts';
import { average } from '../../src/merge/average.ts';
import { goldensIn } from '../support/containers.ts';
import { itemsOf } from '../support/dcp-items.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const golden = goldensIn(folder);

let made = 0;
const fresh = (): string => join(folder, `out-${made++}`);

/**
 * By golden and choice of optimizer, what torch says that each tensor holds:
 * `make/containers/resume/expected.py`.
 */
const EXPECTED = JSON.parse(readFileSync(new URL('../golden/resume.json', import.meta.url), 'utf8')) as Readonly<
  Record<string, Readonly<Record<'newest' | 'drop' | 'average', Readonly<Record<string, string>>>>>
>;

async function sumsOf(path: string): Promise<Record<string, string>> {
  const checkpoint = await openCheckpoint(path);
  const reader = new ByteReader();
  const sums: [string, string][] = [];
  for (const [shard, { tensors }] of checkpoint.shards.entries()) {
    for (const [row, name] of tensors.names.entries()) {
      const bytes = await readTensor(reader, checkpoint, { shard, row }, 0, tensors.bytes[row]!);
      sums.push([name, createHash('sha256').update(bytes).digest('hex').slice(0, 16)]);
    }
  }
  await reader.close();
  return Object.fromEntries(sums);
}

const RUNS = [
  ['dcp-resume', '60', '80', ''],
  ['dcp-fsdp', '100', '200', ''],
  ['torchtitan', 'checkpoint/step-100', 'checkpoint/step-200', ''],
  ['olmo-core', 'step100', 'step200', 'model_and_optim'],
  ['megatron', 'iter_0000100', 'iter_0000200', ''],
] as const;

it.each(['safetensors', 'dcp'] as const)(
  'weights of a merge as %s are made from masters where that is asked for, and verified',
  async (format) => {
    const inputs = ['100', '200'].map((step) => join(golden('megatron'), `iter_0000${step}`));
    const output = fresh();
    await average({ inputs, output, format, weightsFrom: 'master' });
    const sums = await sumsOf(output);
    for (const [name, sum] of Object.entries(sums)) expect([name, sum]).toEqual([name, EXPECTED.megatron!.newest[name]]);
    expect(await verify(output, { full: true })).toMatchObject({ ok: true, recomputed: { fraction: 1 } });
  },
);

describe.each(RUNS)('%s', (name, older, newer, inner) => {
  it.each(['newest', 'drop', 'average'] as const)('--optimizer %s: every tensor is what torch says, and is verified', async (optimizer) => {
    const inputs = [older, newer].map((step) => join(golden(name), step));
    const output = fresh();
    await average({ inputs, output, format: 'dcp', for: 'resume', optimizer });
    expect(await sumsOf(output)).toEqual(EXPECTED[name]![optimizer]);
    expect(await verify(output, { full: true })).toMatchObject({ ok: true, recomputed: { fraction: 1 } });
    // What holds no tensor is the newest's, byte for byte, but for the steps of an optimizer that starts
    // anew.
    const [before, after] = [itemsOf(join(inputs[1]!, inner)), itemsOf(join(output, inner))];
    const changed = [...before].filter(([key, bytes]) => !key.includes(' ') && after.get(key)?.equals(bytes) !== true).map(([key]) => key);
    expect(changed).toEqual(name === 'megatron' && optimizer === 'drop' ? ['common_state/shard_0_1'] : []);
    expect([...after.keys()].filter((key) => !key.includes(' '))).toEqual([...before.keys()].filter((key) => !key.includes(' ')));
  });
});
