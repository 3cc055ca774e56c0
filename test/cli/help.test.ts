import { readFileSync, symlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMANDS as IMPLEMENTATIONS, main } from '../../src/cli/main.ts';
import { EXAMPLES } from '../../src/cli/options/help-text.ts';
import { buildProgram } from '../../src/cli/options/program.ts';
import { fakeTerminal } from '../support/fake-terminal.ts';
import { BIN, runCli } from '../support/run-cli.ts';

const COMMANDS = [
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
  'verify',
  'bench',
  'doctor',
  'demo',
  'completion',
];

describe('help', () => {
  it('lists the commands, examples and exit codes on stdout', async () => {
    const { code, stdout, stderr } = await runCli(['--help']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
    expect(stdout).toContain('merge average run/checkpoint-1000');
    for (const exit of ['0 ', '1 ', '2 ', '3 ', '4 ', '5 ', '6 ', '75 ', '129, 130, 143 '])
      expect(stdout).toMatch(new RegExp(`^  ${exit}`, 'm'));
  });

  it.each(COMMANDS)('of %s has its options and examples, in 80 columns', async (command) => {
    const terminal = fakeTerminal();
    expect(await main([command, '--help'], terminal)).toBe(0);
    const { out: stdout, err: stderr } = terminal.written;
    expect(stderr).toBe('');
    expect(stdout).toContain('Examples:');
    const wide = stdout
      .slice(0, stdout.indexOf('Examples:'))
      .split('\n')
      .filter((line) => line.length > 80);
    expect(wide).toEqual([]);
    const other = fakeTerminal();
    expect(await main(['help', command], other)).toBe(0);
    expect(other.written.out).toBe(stdout);
  });

  it('is of the commands that there are implementations of, and of no others', () => {
    const program = buildProgram('0', 'merge', async () => {});
    expect(program.commands.map((command) => command.name())).toEqual(Object.keys(IMPLEMENTATIONS));
  });

  it('is printed on stderr, as an error, where no command is given', async () => {
    const { code, stdout, stderr } = await runCli([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage: merge COMMAND');
  });

  it('loads neither the addon nor an implementation', async () => {
    // Both would be errors as soon as anything asked for the addon.
    const { code } = await runCli(['average', '--help'], { env: { CKPT_MERGE_BINARY: '/nowhere.node', CKPT_MERGE_ISA: 'nonsense' } });
    expect(code).toBe(0);
  });

  it('has only examples that the parser accepts', () => {
    const seen: string[] = [];
    for (const [command, examples] of Object.entries(EXAMPLES)) {
      for (const [, example] of examples) {
        const words = example.split(/ (?:\||>|&&) /)[0]!.split(' ');
        const program = buildProgram('0', 'merge', async (name) => void seen.push(name));
        expect(() => program.parse(words, { from: 'user' }), `${command}: ${example}`).not.toThrow();
      }
    }
    expect(new Set(seen)).toEqual(new Set(COMMANDS));
  });

  it('names the program as it was called', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'merge-bin-'));
    try {
      symlinkSync(BIN, join(folder, 'ckpt-merge'));
      expect((await runCli(['--help'], { script: join(folder, 'ckpt-merge') })).stdout).toContain('Usage: ckpt-merge COMMAND');
      expect((await runCli(['--help'], { env: { npm_command: 'exec' } })).stdout).toContain('Usage: npx merge COMMAND');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('version', () => {
  it.each(['--version', '-V'])('%s prints the one of package.json', async (option) => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
    expect(await runCli([option])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
  });
});
