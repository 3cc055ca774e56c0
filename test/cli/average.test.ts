import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MergeResult, PlanDocument } from '../../src/index.ts';
import { temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';
import { runCli } from '../support/run-cli.ts';
import { smallFile } from '../support/safetensors.ts';

const folder = temporaryFolder();
const cwd = folder.path;
afterAll(() => folder.remove());

beforeAll(() => {
  for (const step of [8000, 9000, 10_000]) {
    writeCheckpoint(join(cwd, `checkpoint-${step}`), [[{ name: 'lm_head.weight', dtype: 'BF16', shape: [64, 8] }]], step);
  }
});
const INPUTS = ['checkpoint-8000', 'checkpoint-9000', 'checkpoint-10000'];

describe('what average prints', () => {
  it('is a summary on stdout and nothing but progress on stderr', async () => {
    const { code, stdout, stderr } = await runCli(['average', ...INPUTS, '-o', 'plain'], { cwd });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^merged 3 checkpoints into plain \(sma\)\n/);
    expect(stdout).toMatch(/^ +10000 {2}0\.333333 {2}checkpoint-10000$/m);
    expect(stdout).toMatch(/^check it with: merge verify plain\n$/m);
    expect(stderr).toMatch(/^merging 3 checkpoints into plain: .* to read, .* to write\n$/);
  });

  it('of a single file, whose record has no paths, names the inputs in the command that checks it', async () => {
    for (const step of [100, 200, 300, 400, 500]) {
      mkdirSync(join(cwd, 'files'), { recursive: true });
      writeFileSync(join(cwd, 'files', `step-${step}.safetensors`), smallFile('lm_head.weight'));
    }
    writeFileSync(join(cwd, 'files', 'last.safetensors'), smallFile('other'));
    const commands = [
      [['files/step-100.safetensors', 'files/step-200.safetensors'], '--input files/step-100.safetensors files/step-200.safetensors'],
      [['files', '--last', '5'], '--input files'],
    ] as const;
    for (const [i, [inputs, named]] of commands.entries()) {
      const { stdout } = await runCli(['average', ...inputs, '-o', `one-${i}.safetensors`], { cwd });
      const command = `verify one-${i}.safetensors ${named}`;
      expect(stdout).toContain(`check it with: merge ${command}\n`);
      const checked = await runCli(command.split(' '), { cwd });
      expect(checked).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('1 element of 1 tensor recomputed') });
    }
  });

  it('of a plan needs not be said, and then nothing is said of that place', async () => {
    const { code, stdout, stderr } = await runCli(['plan', ...INPUTS], { cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^would merge 3 checkpoints \(sma\)\n/);
    expect(stdout).not.toMatch(/merged|free/);
    expect(await readdir(cwd)).not.toContain('merged');
    // Also where no merge could be written: inside one of its members.
    const inside = join(cwd, INPUTS[0]!);
    expect(await runCli(['plan', ...INPUTS.map((path) => join(cwd, path)), '-o', 'x'], { cwd: inside })).toMatchObject({ code: 2 });
    const { stdout: json, ...planned } = await runCli(['plan', ...INPUTS.map((path) => join(cwd, path)), '--json'], { cwd: inside });
    expect(planned).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(json)).toMatchObject({ unplaced: true, outputs: [{ members: [{}, {}, {}] }] });
  });

  it('of an output that is there is an error whose help names the option as it is typed', async () => {
    await runCli(['average', ...INPUTS, '-o', 'there', '-q'], { cwd });
    const { code, stderr } = await runCli(['average', ...INPUTS, '-o', 'there'], { cwd });
    expect(code).toBe(4);
    expect(stderr).toMatch(/^error\[E_OUTPUT_EXISTS\].*\n {2}help: .*--force/m);
  });

  it('is one document with --json', async () => {
    const { code, stdout } = await runCli(['average', ...INPUTS, '-o', 'json', '--json'], { cwd });
    const result = JSON.parse(stdout) as MergeResult;
    expect(code).toBe(0);
    expect(result).toMatchObject({ schema: 'ckpt-merge/average', version: 1, bytesRead: 3 * 1024, warnings: [] });
    expect(result.outputs).toHaveLength(1);
    expect(result.outputs[0]).toMatchObject({ path: 'json', method: 'sma', tensors: 1 });
    expect(result.outputs[0]!.members.map(({ path, step, weight }) => [path, step, weight])).toEqual(
      INPUTS.map((path) => [path, Number(path.slice(11)), 1 / 3]),
    );
  });

  it('is only the path with -q, and nothing at all on stderr', async () => {
    expect(await runCli(['average', ...INPUTS, '-o', 'quiet', '-q'], { cwd })).toMatchObject({ code: 0, stdout: 'quiet\n', stderr: '' });
  });

  it('is one event a line on stderr with --progress json', async () => {
    const { stdout, stderr } = await runCli(['average', ...INPUTS, '-o', 'events', '-q', '--progress', 'json'], { cwd });
    const events = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; plan?: PlanDocument });
    expect(stdout).toBe('events\n');
    expect(events[0]).toMatchObject({ type: 'plan', plan: { schema: 'ckpt-merge/plan' } });
    expect(events.at(-1)).toMatchObject({ type: 'done', result: { schema: 'ckpt-merge/average' } });
    expect(new Set(events.slice(1, -1).map((event) => event.type))).toEqual(new Set(['progress']));
  });

  it('has each warning once, on stderr', async () => {
    const { stdout, stderr } = await runCli(['average', ...INPUTS.toReversed(), '-o', 'warned', '--progress', 'none'], { cwd });
    expect(stderr).toMatch(/^warning\[W_REORDERED\]: [^\n]*\n$/);
    expect(stdout).toContain('1 warning, see above');
  });

  it('weighs by what stands beside the paths, or behind --weights with a space', async () => {
    const beside = await runCli(['average', 'checkpoint-8000:-0.5', 'checkpoint-9000:1.5', '-o', 'beside', '--json'], { cwd });
    const behind = await runCli(['average', ...INPUTS.slice(0, 2), '--weights', '-0.5,1.5', '-o', 'behind', '--json'], { cwd });
    for (const { stdout } of [beside, behind]) {
      expect((JSON.parse(stdout) as MergeResult).outputs[0]!.members.map((member) => member.weight)).toEqual([-0.5, 1.5]);
    }
    const [a, b] = await Promise.all(['beside', 'behind'].map((name) => readFile(join(cwd, name, 'model.safetensors'))));
    expect(a!.equals(b!)).toBe(true);
  });
});

describe('a plan', () => {
  it('is the same from plan and from --dry-run, and writes nothing', async () => {
    const before = await readdir(cwd);
    const planned = await runCli(['plan', ...INPUTS, '-o', 'never', '--method', 'ema', '--json'], { cwd });
    const dry = await runCli(['average', ...INPUTS, '-o', 'never', '--method', 'ema', '--json', '--dry-run'], { cwd });
    const document = JSON.parse(planned.stdout) as PlanDocument;
    expect(document).toMatchObject({ schema: 'ckpt-merge/plan', version: 1, bytesRead: 3 * 1024 });
    expect(document.outputs[0]).toMatchObject({ path: 'never', method: 'ema', excluded: [] });
    // Free space may change between the two, and so may what the disk gives.
    expect({ ...JSON.parse(dry.stdout), freeBytesAvailable: 0, expectedSeconds: 0 }).toEqual({
      ...document,
      freeBytesAvailable: 0,
      expectedSeconds: 0,
    });
    expect((await runCli(['plan', ...INPUTS, '-o', 'never'], { cwd })).stdout).toMatch(/^would merge 3 [\s\S]*\nnothing was written\n$/);
    expect(await readdir(cwd)).toEqual(before);
  });

  it('needs no addon', async () => {
    const env = { CKPT_MERGE_BINARY: '/nowhere.node' };
    expect(await runCli(['plan', ...INPUTS, '-o', 'never'], { cwd, env })).toMatchObject({ code: 0 });
    expect(await runCli(['inspect', 'checkpoint-8000'], { cwd, env })).toMatchObject({ code: 0 });
    expect(await runCli(['average', ...INPUTS, '-o', 'never'], { cwd, env })).toMatchObject({ code: 1 });
  });
});

describe('verify', () => {
  it('agrees with what average wrote, quietly too', async () => {
    await runCli(['average', ...INPUTS, '-o', 'good', '-q'], { cwd });
    const { code, stdout } = await runCli(['verify', 'good', '--full'], { cwd });
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^good: ok\n {2}model\.safetensors .* crc32c [0-9a-f]{8}\n {2}1 file beside the tensors as the merge wrote it\n {2}512 elements of 1 tensor recomputed from the inputs \(all\)/,
    );
    expect(await runCli(['verify', 'good', '-q'], { cwd })).toMatchObject({ code: 0, stdout: '', stderr: '' });
    const given = await runCli(['verify', 'good', '--json', '--input', ...INPUTS, '--sample', '1'], { cwd });
    expect(JSON.parse(given.stdout)).toMatchObject({ schema: 'ckpt-merge/verify', ok: true, recomputed: { elements: 512 } });
    // The run that holds them will do.
    mkdirSync(join(cwd, 'archive/run'), { recursive: true });
    for (const input of INPUTS) cpSync(join(cwd, input), join(cwd, 'archive/run', input), { recursive: true });
    const run = await runCli(['verify', 'good', '--json', '--input', 'archive/run', '--full'], { cwd });
    expect(JSON.parse(run.stdout)).toMatchObject({ ok: true, recomputed: { elements: 512 } });
  });
});

describe('an interruption', () => {
  it('says how to go on, and going on takes over what was finished', async () => {
    // A fast disk may be done before the signal comes: then the same with more shards.
    for (const shards of [16, 64]) {
      const inputs = [1, 2].map((i) => `large-${shards}-${i}`);
      const data = new Uint8Array(8 << 20);
      for (const input of inputs) {
        writeCheckpoint(
          join(cwd, input),
          Array.from({ length: shards }, (_, i) => [{ name: `layers.${i}.mlp.up_proj.weight`, dtype: 'BF16', shape: [4 << 20], data }]),
          0,
        );
      }
      const output = `resumed ${shards}`;
      const args = ['average', ...inputs, '-o', output, '--threads', '1', '--progress', 'json'];
      const { code, stdout, stderr } = await runCli(args, {
        cwd,
        signalAfter: [{ pattern: /"outputFile":"model-(?!0000[12])/, signal: 'SIGTERM' }],
      });
      if (code === 0) continue;
      expect(code).toBe(143);
      expect(stdout).toBe('');
      const command = `merge average ${inputs.join(' ')} -o 'resumed ${shards}' --threads 1 --progress json --resume`;
      expect(stderr).toContain(`\nerror[E_INTERRUPTED]: ended by SIGTERM; what was finished is kept\n  help: Go on with: ${command}\n`);
      expect(stderr).toContain(`{"type":"kept","output":"${output}"}`);
      expect(await readdir(cwd)).not.toContain(output);

      const resumed = await runCli([...args, '--resume', '--json'], { cwd });
      expect(resumed.code).toBe(0);
      expect((JSON.parse(resumed.stdout) as MergeResult).resumedBytes).toBeGreaterThan(0);
      expect((await readdir(cwd)).filter((name) => name.includes('partial'))).toEqual([]);
      return;
    }
    throw new Error('no merge was slow enough to be interrupted');
  });
});
