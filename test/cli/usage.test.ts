import { describe, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { fakeTerminal } from '../support/fake-terminal.ts';

/**
 * Runs a command line in this process: starting Node once for each of these would take most of the time of
 * the whole suite.
 */
async function run(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const terminal = fakeTerminal();
  const code = await main(args, terminal);
  return { code, stdout: terminal.written.out, stderr: terminal.written.err };
}

/**
 * Command lines that are refused before anything is looked at, with the code and what the message must name.
 */
const REFUSED: readonly (readonly [string, readonly string[], string, RegExp])[] = [
  ['unknown command', ['frobnicate'], 'E_USAGE', /unknown command 'frobnicate'/],
  ['misspelt command', ['avrage', 'a', '-o', 'x'], 'E_USAGE', /Did you mean average\?/],
  ['help for an unknown command', ['help', 'frobnicate'], 'E_USAGE', /unknown command 'frobnicate'/],
  ['path instead of a command', ['.', '-o', 'x'], 'E_USAGE', /merge average \. -o x/],
  ['unknown option', ['average', 'a', '--frob', '-o', 'x'], 'E_USAGE', /unknown option '--frob'/],
  ['misspelt option', ['average', 'a', '--outptu', 'x'], 'E_USAGE', /Did you mean --output\?/],
  ['unknown option of the program', ['--frob'], 'E_USAGE', /unknown option '--frob'/],
  ['no inputs', ['average', '-o', 'x'], 'E_USAGE', /missing required argument 'input'/],
  ['no output', ['average', 'a', 'b'], 'E_USAGE', /-o OUT/],
  ['a URL as output', ['average', 'a', '-o', 's3://bucket/x'], 'E_OPTION', /--output s3:\/\/bucket\/x: lies in an object store/],
  ['a URL as a folder', ['search', 'a', '--work', 'gs://b/x', '-o', 'y'], 'E_OPTION', /--work gs:/],
  ['output without its value', ['average', 'a', '-o'], 'E_USAGE', /--output/],
  ['output followed by an option', ['average', 'a', '-o', '--force'], 'E_USAGE', /--output needs a path, but '--force'/],
  ['empty output', ['average', 'a', '-o', ''], 'E_OPTION', /--output/],
  ['empty input', ['average', 'a', '', '-o', 'x'], 'E_USAGE', /empty/],
  ['option given twice', ['average', 'a', '-o', 'x', '-o', 'y'], 'E_USAGE', /--output is given twice/],
  ['unknown method', ['average', 'a', '-o', 'x', '--method', 'mean'], 'E_OPTION', /sma, wma, ema/],
  ['alpha of 0', ['average', 'a', '-o', 'x', '--method', 'ema', '--alpha', '0'], 'E_OPTION', /--alpha/],
  ['alpha over 1', ['average', 'a', '-o', 'x', '--method', 'ema', '--alpha', '1.1'], 'E_OPTION', /--alpha/],
  ['weight that is no number', ['average', 'a', 'b', '-o', 'x', '--weights', '1,x'], 'E_WEIGHTS', /'x'/],
  ['weights behind -w=', ['average', 'a', 'b', '-o', 'x', '-w=-0.5,1.5'], 'E_USAGE', /Write -w -0\.5,1\.5, or --weights=-0\.5,1\.5\./],
  ['output behind -o=', ['average', 'a', 'b', '-o=merged'], 'E_USAGE', /Write -o merged, or --output=merged\./],
  ['infinite weight', ['average', 'a', 'b', '-o', 'x', '--weights=-inf,1'], 'E_WEIGHTS', /'-inf'/],
  ['NaN beside a path', ['average', 'a:nan', '-o', 'x'], 'E_WEIGHTS', /the weight of a/],
  ['weights in two places', ['average', 'a:1', 'b:1', '-o', 'x', '--weights', '1,1'], 'E_USAGE', /--weights/],
  ['a weight for some inputs only', ['average', 'a:1', 'b', '-o', 'x'], 'E_USAGE', /b carries none/],
  ['no threads', ['average', 'a', '-o', 'x', '--threads', '0'], 'E_OPTION', /--threads/],
  ['half a thread', ['average', 'a', '-o', 'x', '--threads', '0.5'], 'E_OPTION', /--threads/],
  ['unknown unit', ['average', 'a', '-o', 'x', '--memory', '4 potatoes'], 'E_OPTION', /256MiB/],
  ['a rate of minutes', ['average', 'a', '-o', 'x', '--max-read', '4GB/min'], 'E_OPTION', /--max-read takes bytes a second/],
  ['no request in flight', ['average', 'a', '-o', 'x', '--io-depth', '0'], 'E_OPTION', /--io-depth/],
  ['unknown dtype', ['average', 'a', '-o', 'x', '--dtype', 'int8'], 'E_OPTION', /BF16, F16, F32, F64/],
  ['unknown io mode', ['average', 'a', '-o', 'x', '--io', 'mmap'], 'E_OPTION', /auto, map, read/],
  ['unknown cache mode', ['average', 'a', '-o', 'x', '--cache', 'none'], 'E_OPTION', /auto, keep, drop/],
  ['unknown progress mode', ['average', 'a', '-o', 'x', '--progress', 'bar'], 'E_OPTION', /auto, tty, lines, json, none/],
  ['two output modes', ['average', 'a', '-o', 'x', '--json', '-q'], 'E_USAGE', /--json and --quiet/],
  ['too many arguments', ['inspect', 'a', 'b'], 'E_USAGE', /too many arguments/],
  ['nothing to inspect', ['inspect'], 'E_USAGE', /checkpoint/],
  ['full and a sample', ['verify', 'a', '--full', '--sample', '0.5'], 'E_USAGE', /--full and --sample/],
  ['more than everything', ['verify', 'a', '--sample', '1.5'], 'E_OPTION', /--sample/],
  ['unknown shell', ['completion', 'tcsh'], 'E_USAGE', /bash, zsh, fish/],
  ['option after --', ['inspect', '--', '--json', 'b'], 'E_USAGE', /too many arguments/],
];

describe('a command line that cannot be', () => {
  it.each(REFUSED)('%s', async (_, args, code, names) => {
    const result = await run(args);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(new RegExp(`^error\\[${code}\\]: `));
    expect(result.stderr).toMatch(names);
    expect(result.stderr).toMatch(/^ {2}help: ./m);
    expect(result.stderr).not.toMatch(/^ +at /m);
    // Under --json an error is a document as well.
    if (!args.includes('--json') || args.includes('--')) expect(result.stdout).toBe('');
    else expect(JSON.parse(result.stdout)).toMatchObject({ schema: 'ckpt-merge/error', code });
  });

  it('is a JSON document too where one was asked for, wherever the error is', async () => {
    for (const args of [
      ['frobnicate', '--json'],
      ['average', 'a', '-o', 'x', '--threads', 'x', '--json'],
      ['inspect', '--json', 'nothing-here'],
    ]) {
      const { code, stdout, stderr } = await run(args);
      const document = JSON.parse(stdout) as Record<string, unknown>;
      expect(Object.keys(document)).toEqual(['schema', 'version', 'code', 'message', 'details', 'help']);
      expect(stderr).toContain(`error[${document.code}]: ${document.message}`);
      expect(code).toBe(args[0] === 'inspect' ? 3 : 2);
    }
  });

  it('shows a stack with --debug only', async () => {
    expect((await run(['inspect', 'nothing-here', '--debug'])).stderr).toMatch(/^ +at /m);
    expect((await run(['inspect', 'nothing-here'])).stderr).not.toMatch(/^ +at /m);
  });

  it('lets a path with a dash through behind --', async () => {
    const { code, stderr } = await run(['inspect', '--', '--json']);
    expect(code).toBe(3);
    expect(stderr).toContain('--json');
  });
});
