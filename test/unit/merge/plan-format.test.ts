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

const LIGHTNING = ['lightning/sharded/epoch=0-step=10.ckpt', 'lightning/sharded/epoch=0-step=20.ckpt'];
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
  ['files of Lightning', ['lightning/run/epoch=0-step=10.ckpt', 'lightning/run/epoch=0-step=20.ckpt'], {}, 'torch'],
  [
    'the same in an OUT.ckpt',
    ['lightning/run/epoch=0-step=10.ckpt', 'lightning/run/epoch=0-step=20.ckpt'],
    { output: 'out.ckpt' },
    'torch',
  ],
  ["folders of Lightning, which have a file's ending", LIGHTNING, { output: 'out.ckpt' }, 'dcp'],
  ['DCP in a folder with a point', DCP, { output: 'run.v2' }, 'dcp'],
  ['folders of safetensors in a folder of that ending', SHARDS, { output: 'out.safetensors' }, 'safetensors'],
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

  it.each([
    [
      'DCP',
      DCP,
      { output: 'out.pt' },
      /out\.pt: ends as a file of torch\.save does.*a folder of DCP/,
      /without \.pt; .*dcp-fsdp\/200 is none/,
    ],
    ['DCP', DCP, { output: 'o.safetensors', format: 'dcp' }, /a file of safetensors does.*a folder of DCP/, /format: safetensors makes/],
    ['DCP', DCP, { output: 'o.ckpt', format: 'safetensors' }, /a file of torch\.save does.*is safetensors/, /Name a folder/],
    ['safetensors', SHARDS, { output: 'out.bin' }, /a file of torch\.save does.*is safetensors/, /from files of torch\.save alone/],
    ['torch.save', BIN, { output: 'out.pt', format: 'safetensors' }, /is safetensors/, /format: torch makes such a file/],
    ['torch.save', BIN, { output: 'o.safetensors', format: 'torch' }, /a folder of torch\.save/, /format: safetensors makes/],
  ] as const)('of %s has no ending of the file of another one', async (_, inputs, { output, ...options }, says, help) => {
    const error = plan({ inputs: inputs.map(at), output: join(folder, output), ...options });
    await expect(error).rejects.toMatchObject({
      code: 'E_OPTION',
      message: expect.stringMatching(says),
      help: expect.stringMatching(help),
    });
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
