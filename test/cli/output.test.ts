import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BIN, runCli } from '../support/run-cli.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'merge-output-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('streams', () => {
  it('ends quietly, with its own exit code, when the reader goes away', async () => {
    // The reading end is closed before the program has written anything.
    const child = spawn(process.execPath, [BIN, 'completion', 'bash'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    const [code] = await once(child, 'close');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it.skipIf(!existsSync('/dev/full'))('fails, without a stack, when the result cannot be written', () => {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [BIN, 'completion', 'bash'], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^error\[E_IO\]: the result could not be written to stdout: ENOSPC[^\n]*\n {2}help: [^\n]*\n$/);
  });

  it('keeps the exit code of an error that nobody can read', async () => {
    const child = spawn(process.execPath, [BIN, 'frobnicate'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stderr.destroy();
    child.stdout.resume();
    expect((await once(child, 'close'))[0]).toBe(2);
  });

  it.each([
    ['in a pipe', {}, false],
    ['with FORCE_COLOR', { FORCE_COLOR: '1' }, true],
    ['with both', { FORCE_COLOR: '1', NO_COLOR: '1' }, false],
  ])('colours %s: %o is %s', async (_, env, colored) => {
    const { stdout } = await runCli(['--help'], { env });
    const { stderr } = await runCli(['frobnicate'], { env });
    expect([stdout.includes('\u001b['), stderr.includes('\u001b[')]).toEqual([colored, colored]);
  });
});

describe('completion', () => {
  let bash: string;
  beforeAll(async () => {
    bash = (await runCli(['completion', 'bash'])).stdout;
  });

  it.each(['bash', 'zsh', 'fish'])('of %s names every command and option', async (shell) => {
    const { code, stdout, stderr } = await runCli(['completion', shell]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const word of ['average', 'plan', 'verify', 'weights', 'allow-mixed-dtypes', 'BF16', 'ckpt-merge', 'help'])
      expect(stdout).toContain(word);
  });

  it.each(['bash', 'zsh', 'fish'])('of %s is valid for that shell', async (shell) => {
    const { stdout } = await runCli(['completion', shell]);
    const file = join(folder, `completion.${shell}`);
    await writeFile(file, stdout);
    const check = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
    if (check.error !== undefined) return console.log(`skipped: ${shell} is not installed`);
    expect({ status: check.status, stderr: check.stderr }).toEqual({ status: 0, stderr: '' });
  });

  it.each([
    ['a command', ['ver'], ['verify']],
    [
      'commands',
      [''],
      [
        'average',
        'plan',
        'run',
        'grid',
        'convert',
        'schema',
        'names',
        'watch',
        'submit',
        'ls',
        'keep',
        'inspect',
        'diff',
        'routers',
        'search',
        'soup',
        'forecast',
        'report',
        'serve',
        'export',
        'verify',
        'bench',
        'doctor',
        'demo',
        'completion',
        'help',
        '-V',
        '--version',
        '-h',
        '--help',
      ],
    ],
    [
      'an option',
      ['watch', 'a', '--allow'],
      ['--allow-unknown', '--allow-permuted', '--allow-mixed-dtypes', '--allow-stages', '--allow-configs'],
    ],
    ['the value of an option', ['average', 'a', '--method', ''], ['sma', 'wma', 'ema', 'ema-normalized', 'wsm', 'lr-curve', 'extrapolate']],
    ['a value that has begun', ['average', '--dtype', 'F'], ['F16', 'F32', 'F64']],
    ['a value that is no dtype', ['watch', '--dtype', 's'], ['same']],
    ['a path', ['inspect', 'check'], ['checkpoint-1000', 'checkpoint-2000']],
    ['a path behind an option', ['average', 'a', '-o', 'check'], ['checkpoint-1000', 'checkpoint-2000']],
    ['a path with a space', ['inspect', 'my'], ['my model']],
    ['nothing where anything goes', ['average', 'a', '--alpha', ''], []],
    ['a shell', ['completion', 'z'], ['zsh']],
    ['help for a command', ['help', 'ben'], ['bench']],
  ])('in bash offers %s', async (_, words, offered) => {
    const place = await mkdtemp(join(folder, 'words-'));
    for (const name of ['checkpoint-1000', 'checkpoint-2000', 'my model']) mkdirSync(join(place, name));
    const ask = `COMP_WORDS=(merge "$@"); COMP_CWORD=$#; _merge; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr, error } = spawnSync('bash', ['-c', `${bash}\n${ask}`, 'bash', ...words], { cwd: place, encoding: 'utf8' });
    if (error !== undefined) return console.log('skipped: bash is not installed');
    expect(stderr).toBe('');
    expect(
      stdout
        .split('\n')
        .filter((line) => line !== '')
        .sort(),
    ).toEqual([...offered].sort());
  });
});

describe('doctor', () => {
  it('looks at everything, says so as JSON, and leaves nothing behind', async () => {
    const place = await mkdtemp(join(folder, 'doctor-'));
    const { code, stdout, stderr } = await runCli(['doctor', place, '--json'], { env: { SLURM_CPUS_PER_TASK: '1' } });
    expect(stderr).toBe('');
    const report = JSON.parse(stdout) as {
      schema: string;
      ok: boolean;
      checks: { name: string; status: string; found: string; help: string | null }[];
    };
    expect(report.schema).toBe('ckpt-merge/doctor');
    expect(report.checks.filter((check) => check.status === 'fail')).toEqual([]);
    expect({ ok: report.ok, code }).toEqual({ ok: true, code: 0 });
    const names = report.checks.map((check) => check.name);
    for (const name of [
      'package',
      'node',
      'native addon',
      'instructions',
      'threads',
      'memory',
      'temp folder',
      'output folder',
      'writing',
      'renaming',
      'preallocation',
    ]) {
      expect(names).toContain(name);
    }
    for (const check of report.checks) expect(check.help === null).toBe(check.status === 'ok');
    expect(report.checks.find((check) => check.name === 'threads')?.found).toMatch(/^1 by default .*SLURM_CPUS_PER_TASK 1/);
    expect(await readdir(place)).toEqual([]);
  });

  it('fails, and says what to do, where merges cannot be written', async () => {
    const { code, stdout } = await runCli(['doctor', join(folder, 'not-there')]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^fail {2}output folder .*not-there.*ENOENT/m);
    expect(stdout).toContain('Create the folder, or name another one.');
    expect(stdout).toMatch(/will make merges fail here\n$/);
  });

  it('says what is wrong with CKPT_MERGE_ISA', async () => {
    const { code, stdout } = await runCli(['doctor', folder], { env: { CKPT_MERGE_ISA: 'sse9' } });
    expect(code).toBe(1);
    expect(stdout).toMatch(/^fail .*sse9/m);
  });
});
