import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';
import { BIN } from '../support/run-cli.ts';

const folder = temporaryFolder();
const cwd = folder.path;
afterAll(() => folder.remove());

/** Some file systems hold no such names: then nobody can meet one. */
let holdsSuchNames = true;

beforeAll(() => {
  for (const step of [100, 200]) {
    writeCheckpoint(join(cwd, 'run', `checkpoint-${step}`), [[{ name: 'lm_head.weight', dtype: 'BF16', shape: [8, 8] }]], step);
  }
  try {
    execFileSync('sh', ['-c', `cp -r run/checkpoint-200 "run/checkpoint-$(printf '3\\377')"`], { cwd, stdio: 'ignore' });
  } catch {
    holdsSuchNames = false;
  }
});

/** The command line as a shell reads it: Node cannot hand on words that are no UTF-8. */
function shell(line: string): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', `"$0" "$1" ${line}`, process.execPath, BIN], { cwd, encoding: 'utf8' });
  return { code: status, stdout, stderr };
}

describe.skipIf(process.platform !== 'linux')('a name that is not UTF-8', () => {
  it('of an input is told as the reason that it cannot be opened', ({ skip }) => {
    if (!holdsSuchNames) skip('this file system holds no such names');
    const { code, stderr } = shell(`average run/checkpoint-100 "run/checkpoint-$(printf '3\\377')" -o out`);
    expect(code).toBe(3);
    expect(stderr).toMatch(/^error\[E_NOT_FOUND\]: run\/checkpoint-3\ufffd: its name is not UTF-8/);
    expect(stderr).toMatch(/help: Rename it/);
  });

  it('in a run is told where the run is listed', ({ skip }) => {
    if (!holdsSuchNames) skip('this file system holds no such names');
    const { code, stdout } = shell('ls run');
    expect(code).toBe(0);
    expect(stdout).toMatch(/checkpoint-3\ufffd .*not usable: .*its name is not UTF-8/);
  });

  it('of an output is refused, for another name would be made', () => {
    const { code, stderr } = shell(`average run/checkpoint-100 run/checkpoint-200 -o "out$(printf '\\377')"`);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error\[E_OUTPUT_KIND\]: the output out\ufffd has a name that is not UTF-8/);
    expect(readdirSync(cwd)).toEqual(['run']);
  });
});
