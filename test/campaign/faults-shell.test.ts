import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { writeCheckpoint } from '../support/checkpoints.ts';
import { checkpoints, contentOf, hiddenBeside, removeCheckpoints, run } from '../support/faults-merge.ts';
import { runShell } from '../support/faults-shell.ts';

afterAll(removeCheckpoints);

describe.concurrent('limits and habits of the shell', () => {
  it('`| head -1` makes no noise and no failure', async () => {
    const { folder } = checkpoints();
    const many = Array.from({ length: 4000 }, (_, i) => ({ name: `layers.${i}.weight`, dtype: 'BF16' as const, shape: [1] }));
    const wide = writeCheckpoint(join(folder, 'wide'), [many], 1);
    for (const words of [
      ['inspect', wide, '--tensors'],
      ['inspect', wide, '--json'],
    ]) {
      const { stdout, stderr } = await runShell('set -o pipefail; "$@" | head -1; echo "exit $?" >&2', words);
      expect(stderr).toBe('exit 0\n');
      expect(stdout.split('\n').filter((line) => line !== '')).toHaveLength(1);
    }
  });

  it('umask 002 gives folders 0775 and files 0664', async () => {
    const { folder, inputs } = checkpoints();
    const out = join(folder, 'new/out');
    expect((await runShell('umask 002; exec "$@"', ['average', ...inputs, '-o', out])).code).toBe(0);
    const mode = (path: string) => (statSync(path).mode & 0o7777).toString(8);
    expect([mode(join(folder, 'new')), mode(out)]).toEqual(['775', '775']);
    expect(Object.keys(contentOf(out)).map((name) => [name, mode(join(out, name))])).toEqual(
      Object.keys(contentOf(out)).map((name) => [name, '664']),
    );
    const file = join(folder, 'out.safetensors');
    const singles = inputs.map((input) => join(input, 'model-00001-of-00006.safetensors'));
    expect((await runShell('umask 002; exec "$@"', ['average', ...singles, '-o', file])).code).toBe(0);
    expect(mode(file)).toBe('664');
  });

  it('300 inputs with 256 file descriptors: mapped they merge, read they are refused', async () => {
    const { folder } = checkpoints();
    const one = writeCheckpoint(join(folder, 'one'), [[{ name: 'w', dtype: 'BF16', shape: [64] }]], 1);
    const bytes = readFileSync(join(one, 'model.safetensors'));
    const inputs = Array.from({ length: 300 }, (_, i) => join(folder, `step-${i + 1}.safetensors`));
    for (const path of inputs) writeFileSync(path, bytes);
    const merge = (io: string) =>
      runShell('ulimit -n 256; exec "$@"', ['average', ...inputs, '--io', io, '-o', join(folder, `${io}.safetensors`)]);
    const [mapped, read] = await Promise.all([merge('map'), merge('read')]);
    expect(mapped).toMatchObject({ code: 0 });
    expect((await run('verify', '--full', join(folder, 'map.safetensors'))).code).toBe(0);
    expect(read.code).toBe(1);
    expect(read.stderr).toContain('error[E_TOO_MANY_FILES]');
    expect(read.stderr).toMatch(/help: .*--io map/);
    expect([existsSync(join(folder, 'read.safetensors')), hiddenBeside(join(folder, 'read.safetensors'))]).toEqual([false, []]);
  });

  it.skipIf(process.platform !== 'linux')('little address space: inputs that would not leave room for anything else are read', async () => {
    const { folder } = checkpoints();
    const tensor = { name: 'w', dtype: 'BF16' as const, shape: [1024, 8192], data: new Uint8Array(2 ** 24) };
    const file = join(writeCheckpoint(join(folder, 'wide'), [[tensor]], 1), 'model.safetensors');
    const merge = (io: string, count: number, kib: number) =>
      runShell(`ulimit -v ${kib}; exec "$@"`, [
        'average',
        ...Array(count).fill(file),
        '--io',
        io,
        '-o',
        join(folder, 'out'),
        '--force',
        '--json',
      ]);
    // What Node itself takes for so many inputs differs between versions and machines: found by trying.
    let kib = 2 ** 20;
    while (kib < 2 ** 25 && (await merge('read', 64, kib)).code !== 0) kib = Math.ceil(kib * 1.2);
    // A gigabyte of inputs under a limit that would hold about half of it.
    const { code, stdout } = await merge('map', 64, kib + 512 * 1024);
    const { code: error, io } = JSON.parse(stdout);
    expect({ code, error }).toEqual({ code: 0, error: undefined });
    expect(['read', 'mixed']).toContain(io);
  });
});
