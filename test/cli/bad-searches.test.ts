import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type HostileOutcome, pooled, runCase } from '../support/hostile-case.ts';
import { HOSTILE_SEARCH } from '../support/hostile-search.ts';
import { HOSTILE_MESSAGES, HOSTILE_STUDIES } from '../support/hostile-studies.ts';
import { runCli } from '../support/run-cli.ts';
import { steadyEntries, writeRun } from '../support/run-trees.ts';
import { temporaryFolder } from '../support/safetensors.ts';

const GROUPS = {
  'requests that make no sense': HOSTILE_SEARCH,
  'evaluators, servers, samplers and folders that let it down': HOSTILE_STUDIES,
};
const CASES = Object.values(GROUPS).flat();
/** Cases run at the same time. */
const WIDTH = 4;
/** Every so many cases one is run without `--json` as well. */
const PLAIN_EVERY = 10;

/** Of a group on a busy machine; it takes a tenth of that on a free one. */
const TIMEOUT_MS = 240_000;

const done: HostileOutcome[] = [];

describe('what bad searches, soups and forecasts get', () => {
  it.each(Object.entries(GROUPS))(
    '%s: a refusal by code that says what is wrong, and nothing is touched',
    async (_, cases) => {
      const outcomes = await pooled(cases, WIDTH, (hostile, i) => runCase(hostile, i % PLAIN_EVERY === 0));
      done.push(...outcomes);
      const failed = outcomes.filter(({ problems }) => problems.length > 0);
      expect(failed.map(({ case: { code, place, what }, problems }) => [code, place, what, ...problems].join('\n  ')).join('\n\n')).toBe(
        '',
      );
    },
    TIMEOUT_MS,
  );

  it('a driver hears what is wrong with each message, by line, and goes on', async () => {
    const folder = temporaryFolder();
    writeRun(join(folder, 'run'), steadyEntries(2));
    const bad = HOSTILE_MESSAGES.map(([message]) => message);
    const input = ['{"ask":2}', '{"tell":1,"score":2}', ...bad, '{"tell":0,"score":1}', '{"stop":1}'].join('\n');
    const args = ['search', 'run', '--last', '2', '--ask-tell', '--goal', 'maximize', '-o', 'out'];
    const { code, stdout, stderr } = await runCli(args, { cwd: folder, input: `${input}\n` });
    expect(stderr).not.toContain('error[');
    expect(code).toBe(0);
    const answers = stdout
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(text));
    const errors = answers.flatMap(({ error }) => (error === undefined ? [] : [error]));
    expect(errors.map(({ line }) => line)).toEqual(bad.map((_, i) => i + 3));
    for (const [i, { code, message, help }] of errors.entries()) {
      expect(code).toBe('E_PROTOCOL');
      expect(`${message}\n${help}`).toContain(HOSTILE_MESSAGES[i]![1]);
      expect(help).toMatch(/\S/);
    }
    // Both trials count, each with what it was told first.
    expect(answers.at(-1)).toMatchObject({ conclusion: { best: { score: 2 } } });
  });

  it('a driver that scores has to say which scores are better', async () => {
    const folder = temporaryFolder();
    writeRun(join(folder, 'run'), steadyEntries(2));
    const { code, stdout, stderr } = await runCli(['search', 'run', '--ask-tell', '-o', 'out'], { cwd: folder });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^error\[E_GOAL\]: .*The driver scores.*\n {2}help: .*--goal/);
    expect(readdirSync(folder)).toEqual(['run']);
  });

  it('has at least 40 distinct cases of code and place', () => {
    expect(new Set(CASES.map(({ code, place }) => `${code} ${place}`)).size).toBe(CASES.length);
    expect(CASES.length).toBeGreaterThanOrEqual(40);
  });
});

afterAll(() => {
  const rows = done.map(({ case: { code, exit, place, what }, problems }) =>
    [problems.length === 0 ? 'ok  ' : 'FAIL', code.padEnd(24), String(exit), place.padEnd(56), what.slice(0, 70)].join('  '),
  );
  process.stdout.write(`${[`${rows.length} cases (code, exit code, place, fault):`, ...rows].join('\n')}\n`);
});
