import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { BIN } from '../support/run-cli.ts';
import { temporaryFolder } from '../support/safetensors.ts';
import { systemTool } from '../support/system-tool.ts';
import { weightedRun } from '../support/weighted-run.ts';

/** As Kubernetes runs containers: a user id that no table has, and no HOME. */
const NOBODY = ['--reuid', '54321', '--regid', '54321', '--clear-groups'];

/** Null where it can be tried here, else why it cannot. */
function obstacle(): string | null {
  if (process.getuid?.() !== 0 || process.platform !== 'linux') return 'only root on Linux can be somebody else';
  const tried = spawnSync(systemTool('setpriv'), [...NOBODY, process.execPath, BIN, '--version']);
  return tried.status === 0 ? null : 'somebody else cannot read this checkout, or its Node';
}

it('a user whom the system does not know, without HOME, merges, replaces, searches and compares', (context) => {
  const why = obstacle();
  if (why !== null) context.skip(why);
  const folder = temporaryFolder();
  chmodSync(folder, 0o755);
  weightedRun(join(folder, 'run'), 3);
  const place = join(folder, 'place');
  mkdirSync(place);
  chmodSync(place, 0o777);
  const { HOME, USER, LOGNAME, XDG_CACHE_HOME, HF_HOME, ...env } = process.env;
  const merge = (...args: string[]) =>
    spawnSync(systemTool('setpriv'), [...NOBODY, process.execPath, BIN, ...args], { cwd: place, env, encoding: 'utf8' });
  const run = join(folder, 'run');
  const search = ['search', run, '--last', '2', '--eval', 'true {model}; echo 1', '--goal', 'minimize', '--trials', '2', '-o', 'best'];
  for (const args of [
    ['average', run, '-o', 'out'],
    ['average', run, '-o', 'out', '--force'],
    search,
    ['diff', run, '--out', 'page.html'],
  ]) {
    const { status, stderr } = merge(...args);
    expect([args[0], status, stderr.match(/error\[.*/)?.[0]]).toEqual([args[0], 0, undefined]);
  }
  expect(existsSync(join(place, 'best'))).toBe(true);
  expect(readFileSync(join(place, 'out/merge_provenance.json'), 'utf8')).not.toContain(folder);
});

it('a current folder that is gone is named, and another temp folder asked for where there is none', () => {
  const folder = temporaryFolder();
  const gone = join(folder, 'gone');
  mkdirSync(gone);
  const line = 'cd "$1" && rmdir "$1" && exec "$2" "$3" average run -o out';
  const lost = spawnSync('sh', ['-c', line, 'sh', gone, process.execPath, BIN], { encoding: 'utf8' });
  expect([lost.status, lost.stderr]).toEqual([
    3,
    expect.stringMatching(/error\[E_NOT_FOUND\]: the current folder is gone[\s\S]*help: Change to/),
  ]);
  const env = { ...process.env, TMPDIR: join(folder, 'nowhere') };
  const demo = spawnSync(process.execPath, [BIN, 'demo'], { encoding: 'utf8', env });
  expect(demo.stderr).toMatch(/nowhere[\s\S]*help: Set TMPDIR/);
  const doctor = spawnSync(process.execPath, [BIN, 'doctor', folder], { encoding: 'utf8', env });
  expect([doctor.status, doctor.stdout]).toEqual([0, expect.stringMatching(/^warn {2}temp folder .*nowhere/m)]);
});
