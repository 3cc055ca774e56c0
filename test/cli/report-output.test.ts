import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { fakeTerminal } from '../support/fake-terminal.ts';
import { temporaryFolder } from '../support/safetensors.ts';

const RUN = 'demo/runs/moe';

async function merge(...args: readonly string[]) {
  const terminal = fakeTerminal();
  const code = await main(args, terminal);
  return { code, ...terminal.written };
}

describe.each([
  ['diff', 'Nothing stands out'],
  ['routers', 'Experts kept their places'],
])('the report of merge %s', (command, headline) => {
  const report = (...more: readonly string[]) => merge(command, RUN, '--last', '2', ...more);

  it('goes to stdout, and as a page to a file', async () => {
    const folder = temporaryFolder();
    const page = join(folder, 'report.html');
    const { code, out, err } = await report('--out', page);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain(headline);
    expect(out.trimEnd().split('\n').at(-1)).toBe(`as a page: ${page}`);
    expect(readFileSync(page, 'utf8')).toMatch(/^<!doctype html>/);
    expect(readFileSync(page, 'utf8')).toContain(headline);
    expect(readdirSync(folder)).toEqual(['report.html']);
  });

  it('is one JSON document, with a page beside it where that is asked', async () => {
    const page = join(temporaryFolder(), 'report.html');
    const { code, out, err } = await report('--json', '--out', page);
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out)).toMatchObject({ schema: `ckpt-merge/${command}`, version: 1 });
    expect(existsSync(page)).toBe(true);
  });

  it('is the path of its page alone under --quiet, which needs one', async () => {
    const page = join(temporaryFolder(), 'report.html');
    expect(await report('-q', '--out', page)).toEqual({ code: 0, out: `${page}\n`, err: '' });
    const none = await report('-q');
    expect(none).toMatchObject({ code: 2, out: '' });
    expect(none.err).toContain('error[E_USAGE]: --quiet prints only the path of the page');
    expect((await report('-q', '--json', '--out', join(temporaryFolder(), 'x.html'))).code).toBe(2);
  });

  it('does not replace a file but by force, and says so before the work', async () => {
    const page = join(temporaryFolder(), 'report.html');
    const mine = '<meta name="generator" content="ckpt-merge 0.1.0">mine';
    writeFileSync(page, mine);
    const refused = await report('--json', '--out', page);
    expect(refused.code).toBe(4);
    expect(JSON.parse(refused.out)).toMatchObject({ schema: 'ckpt-merge/error', code: 'E_OUTPUT_EXISTS', details: { file: page } });
    expect(readFileSync(page, 'utf8')).toBe(mine);
    // What is asked about is not even looked for.
    expect((await merge(command, 'nowhere', '--out', page)).code).toBe(4);
    expect((await report('--force', '--out', page)).code).toBe(0);
    expect(readFileSync(page, 'utf8')).toContain(headline);
    // What this program did not write stays, whatever is asked.
    writeFileSync(page, 'a thesis');
    expect((await report('--force', '--out', page)).err).toContain('is no page of this program');
    expect(readFileSync(page, 'utf8')).toBe('a thesis');
  });

  it.each(['/nowhere/report.html', '/proc/report.html'])('that cannot be written to %s is an error with 1', async (page) => {
    const { code, out, err } = await report('--out', page);
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(/^error\[E_(IO|READ_ONLY)\]: could not (create|write) /);
    expect(err).toContain(page);
    expect(existsSync('/nowhere')).toBe(false);
  });

  it('that fails leaves no page', async () => {
    const folder = temporaryFolder();
    const { code } = await merge(command, 'nowhere', '--out', join(folder, 'report.html'));
    expect(code).toBe(3);
    expect(readdirSync(folder)).toEqual([]);
  });
});

it.each([
  ['diff', ['demo/runs/moe/checkpoint-6000'], 2, 'E_OPTION'],
  ['diff', ['demo/runs/moe/checkpoint-6000', 'demo/runs/dense/checkpoint-6000'], 3, 'E_CONFLICTS'],
  ['routers', ['demo/runs/moe/checkpoint-6000'], 2, 'E_OPTION'],
  ['routers', ['demo/runs/dense', '--last', '2'], 3, 'E_NO_ROUTERS'],
  ['routers', ['demo/runs/moe/checkpoint-6000', 'demo/runs/dense/checkpoint-6000'], 3, 'E_NO_ROUTERS'],
])('merge %s %j --json ends with %i and is one document that says %s', async (command, args, exit, expected) => {
  const page = join(temporaryFolder(), 'report.html');
  const { code, out } = await merge(command, ...args, '--json', '--out', page);
  expect(code).toBe(exit);
  expect(JSON.parse(out)).toMatchObject({ schema: 'ckpt-merge/error', code: expected });
  expect(existsSync(page)).toBe(false);
});
