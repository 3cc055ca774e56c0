import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../support/run-cli.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SCRIPT = join(ROOT, 'scripts/standalone.js');
const scratch = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
const folder = join(scratch, 'engine');
beforeAll(() => void execFileSync(process.execPath, [SCRIPT, folder], { cwd: tmpdir(), stdio: 'pipe' }));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The command line of the folder, with nothing to be found but what lies in it. */
function run(...words: string[]): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  return spawnSync(process.execPath, [join(folder, 'bin/merge.js'), ...words], { cwd: scratch, env: { PATH: '' }, encoding: 'utf8' });
}

describe('the package in a folder with nothing but Node', () => {
  it('imports nothing that it does not carry', () => {
    const imported = readdirSync(join(folder, 'dist/bundle')).flatMap((name) =>
      [...readFileSync(join(folder, 'dist/bundle', name), 'utf8').matchAll(/^(?:import|export) .*? from "([^".][^"]*)"/gm)].map(
        (match) => match[1] ?? '',
      ),
    );
    expect(imported.length).toBeGreaterThan(10);
    expect(imported.filter((name) => !name.startsWith('node:'))).toEqual([]);
  });

  it('has the licence of each package that it carries', () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    const text = readFileSync(join(folder, 'THIRD-PARTY.txt'), 'utf8');
    for (const name of Object.keys(dependencies)) expect(text).toMatch(new RegExp(`^${name} [\\d.]+ \\(\\w+\\)$`, 'm'));
    expect(existsSync(join(folder, 'LICENSE'))).toBe(true);
  });

  it('merges to the same bytes, and verifies them', async () => {
    // Near what is written: a merge does not record the way to another top-level folder.
    const inputs = ['4800', '5000'].map((step) => join(scratch, `checkpoint-${step}`));
    for (const input of inputs) cpSync(join(ROOT, 'demo/runs/dense', basename(input)), input, { recursive: true });
    const there = run('average', ...inputs, '-o', 'there');
    expect(there.stderr).not.toContain('error');
    expect(there.status).toBe(0);
    expect((await runCli(['average', ...inputs, '-o', join(scratch, 'here')])).code).toBe(0);
    const bytes = (name: string) => readFileSync(join(scratch, name, 'model.safetensors'));
    expect(bytes('there').equals(bytes('here'))).toBe(true);
    expect(run('verify', 'there', '--full').status).toBe(0);
  });

  it('carries the demo, and what pages are made of', () => {
    const page = join(scratch, 'diff.html');
    expect(run('diff', join(folder, 'demo/runs/dense'), '--last', '2', '--out', page).status).toBe(0);
    const text = readFileSync(page, 'utf8');
    expect(text.startsWith('<!doctype html>')).toBe(true);
    expect(text).toContain('<style>');
  });

  it('takes the addon of another platform under its own name', () => {
    const other = join(scratch, 'linux-arm64.node');
    execFileSync('cp', [join(ROOT, 'LICENSE'), other]);
    execFileSync(process.execPath, [SCRIPT, join(scratch, 'other'), other], { stdio: 'pipe' });
    expect(readdirSync(join(scratch, 'other/prebuilds'))).toEqual(['linux-arm64.node']);
  });

  it.each([
    ['no folder', [], 'node scripts/standalone.js FOLDER [ADDON]'],
    ['a folder that is there', [scratch], `${scratch} is there already`],
    ['an addon that is not there', [join(scratch, 'none'), join(scratch, 'no.node')], `there is no ${join(scratch, 'no.node')}`],
  ])('refuses %s', (_, words, message) => {
    const { status, stderr } = spawnSync(process.execPath, [SCRIPT, ...words], { encoding: 'utf8' });
    expect(stderr).toBe(`${message}\n`);
    expect(status).toBe(2);
    expect(existsSync(join(scratch, 'none'))).toBe(false);
  });
});
