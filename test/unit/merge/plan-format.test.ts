import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type AverageOptions, plan } from '../../../src/merge/average.ts';
import { planConversion } from '../../../src/merge/convert.ts';
import { unpackGolden } from '../../support/containers.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const homes = new Map<string, string>();
/** A checkpoint of a golden. */
function at(path: string): string {
  const name = path.slice(0, path.indexOf('/'));
  if (!homes.has(name)) homes.set(name, unpackGolden(name, join(folder, name)));
  return join(homes.get(name)!, path.slice(name.length + 1));
}

const [DCP, BIN, SHARDS, RANKS] = [
  ['dcp-fsdp/100', 'dcp-fsdp/200'],
  ['torch-bin/100', 'torch-bin/200'],
  ['dcp-hf/100', 'dcp-hf/200'],
  ['fsdp-rank-pt/global_step_100', 'fsdp-rank-pt/global_step_200'],
] as const;

/** What is asked for, and the container of the output. */
const CASES: readonly (readonly [what: string, inputs: readonly string[], options: Partial<AverageOptions>, format: string])[] = [
  ['checkpoints of DCP', DCP, {}, 'dcp'],
  ['folders of torch.save', BIN, {}, 'torch'],
  ['files of torch.save in an OUT.pt', BIN, { output: 'out.pt' }, 'torch'],
  ['safetensors', SHARDS, {}, 'safetensors'],
  ['files of ranks, which are not written', RANKS, {}, 'safetensors'],
  ['files of torch.save that are cut anew', BIN, { shardSize: '1MB' }, 'safetensors'],
  ['DCP that is cut anew', DCP, { shardSize: '1MB' }, 'dcp'],
  ['DCP as safetensors', DCP, { format: 'safetensors' }, 'safetensors'],
  [
    'an older member of DCP, the newest of torch.save',
    ['torch-2.1/plain/100', 'torch-2.1/bin/100'],
    { allowConfigs: true, allowMixedDtypes: true },
    'torch',
  ],
  [
    'the newest of torch.save, like one of DCP',
    ['torch-2.1/plain/100', 'torch-2.1/bin/100'],
    { like: 'torch-2.1/plain/100', allowConfigs: true, allowMixedDtypes: true },
    'dcp',
  ],
];

describe('the container of a merge', () => {
  it.each(CASES)('of %s', async (_, inputs, { output = 'out', like, ...options }, format) => {
    const made = await plan({
      inputs: inputs.map(at),
      output: join(folder, output),
      ...(like !== undefined && { like: at(like) }),
      ...options,
    });
    expect(made.format).toBe(format);
  });

  it('is safetensors for a conversion, unless OUT or an option says otherwise', async () => {
    const formatOf = async (input: string, output: string, format?: 'dcp' | 'torch') =>
      (await planConversion({ input: at(input), output: join(folder, output), ...(format !== undefined && { format }) })).format;
    expect(await formatOf('dcp-fsdp/100', 'out')).toBe('safetensors');
    expect(await formatOf('dcp-fsdp/100', 'out', 'dcp')).toBe('dcp');
    expect(await formatOf('torch-bin/100', 'out')).toBe('safetensors');
    expect(await formatOf('torch-bin/100', 'out.bin')).toBe('torch');
  });
});
