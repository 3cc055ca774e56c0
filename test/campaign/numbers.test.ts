import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, Option } from 'commander';
import { describe, expect, it } from 'vitest';
import { MergeError } from '../../src/base/errors.ts';
import { buildProgram } from '../../src/cli/options/program.ts';
import { runHere } from '../support/fake-terminal.ts';
import { temporaryFolder } from '../support/safetensors.ts';
import { weightedRun } from '../support/weighted-run.ts';

/** What people, scripts and mistakes give where a number is wanted. */
const VALUES = ['-1', '0', '1e308', '4294967296', '9007199254740993', '1e999', 'NaN', '', ' 5', '0x10', '5e', '١'];

interface NumberOption {
  readonly command: string;
  readonly option: Option;
  readonly parse: (text: string) => unknown;
}

/** Every option of the program that takes a number, alone or in a list: it takes `2`, and no word. */
function numberOptions(): NumberOption[] {
  const program: Command = buildProgram('0', 'merge', async () => {});
  return program.commands.flatMap((command) =>
    command.options.flatMap((option) => {
      if (option.parseArg === undefined || option.argChoices !== undefined) return [];
      const parse = (text: string) => option.parseArg!(text, undefined as never);
      const takes = (text: string) => {
        try {
          parse(text);
          return true;
        } catch {
          return false;
        }
      };
      const number = (takes('2') || takes('0.5') || takes('2=1')) && !takes('no number at all');
      return number ? [{ command: command.name(), option, parse }] : [];
    }),
  );
}

function largest(value: unknown): number {
  if (typeof value === 'number') return Number.isNaN(value) ? Number.POSITIVE_INFINITY : Math.abs(value);
  if (Array.isArray(value)) return Math.max(0, ...value.map(largest));
  if (typeof value === 'object' && value !== null) return Math.max(0, ...Object.values(value).map(largest));
  return 0;
}

/** Finite numbers of any size are numbers here, and are only multiplied and compared. */
const ANY_FINITE = new Set(['--weights', '--calibrate']);
/** Never called by these tests: one writes what it is asked to, the other has a command behind its options. */
const NOT_RUN = new Set(['bench', 'submit']);

const options = numberOptions();

describe('every option that takes a number', () => {
  it('is found in the program itself', () => {
    const names = new Set(options.map(({ option }) => option.long));
    for (const name of ['--threads', '--memory', '--last', '--trials', '--poll', '--timeout', '--alpha', '--weights', '--from', '--size'])
      expect([...names]).toContain(name);
    expect(options.length).toBeGreaterThan(100);
  });

  it.each(options)('$command $option.long has bounds, and says them', ({ option, parse }) => {
    for (const text of VALUES) {
      let value: unknown;
      try {
        value = parse(text);
      } catch (error) {
        expect(error, text).toBeInstanceOf(MergeError);
        const { message, exitCode, help } = error as MergeError;
        expect(exitCode, text).toBe(2);
        expect(message, text).toContain(option.long!.replace(/^--/, ''));
        expect(`${message} ${help}`, text).toMatch(/\d|number|size|duration|empty|cannot be/);
        continue;
      }
      if (typeof value === 'string') value = Number(/^[\d.e+-]*/.exec(value.trim())![0]);
      expect(largest(value), `${text} is ${JSON.stringify(value)}`).toBeLessThanOrEqual(
        ANY_FINITE.has(option.long!) ? Number.MAX_VALUE : Number.MAX_SAFE_INTEGER,
      );
    }
  });

  it('answers at once to what it takes', { timeout: 300_000 }, async () => {
    const folder = temporaryFolder();
    const run = join(folder, 'run');
    weightedRun(run, 4);
    writeFileSync(join(folder, 'recipe.yaml'), 'inputs: [run]\noutputs: [{path: out}]\n');
    const study = ['--eval', 'exit 3; :', '--goal', 'minimize'];
    const base: Readonly<Record<string, readonly string[]>> = {
      average: ['average', 'run', '-o', 'out', '--dry-run'],
      plan: ['plan', 'run'],
      run: ['run', 'recipe.yaml', '--dry-run'],
      ls: ['ls', 'run'],
      diff: ['diff', 'run'],
      routers: ['routers', 'run'],
      verify: ['verify', 'run/checkpoint-1000'],
    };
    const jobs = options.flatMap(({ command, option, parse }, i) => {
      if (NOT_RUN.has(command)) return [];
      return VALUES.flatMap((text, v) => {
        try {
          parse(text);
        } catch {
          return [];
        }
        const own = join(folder, `${i}-${v}`);
        const words =
          base[command] ??
          (command === 'watch' ? ['watch', 'run', '-o', own, '--once', '--settle', '0'] : [command, 'run', '--dir', own, ...study]);
        return [
          { words: [...words.filter((word, w) => !(words[w - 1] === option.long || word === option.long)), `${option.long}=${text}`] },
        ];
      });
    });
    expect(jobs.length).toBeGreaterThan(50);
    const problems: string[] = [];
    for (const { words } of jobs) {
      const before = process.cpuUsage();
      const { code, stderr } = await runHere(words, folder);
      // What the machine does besides is not counted; what only waits comes to the limit of the test.
      const { user, system } = process.cpuUsage(before);
      const seconds = (user + system) / 1e6;
      const bad = stderr.includes('E_INTERNAL') || ![0, 1, 2, 3, 4, 5, 6].includes(code) || seconds > 15;
      if (bad) problems.push(`${words.join(' ')}: ${code} after ${seconds.toFixed(1)} s\n${stderr}`);
    }
    expect(problems).toEqual([]);
  });
});
