import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pc from 'picocolors';
import { afterAll, describe, expect, it } from 'vitest';
import { inspect } from '../../../src/analysis/inspect/inspect.ts';
import { inspectionText, namedTensors } from '../../../src/analysis/inspect/text.ts';
import { verify } from '../../../src/analysis/verify/verify.ts';
import { discoverRun } from '../../../src/checkpoints/run/discover.ts';
import { goldensIn, readOracle } from '../../support/containers.ts';
import { writeDcp } from '../../support/dcp-files.ts';
import { mergeError } from '../../support/safetensors.ts';
import { dictOf, op, pickle, tensor, torchFiles, zipOf } from '../../support/torch-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const golden = goldensIn(folder);

const plain = pc.createColors(false);

describe('who wrote a checkpoint', () => {
  it.each([
    ['dcp-fsdp', '100', 'dcp', 'torch.distributed.checkpoint', '.metadata 1.0.0'],
    ['torchtitan', 'checkpoint/step-100', 'dcp', 'torchtitan', '.metadata 1.0.0'],
    ['olmo-core', 'step100', 'dcp', 'OLMo-core', 'version 3.0.0'],
    ['megatron', 'iter_0000100', 'dcp', 'Megatron-core (torch_dist)', 'sharded_backend_version 1, .metadata 1.0.0'],
    ['dcp-hf', '100', 'safetensors', 'torch.distributed.checkpoint (HuggingFaceStorageWriter, a file a rank)', 'DCP_VERSION 1.0'],
    ['dcp-hf-consolidated', '100', 'safetensors', null, null],
    ['torch-bin', '100', 'torch', 'torch.save', null],
    ['fsdp-rank-pt', 'global_step_100', 'torch', 'torch.save of FSDP, a file a rank (verl)', 'world size 2'],
    ['deepspeed-zero1', 'global_step100', 'torch', 'DeepSpeed (ZeRO 1 or 2)', 'version 0.19.8'],
    ['nanotron', '100', 'safetensors', 'nanotron', null],
  ])('of %s', async (name, path, kind, writer, version) => {
    const { summary } = await inspect(join(golden(name), path));
    expect(summary.container).toEqual({ kind, writer, version });
  });

  it("is told by what only that writer has: a step in train_state may be anybody's", async () => {
    const tensors = (...names: readonly string[]) =>
      Object.fromEntries(names.map((name) => [name, { shape: [2], parts: [{ start: [0], size: [2] }] }]));
    writeDcp(join(folder, 'own/100'), { tensors: tensors('model.w', 'train_state.step') });
    writeDcp(join(folder, 'titan/step-100'), { tensors: tensors('layers.0.w', 'train_state.step') });
    writeDcp(join(folder, 'acc/checkpoint-100/pytorch_model_fsdp_0'), { tensors: tensors('model.layers.0.w') });
    writeDcp(join(folder, 'acc/checkpoint-100/optimizer_0'), { tensors: tensors('optimizer.state.w.exp_avg') });
    const lightning = { state_dict: dictOf({ w: tensor() }), 'pytorch-lightning_version': op.text('2.6.1') };
    writeFileSync(join(folder, 'last.ckpt'), zipOf(torchFiles(pickle(dictOf(lightning)))));
    const said = async (path: string) => (await inspect(join(folder, path))).summary.container;
    expect((await said('own/100')).writer).toBe('torch.distributed.checkpoint');
    expect((await said('titan/step-100')).writer).toBe('torchtitan');
    expect((await said('acc/checkpoint-100')).writer).toBe('accelerate (torch.distributed.checkpoint)');
    expect(await said('last.ckpt')).toMatchObject({ writer: 'PyTorch Lightning (torch.save)', version: 'version 2.6.1' });
  });
});

describe('what a checkpoint of a trainer holds', () => {
  it('is counted by model, optimizer and training state, and all else is of the model', async () => {
    const home = golden('megatron');
    const { summary } = await inspect(join(home, 'iter_0000100'));
    const oracle = [...readOracle(join(home, 'oracle/100.safetensors'))];
    const of = (optimizer: boolean) => oracle.filter(([name]) => name.startsWith('optimizer') === optimizer);
    const elements = (some: typeof oracle) => some.reduce((sum, [, { bytes }]) => sum + bytes.length / 4, 0);
    const [model, optimizer, state] = summary.sections;
    expect([model!.tensors, model!.elements]).toEqual([of(false).length, elements(of(false))]);
    expect([optimizer!.tensors, optimizer!.elements]).toEqual([of(true).length, elements(of(true))]);
    expect(state).toMatchObject({ section: 'training state', tensors: 0, objects: 7 });
    expect([summary.tensors, summary.parameters, summary.bytes]).toEqual([model!.tensors, model!.elements, model!.bytes]);
    expect(Object.keys(summary.dtypes)).toEqual(['BF16']);
    expect(summary.files.map(({ name }) => name)).toEqual(['__0_0.distcp', '__1_0.distcp']);
    expect(summary.integrity).toEqual({ algorithm: 'sha256', files: 4 });
  });

  it('is listed with sizes and dtypes of the model', async () => {
    const { checkpoints } = await discoverRun(join(golden('torchtitan'), 'checkpoint'));
    const { summary } = await inspect(join(golden('torchtitan'), 'checkpoint/step-100'));
    expect(checkpoints[0]).toMatchObject({ bytes: summary.sections[0]!.bytes, dtypes: ['BF16', 'F32'] });
  });

  it('is listed tensor by tensor with the parts that tile it', async () => {
    const inspection = await inspect(join(golden('dcp-2d'), '100'));
    for (const { name, shape, chunks } of inspection.tensors) {
      const elements = chunks!.reduce((sum, { size }) => sum + size.reduce((product, length) => product * length, 1), 0);
      expect(elements, name).toBe(shape.reduce((product, length) => product * length, 1));
    }
    const [wq] = namedTensors(inspection, ['*.wq.weight']);
    expect(wq!.chunks!.map(({ offset, size }) => [offset, size])).toEqual(
      [0, 4, 8, 12].map((row) => [
        [row, 0],
        [4, 16],
      ]),
    );
    const text = inspectionText(inspection, plain, { names: ['*.wq.weight'] });
    expect(text).toMatch(
      /^model\.layers\.0\.attention\.wq\.weight {2}BF16 .* 4 parts {2}4 files\n {4}\[0, 0\] +\[4, 16\] +__\d_0\.distcp +byte [\d,]+\n/m,
    );
    expect(text).toContain('written by torch.distributed.checkpoint, .metadata 1.0.0');
    expect((await mergeError(() => namedTensors(inspection, ['model.layers.0.attention.wk.wieght']))).help).toContain('wk.weight');
  });

  it('stays readable where a tensor has thousands of parts', async () => {
    const path = join(folder, 'many');
    const parts = Array.from({ length: 2000 }, (_, i) => ({ start: [i, 0], size: [1, 2] }));
    writeDcp(path, { tensors: { 'embed.weight': { shape: [2000, 2], parts } } });
    const inspection = await inspect(path);
    expect(inspectionText(inspection, plain, { tensors: true }).split('\n').length).toBeLessThan(15);
    expect(inspectionText(inspection, plain, { chunks: true }).split('\n').length).toBeGreaterThan(2000);
  });
});

describe("a trainer's own checksums", () => {
  const copy = (name: string): string => {
    const path = join(folder, name);
    cpSync(join(golden('megatron'), 'iter_0000200'), path, { recursive: true });
    return path;
  };

  it('are compared by verify', async () => {
    const path = join(golden('megatron'), 'iter_0000200');
    const report = await verify(path);
    expect(report).toMatchObject({ ok: true, files: [], sideFiles: null, recomputed: { mode: 'none' } });
    const { files } = JSON.parse(readFileSync(join(path, 'integrity.json'), 'utf8'));
    expect(Object.fromEntries(report.integrity!.files.map(({ name, sum }) => [name, sum]))).toEqual(files);
  });

  it('find two items of equal size that changed places, which nothing else sees', async () => {
    const path = copy('swapped');
    const file = join(path, '__0_0.distcp');
    const bytes = readFileSync(file);
    const { tensors } = await inspect(path);
    const [a, b] = tensors.filter(({ chunks, bytes: size }) => size === 32 && chunks!.length === 1 && chunks![0]!.file === '__0_0.distcp');
    const [at, to] = [a!.chunks![0]!.position, b!.chunks![0]!.position];
    const first = Buffer.from(bytes.subarray(at, at + 32));
    bytes.copy(bytes, at, to, to + 32);
    first.copy(bytes, to);
    bytes[at]! ^= 1;
    writeFileSync(file, bytes);
    expect((await inspect(path)).summary.problems).toEqual([]);
    const error = await mergeError(() => verify(path));
    expect([error.code, error.exitCode, error.message]).toEqual(['E_VERIFY', 5, expect.stringContaining('__0_0.distcp has sha256')]);
  });

  it('name a file that is gone', async () => {
    const path = copy('gone');
    rmSync(join(path, 'metadata.json'));
    expect((await mergeError(() => verify(path))).message).toContain('metadata.json is not there');
  });

  it.each([
    ['no JSON', '{'],
    ['no checksums', '{"algorithm":"sha256"}'],
    ['a path elsewhere', '{"algorithm":"sha256","files":{"../x":"00"}}'],
    ['an algorithm of its own', '{"algorithm":"crc-of-mine","files":{".metadata":"00"}}'],
    ['a checksum that is none', '{"algorithm":"sha256","files":{".metadata":5}}'],
  ])('that are %s are told', async (what, text) => {
    const path = copy(`told-${what}`);
    writeFileSync(join(path, 'integrity.json'), text);
    expect((await mergeError(() => verify(path))).code).toBe('E_DCP');
    expect((await inspect(path)).summary.problems.length).toBe(what.startsWith('an algorithm') ? 0 : 1);
  });

  it('are missed where there are none', async () => {
    const error = await mergeError(() => verify(join(golden('dcp-2d'), '100')));
    expect([error.code, error.message]).toEqual(['E_PROVENANCE', expect.stringContaining('left no checksums')]);
  });
});
