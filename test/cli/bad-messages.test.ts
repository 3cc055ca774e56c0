import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HOSTILE_MESSAGES } from '../support/hostile-studies.ts';
import { runCli } from '../support/run-cli.ts';
import { steadyEntries, writeRun } from '../support/run-trees.ts';
import { temporaryFolder } from '../support/safetensors.ts';

describe('what bad messages to a driven search get', () => {
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
});
