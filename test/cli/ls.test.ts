import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { fakeTerminal } from '../support/fake-terminal.ts';
import { runCli } from '../support/run-cli.ts';
import { steadyEntries, writeRun, writeTree } from '../support/run-trees.ts';
import { dictOf, pickle, tensor, torchFiles, zipOf } from '../support/torch-files.ts';

const DEMO = fileURLToPath(new URL('../../demo/runs/', import.meta.url));

let folder: ReturnType<typeof temporaryFolder>;
let run: string;
beforeAll(() => {
  folder = temporaryFolder();
  run = writeRun(join(folder.path, 'run'), [
    ...steadyEntries(3, { tokensPerStep: 2_000_000 }),
    { name: 'step400-merged' },
    { name: 'checkpoint-500', step: 500 },
  ]);
  rmSync(join(run, 'checkpoint-500/model.safetensors'));
});
afterAll(() => folder.remove());

async function ls(...args: readonly string[]) {
  const terminal = fakeTerminal();
  const code = await main(['ls', ...args], terminal);
  return { code, ...terminal.written };
}

/** The plan of a merge as its document. */
async function chosen(
  run: string,
  ...args: readonly string[]
): Promise<{ outputs: { members: unknown[] }[]; warnings: { message: string }[] }> {
  const terminal = fakeTerminal();
  await main(['plan', run, ...args, '-o', join(folder.path, 'none'), '--json'], terminal);
  return JSON.parse(terminal.written.out);
}
const saved = (values: Readonly<Record<string, Uint8Array>>) => zipOf(torchFiles(pickle(dictOf(values))));

describe('merge ls', () => {
  it('has a loss that was no number for what it is', async () => {
    const lost = writeRun(join(folder.path, 'lost'), [
      { name: 'checkpoint-10', state: '{"global_step": 10, "log_history": [{"step": 5, "loss": 2.5}, {"step": 10, "loss": NaN}]}' },
    ]);
    expect((await ls(lost)).out).toMatch(/ NaN\/inf +checkpoint-10\n/);
  });

  it('gives tokens with all digits, so that what is typed after --from and --to is there', async () => {
    const exact = writeRun(join(folder.path, 'exact'), steadyEntries(3, { tokensPerStep: 40_961 }));
    const { out } = await ls(exact);
    const tokens = [...out.matchAll(/^ +\d+ +(\S+M) /gm)].map((match) => match[1]!);
    expect(tokens).toEqual(['4.0961M', '8.1922M', '12.2883M']);
    for (const one of tokens) expect((await chosen(exact, '--from', one, '--to', one)).outputs[0]!.members).toHaveLength(1);
  });

  it('names a file as it is called, with its extension', async () => {
    const { path } = folder;
    const file = saved({ model: dictOf({ w: tensor() }) });
    writeTree(join(path, 'files'), { 'ckpt_1000.pt': file, 'ckpt_2000.pt': file, 'ckpt_3000.pt': file.subarray(0, 200) });
    const { out } = await ls(join(path, 'files'));
    expect(out).toMatch(/ckpt_1000\.pt\n.*ckpt_2000\.pt\n/);
    const { warnings } = await chosen(join(path, 'files'), '--last', '2');
    expect(warnings.map(({ message }) => message).join()).toMatch(/: ckpt_3000\.pt is newer .*\n {0,2}ckpt_3000\.pt: /);
    writeTree(join(path, 'linked'), {
      'ckpt_1000.pt': { link: '../files/ckpt_1000.pt' },
      'ckpt_2000.pt': { link: '../files/ckpt_2000.pt' },
    });
    expect((await ls(join(path, 'linked'))).out).toMatch(/1000 .*ckpt_1000\.pt\n.*2000 .*ckpt_2000\.pt\n/);
  });

  it('shows what is complete, the loss, and what is left out', async () => {
    const { code, out, err } = await ls(run);
    expect([code, err]).toEqual([0, '']);
    const [before, after] = out.split(/\nloss\n(?: {2}.*\n)+/);
    expect(before).toBe(
      `${run}: 3 checkpoints, 48 B

  step  tokens  size  dtype      lr   loss  checkpoint
   100    200M  16 B  BF16   0.0003  3.000  checkpoint-100
   200    400M  16 B  BF16   0.0003  2.500  checkpoint-200
   300    600M  16 B  BF16   0.0003  2.333  checkpoint-300
`,
    );
    expect(after).toBe(
      `
left out
  step400-merged  a merge, by its name
  checkpoint-500  incomplete: the folder holds no safetensors file
`,
    );
  });

  it('prints one document with --json, unknown fields null', async () => {
    const { out } = await ls(run, '--json');
    const document = JSON.parse(out);
    expect(document).toMatchObject({ schema: 'ckpt-merge/ls', version: 1, run, runs: [run], warnings: [] });
    expect(document.checkpoints[1]).toEqual({
      run,
      path: join(run, 'checkpoint-200'),
      step: 200,
      tokens: 400_000_000,
      stage: null,
      ingredient: null,
      bytes: 16,
      dtypes: ['BF16'],
      complete: true,
      reason: null,
      loss: 2.5,
      evalLoss: null,
      learningRate: 3e-4,
    });
    expect(document.checkpoints[4]).toEqual({
      run,
      path: join(run, 'checkpoint-500'),
      step: 500,
      tokens: null,
      stage: null,
      ingredient: null,
      bytes: null,
      dtypes: null,
      complete: false,
      reason: 'incomplete: the folder holds no safetensors file',
      loss: null,
      evalLoss: null,
      learningRate: null,
    });
  });

  it('takes several runs, and tokens from an option', async () => {
    const [dense, early] = [join(DEMO, 'dense'), join(DEMO, 'dense-early')];
    const { code, out } = await ls(dense, early, '--json', '--tokens-per-step', '1024');
    const { run: only, runs, checkpoints } = JSON.parse(out);
    expect([code, only, runs]).toEqual([0, null, [dense, early]]);
    expect(checkpoints.map((c: { run: string; step: number }) => [c.run, c.step])).toEqual([
      ...Array.from({ length: 12 }, (_, i) => [dense, 3800 + 200 * i]),
      [early, 300],
      [early, 650],
      [early, 1000],
    ]);
    const unknown = writeRun(join(folder.path, 'unknown'), [{ name: 'step7' }]);
    expect((await ls(unknown)).out).not.toContain('tokens');
    expect((await ls(unknown, '--tokens-per-step', '4M')).out).toMatch(/step {2}tokens .*\n +7 +28M /);
  });

  it('shortens a long list, and not with --all', async () => {
    const long = writeRun(
      join(folder.path, 'long'),
      Array.from({ length: 45 }, (_, i) => ({ name: `step${i + 1}` })),
    );
    writeTree(long, Object.fromEntries(Array.from({ length: 14 }, (_, i) => [`step${i + 100}/`, ''])));
    const steps = (out: string) => [...out.matchAll(/ step(\d+)$/gm)].map(([, step]) => Number(step));
    const short = (await ls(long)).out;
    expect(steps(short)).toEqual([1, 2, 3, 4, 5, ...Array.from({ length: 35 }, (_, i) => i + 11)]);
    expect(short).toMatch(/ step5\n {2}… 5 more checkpoints, shown with --all\n.* step11\n/);
    expect(short).toContain('  … and 2 more, shown with --all');
    const all = (await ls(long, '--all')).out;
    expect(steps(all)).toHaveLength(45);
    expect(all).toContain('step113  incomplete: the folder is empty');
    expect(all).not.toContain('--all');
  });

  it('tells of warnings on stderr', async () => {
    const odd = writeRun(join(folder.path, 'odd'), [{ name: 'step7', step: 8 }]);
    expect((await ls(odd)).err).toMatch(/^warning\[W_TRAINER_STATE\]: .*says step 8, the folder's name says 7/);
  });

  it('fails with what was found where there is no run', async () => {
    const foreign = writeTree(join(folder.path, 'foreign'), { 'step100/_METADATA': '', 'step200/_METADATA': '' });
    const { code, out, err } = await ls(foreign, '--json');
    expect(code).toBe(3);
    expect(err).toMatch(/^error\[E_NO_RUN\]: .*all 2: Orbax \(MaxText\), which is not read; convert it with .*MaxText/);
    expect(JSON.parse(out)).toMatchObject({
      schema: 'ckpt-merge/error',
      code: 'E_NO_RUN',
      details: { excluded: [{ step: 100 }, { step: 200 }] },
    });
  });

  it('is a command of the bin', async () => {
    const { code, stdout } = await runCli(['ls', join(DEMO, 'moe')], { env: { COLUMNS: '80' } });
    expect(code).toBe(0);
    expect(stdout).toContain('10 checkpoints');
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(Math.max(80, join(DEMO, 'moe').length + 40));
  });
});
