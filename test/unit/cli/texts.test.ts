import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { benchText } from '../../../src/analysis/bench/text.ts';
import { doctorText } from '../../../src/analysis/doctor/text.ts';
import type { QuantisationSummary } from '../../../src/analysis/inspect/quantisation.ts';
import { inspectionText } from '../../../src/analysis/inspect/text.ts';
import { verificationText } from '../../../src/analysis/verify/text.ts';
import type { Conflict } from '../../../src/base/errors.ts';
import { wantsColor } from '../../../src/cli/terminal/terminal.ts';
import type { InspectedTensor, MergeResult } from '../../../src/index.ts';
import { mergeSummary } from '../../../src/merge/engine/text.ts';
import { planText } from '../../../src/merge/plan/text.ts';

const plain = pc.createColors(false);

const RESULT: MergeResult = {
  schema: 'ckpt-merge/average',
  version: 1,
  outputs: [
    {
      path: 'my merge',
      format: 'safetensors',
      purpose: null,
      method: 'ema',
      members: [
        { path: 'run/checkpoint-1000', step: 1000, tokens: null, weight: 0.6400000000000001 },
        { path: 'run/checkpoint-20000', step: 20_000, tokens: 9_000_000, weight: 0.16000000000000003 },
        { path: 'other', step: null, tokens: null, weight: 0.2 },
      ],
      notes: [],
      bytesWritten: 2_000_000_000,
      tensors: 291,
      treatments: [],
      next: null,
      rounding: [],
      ...{ asked: 3, found: 3, leftOut: [] },
    },
  ],
  bytesRead: 6_000_000_000,
  seconds: 2,
  phases: { readSeconds: 0.5, computeSeconds: 3, writeSeconds: 0.4, syncSeconds: 0.25 },
  peakRssBytes: 3_100_000_000,
  peakAnonBytes: 180_000_000,
  threads: 2,
  isa: 'avx512',
  io: 'map',
  resumedBytes: 0,
  finished: [],
  warnings: [{ code: 'W_WEIGHT_SUM', message: 'x' }],
};

describe('the summary of a merge', () => {
  it('says what was merged, how fast, and how to check it', () => {
    expect(mergeSummary(RESULT, plain, 'npx merge')).toBe(`merged 3 checkpoints into my merge (ema)

   step     tokens  weight  checkpoint
   1000          -    0.64  run/checkpoint-1000
  20000  9,000,000    0.16  run/checkpoint-20000
      -          -    0.20  other

  291 tensors, 2.00 GB written, 2 threads, avx512, inputs mapped
  6.00 GB read in 2.00 s, 0.250 s of it syncing (read 3.00 GB/s, write 1.00 GB/s)
  peak memory 180 MB anonymous, 3.10 GB with mapped files
  1 warning, see above

check it with: npx merge verify 'my merge'
`);
  });

  it('has one table for several outputs', () => {
    const [ema] = RESULT.outputs;
    const outputs = [ema!, { ...ema!, path: 'out/sma', method: 'sma', members: ema!.members.slice(0, 2), bytesWritten: 1_000_000_000 }];
    const text = mergeSummary({ ...RESULT, outputs, finished: ['out/first'] }, plain, 'merge');
    expect(text).toContain('  was there already, as this merge makes it: out/first\n');
    const lines = text.split('\n');
    expect(lines.slice(0, 8)).toEqual([
      'merged 3 checkpoints into 2 outputs, in one read',
      '',
      '  members          steps  method     size  output',
      '        3      1000 to -  ema     2.00 GB  my merge',
      '        2  1000 to 20000  sma     1.00 GB  out/sma',
      '',
      '  291 tensors each, 2 threads, avx512, inputs mapped',
      expect.stringContaining('write 1.50 GB/s'),
    ]);
    expect(lines.at(-2)).toBe("check each with: merge verify 'my merge'");
  });

  it.each([
    [{}, '2 threads, avx512, inputs mapped'],
    [{ threads: 0 }, 'all of it by the interrupted run'],
    [{ ranks: 1, hosts: 1 }, '2 threads, avx512, inputs mapped'],
    [{ ranks: 1, hosts: 1, threads: 0 }, 'all of it by another rank'],
    [{ ranks: 8, hosts: 4 }, 'by 8 ranks on 4 machines, this one with 2 threads, avx512, inputs mapped'],
    [{ ranks: 3, hosts: 1, threads: 0 }, 'by 3 ranks on 1 machine, none of it by this one'],
  ])('says who made it: %j', (by, wanted) => {
    expect(mergeSummary({ ...RESULT, ...by }, plain, 'merge')).toContain(`  291 tensors, 2.00 GB written, ${wanted}\n`);
  });

  it('leaves out what is not known', () => {
    const quiet: MergeResult = {
      ...RESULT,
      peakRssBytes: null,
      peakAnonBytes: null,
      warnings: [],
      phases: { ...RESULT.phases, syncSeconds: 0 },
    };
    const text = mergeSummary(quiet, plain, 'merge');
    expect(text).not.toMatch(/peak|warning|syncing/);
  });
});

it('a plan says what would be read, written and needed', () => {
  const document = {
    schema: 'ckpt-merge/plan',
    version: 1,
    format: 'safetensors',
    outputs: [
      {
        path: 'merged',
        kind: 'folder',
        method: 'sma',
        parameters: {},
        members: [{ path: 'a', step: null, tokens: null, weight: 1 }],
        weightSum: 1,
        purpose: null,
        next: null,
        ...{ asked: 1, found: 1, leftOut: [] },
        excluded: [{ path: 'run/checkpoint-7', reason: 'incomplete', step: 7 }],
        phase: { kind: 'constant', lowest: 1, highest: 1, text: 'learning rate constant at 1 (9 logs)' },
        notes: ['spacing: 200 steps'],
        files: [{ name: 'model.safetensors', bytes: 1_000_000 }],
        sideFiles: [
          ...Array.from({ length: 14 }, (_, i) => ({ name: `${i}.json`, bytes: 1, code: false })),
          { name: 'modeling_x.py', bytes: 1, code: true },
        ],
        left: [
          { name: 'optimizer.pt', reason: 'training state', leadsTo: null },
          { name: 'vocab.json', reason: 'leads outside', leadsTo: '/etc/\u001b[2J' },
        ],
        bytesWritten: 1_000_000,
        tensors: 1,
        dtypeChanges: ['BF16 to F32: 1 tensor'],
        treatments: [{ role: 'mlp', mtp: false, tensors: 1, bytes: 1000, treatment: 'average, sma', policy: null }],
        digest: '00',
        spike: null,
      },
    ],
    finished: ['earlier'],
    expectedSeconds: 12.34,
    bytesRead: 4_000_000,
    bytesWritten: 1_000_000,
    peakMemoryBytes: 420_000_000,
    freeBytesNeeded: 65_000_000,
    freeBytesAvailable: 20_000_000_000,
    warnings: [],
    resume: null,
    unplaced: false,
    outside: [],
  } as const;
  expect(planText(document, plain, { columns: 80 })).toBe(`would merge 1 checkpoint into merged (sma)

  step  weight  checkpoint
     -       1  a
  one member: a copy of a

  1 tensor, 1.00 MB
  stored in another dtype: BF16 to F32: 1 tensor
  copies 0.json, 1.json, 2.json, 3.json, 4.json, 5.json, 6.json, 7.json, 8.json, 9.json, 10.json, 11.json and 2 more files
  custom code, copied and not run: modeling_x.py
  left out: vocab.json: leads outside, to /etc/\\x1b[2J
  learning rate constant at 1 (9 logs)
  spacing: 200 steps
  left out: run/checkpoint-7: incomplete

  is there already, as this merge makes it: earlier
  reads 4.00 MB, writes 1.00 MB
  needs 65.0 MB of 20.0 GB free
  memory at most 420 MB
  about 12.3 s, by what the disks gave in half a second just now

nothing was written
`);
  const [output] = document.outputs;
  const two = planText({ ...document, outputs: [output, { ...output, path: 'other' }] }, plain, { columns: 80 });
  expect(two).toContain(`would make 2 outputs in one read

  members   steps  method     size  output
        1  - to -  sma     1.00 MB  merged
        1  - to -  sma     1.00 MB  other
`);
  expect(two).toContain('left out: 1, all of them with --json');
  expect(two).not.toContain('checkpoint-7');
});

describe('an inspection', () => {
  const tensor = (name: string, file: string): InspectedTensor => ({
    name,
    dtype: 'BF16',
    shape: [64, 2],
    bytes: 256,
    file,
    section: 'model',
    chunks: null,
    role: null,
    layer: null,
    expert: null,
    mtp: false,
  });
  const inspection = (files: readonly string[]) => ({
    schema: 'ckpt-merge/inspect' as const,
    version: 1 as const,
    path: 'run/checkpoint-1000',
    summary: {
      kind: 'folder' as const,
      container: { kind: 'safetensors' as const, writer: null, version: null },
      sections: [{ section: 'model' as const, tensors: 2, elements: 256, bytes: 512, chunks: 2, objects: 0, objectBytes: 0 }],
      integrity: null,
      beside: [],
      files: files.map((name) => ({ name, bytes: 400, tensors: 1 })),
      tensors: 2,
      parameters: 256,
      bytes: 512,
      step: 1000,
      tokens: 5_000_000,
      dtypes: { BF16: { tensors: 2, parameters: 256, bytes: 512 } },
      family: 'mixtral',
      layers: 2,
      mtpLayers: 1,
      experts: { count: 8, perToken: 2 },
      totalParameters: 256,
      activeParameters: 100,
      sizeNotes: [],
      expertLayers: [0, 1, 2].map((layer) => ({ stack: 'model.layers', layer, mtp: layer === 2, experts: 8 })),
      roles: {
        expert: { tensors: 1, parameters: 128, bytes: 256, dtypes: ['BF16', 'F32'] as const },
        unknown: { tensors: 1, parameters: 128, bytes: 256, dtypes: ['BF16'] as const },
      },
      tied: { configured: false, pairs: [] as { embedding: string; head: string; same: boolean | null }[] },
      quantisation: null as QuantisationSummary | null,
      problems: [] as Conflict[],
      metadata: { format: 'pt', config: 'x'.repeat(1000) },
    },
    tensors: [{ ...tensor('a\u001b[1mb', files[0]!), role: 'expert' as const, mtp: true }, tensor('c', files.at(-1)!)],
    warnings: [],
    resume: null,
    outside: [],
  });

  it('shows summary and tensors, with the file where there are several', () => {
    expect(
      inspectionText(inspection(['m-1.safetensors', 'm-2.safetensors']), plain, { tensors: true }),
    ).toBe(`run/checkpoint-1000: folder with 2 tensor files, step 1000, 5,000,000 tokens
  2 tensors, 256 parameters, 512 B
  mixtral, 2 layers, 1 layer of multi-token prediction, 8 experts in each layer, 2 of them for each token, 256 parameters in all, 100 active
  BF16  2 tensors  256 parameters  512 B
  experts  1 tensor  128 parameters  256 B  BF16, F32
  unknown  1 tensor  128 parameters  256 B  BF16
  format: pt
  config: ${'x'.repeat(60)}… (1,000 characters)

a\\x1b[1mb  BF16  [64, 2]  256 B  experts (mtp)  m-1.safetensors
c          BF16  [64, 2]  256 B  -              m-2.safetensors
`);
  });

  it('says where the experts are, what is tied, how it is quantised, and what is wrong', () => {
    const { summary, ...rest } = inspection(['model.safetensors']);
    const at = (layers: readonly number[], experts: number) =>
      layers.map((layer) => ({ stack: 'model.layers', layer, mtp: false, experts }));
    const text = (changed: Partial<typeof summary>) => inspectionText({ ...rest, summary: { ...summary, ...changed } }, plain);
    const lines = text({
      layers: 9,
      mtpLayers: 0,
      expertLayers: [...at([3, 4, 5, 7], 8), ...at([8], 4)],
      tied: { configured: true, pairs: [{ embedding: 'embed.weight', head: 'head\u001b.weight', same: true }] },
      quantisation: { method: 'fp8', forms: [{ form: 'F8_E4M3 codes, an F32 scale for each row', tensors: 3 }] },
      problems: Array.from({ length: 12 }, (_, i) => ({ code: 'E_EXPERT_MISSING' as const, message: `expert ${i} is not there` })),
    }).split('\n');
    expect(lines[2]).toContain('9 layers, 8 experts in layers 3 to 5, 7, 4 experts in layer 8, 2 of them for each token');
    expect(lines).toContain('  tied embeddings, stored twice: embed.weight and head\\x1b.weight');
    expect(lines).toContain('  quantised (fp8): 3 weights as F8_E4M3 codes, an F32 scale for each row');
    expect(lines.slice(-13)).toEqual([
      '  12 problems:',
      ...Array.from({ length: 10 }, (_, i) => `    E_EXPERT_MISSING: expert ${i} is not there`),
      '    and 2 more',
      '',
    ]);
    expect(text({ tied: { configured: true, pairs: [] } })).toContain('\n  tied embeddings, stored once\n');
    expect(text({ expertLayers: [] })).toContain(', 8 experts a layer, 2 of them');
  });

  it('leaves out the tensors when asked to', () => {
    const text = inspectionText(inspection(['model.safetensors']), plain);
    expect(text.split('\n')).toHaveLength(9);
    expect(text).toContain('folder with 1 tensor file,');
  });
});

describe('a verification', () => {
  const report = (recomputed: { mode: 'full' | 'sample' | 'none'; tensors: number; elements: number; fraction: number }) => ({
    integrity: null,
    sideFiles: [{ name: 'config.json', bytes: 716, crc32c: '0badcafe', ok: true as const }],
    schema: 'ckpt-merge/verify' as const,
    version: 1 as const,
    path: 'merged',
    ok: true as const,
    files: [{ name: 'model.safetensors', bytes: 313_000, crc32c: '0badcafe', ok: true as const }],
    recomputed,
    warnings: [],
    resume: null,
    outside: [],
  });

  it.each([
    [
      { mode: 'full', tensors: 12, elements: 155_072, fraction: 1 },
      '155,072 elements of 12 tensors recomputed from the inputs (all), every one equal',
    ],
    [
      { mode: 'sample', tensors: 3, elements: 4096, fraction: 0.01234 },
      '4,096 elements of 3 tensors recomputed from the inputs (1.2 %), every one equal',
    ],
    [
      { mode: 'sample', tensors: 3, elements: 99_999, fraction: 0.99999 },
      '99,999 elements of 3 tensors recomputed from the inputs (99.9 %), every one equal',
    ],
    [{ mode: 'none', tensors: 0, elements: 0, fraction: 0 }, 'nothing was recomputed: checksums and structure only'],
  ] as const)('%o', (recomputed, line) => {
    expect(verificationText(report(recomputed), plain)).toBe(
      `merged: ok\n  model.safetensors  313 kB  crc32c 0badcafe\n  1 file beside the tensors as the merge wrote it\n  ${line}\n`,
    );
  });
});

it('a bench sets the merge against the bound', () => {
  const spread = (best: number) => ({ best, median: best * 2, worst: best * 4 });
  const report = {
    schema: 'ckpt-merge/bench' as const,
    version: 1 as const,
    fileSystem: 'ext4',
    inputs: 4,
    inputBytes: 1e9,
    rounds: 5,
    threads: 2,
    isa: 'avx2',
    io: 'map',
    readBytesPerSecond: 20e9,
    writeBytesPerSecond: 4e9,
    boundSeconds: 0.45,
    mergeSeconds: spread(0.5),
    syncedSeconds: spread(1),
    fractionOfBound: 0.9,
    mergeBytesPerSecond: 10e9,
  };
  expect(benchText(report, plain)).toBe(`4 inputs of 1.00 GB, 2 threads, avx2, io map; ext4, hot page cache, best of 5 rounds

  reading                      20.0 GB/s
  writing                      4.00 GB/s
  no merge can be faster than  0.450 s
  merge, without fsync         0.500 s  (median 1.00 s, worst 2.00 s)
  merge, as average does it    1.00 s  (median 2.00 s, worst 4.00 s)

a merge reaches 90 % of the bound: 10.0 GB/s read and written
`);
});

describe('a diagnosis', () => {
  const check = (status: 'ok' | 'warn' | 'fail') => ({
    name: status === 'ok' ? 'node' : 'file size',
    status,
    found: 'x',
    help: status === 'ok' ? null : 'Do this.',
  });
  const report = (...statuses: ('ok' | 'warn' | 'fail')[]) =>
    doctorText({ schema: 'ckpt-merge/doctor', version: 1, ok: !statuses.includes('fail'), checks: statuses.map(check) }, plain);

  it('has a line a check and says what to do', () => {
    expect(report('ok', 'warn')).toBe(`ok    node       x
warn  file size  x
                 Do this.

merges work here; 1 thing could be better
`);
    expect(report('ok')).toContain('nothing is in the way');
    expect(report('warn', 'fail')).toContain('1 thing will make merges fail here');
  });
});

describe('colours', () => {
  it.each([
    ['a terminal', true, {}, true],
    ['a pipe', false, {}, false],
    ['a dumb terminal', true, { TERM: 'dumb' }, false],
    ['NO_COLOR', true, { NO_COLOR: '1' }, false],
    ['an empty NO_COLOR', true, { NO_COLOR: '' }, true],
    ['FORCE_COLOR in a pipe', false, { FORCE_COLOR: '1' }, true],
    ['FORCE_COLOR=0 on a terminal', true, { FORCE_COLOR: '0' }, false],
    ['both', true, { NO_COLOR: '1', FORCE_COLOR: '1' }, false],
  ])('%s', (_, tty, env, colors) => expect(wantsColor(tty, env)).toBe(colors));
});
