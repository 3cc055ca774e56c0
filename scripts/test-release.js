// Publishes what was packed to a registry of its own on this machine, and installs it from there as a user does: npm's
// tarball into an empty project whose PATH has Node and npm alone, and, where one is given, the wheel into a fresh
// environment, from a folder. Dependencies come through the registry that npm and pip use here. Runs the demo of both.
// node scripts/test-release.js TARBALL [WHEEL]
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, delimiter, join, resolve } from 'node:path';

/** The last that runs on Node 20. */
const VERDACCIO = 'verdaccio@6.3';
/** One of its dependencies is named by a tag that not every registry has. */
const OVERRIDES = { 'node-fetch': '^2.7.0' };
const [tarball, wheel] = process.argv.slice(2).map((path) => resolve(path));
const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'ckpt-merge-release-test-')));
let failed = 0;
let server;
try {
  await testNpm();
  if (wheel !== undefined) testWheel();
} catch (error) {
  check('the test itself', false, error.stack);
} finally {
  server?.kill();
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = failed === 0 ? 0 : 1;

async function testNpm() {
  const registry = await startRegistry();
  if (registry === null) return;
  const home = join(scratch, 'home');
  const tools = join(scratch, 'tools');
  const project = join(scratch, 'project');
  for (const path of [home, tools, project]) mkdirSync(path);
  for (const name of ['npm', 'npx', 'sh', 'env']) symlinkSync(which(name), join(tools, name));
  symlinkSync(process.execPath, join(tools, 'node'));
  // Anybody may publish there, but npm asks for some token.
  writeFileSync(join(home, '.npmrc'), `registry=${registry}\n${registry.replace('http:', '')}:_authToken=none\n`);
  writeFileSync(join(project, 'package.json'), '{ "private": true }\n');
  const env = { HOME: home, PATH: tools, LANG: 'C.UTF-8', TMPDIR: scratch };
  const run = (command, ...args) => spawnSync(join(tools, command), args, { cwd: project, env, encoding: 'utf8', timeout: 300_000 });
  const published = run('npm', 'publish', tarball, '--ignore-scripts');
  if (!check('npm publish, to a registry on this machine', published.status === 0, published.stderr)) return;
  const installed = run('npm', 'install', '--no-audit', '--no-fund', 'ckpt-merge');
  if (!check('npm install from there', installed.status === 0, installed.stderr)) return;
  check('which warns of nothing', !/\bwarn\b/i.test(installed.stderr), installed.stderr);
  for (const name of ['merge', 'ckpt-merge']) demo(`npx ${name} demo`, run('npx', '--no', '--', name, 'demo'));
}

/** The address of a registry that has what is published to it, and all else from the user's own; null without one. */
async function startRegistry() {
  const folder = join(scratch, 'registry');
  mkdirSync(folder);
  const npm = (...args) => spawnSync('npm', args, { encoding: 'utf8', cwd: folder });
  const uplink = npm('config', 'get', 'registry').stdout.trim();
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, overrides: OVERRIDES }));
  const fetched = npm('install', '--silent', '--no-audit', '--no-fund', VERDACCIO);
  if (fetched.status !== 0) {
    console.log(`skip ${VERDACCIO} could not be installed: ${fetched.stderr.split('\n')[0]}`);
    return null;
  }
  const port = await freePort();
  const config = {
    storage: join(folder, 'storage'),
    web: { enable: false },
    uplinks: { user: { url: uplink, timeout: '60s' } },
    packages: { 'ckpt-merge': { access: '$all', publish: '$all' }, '**': { access: '$all', proxy: 'user' } },
    log: { type: 'stdout', format: 'pretty', level: 'warn' },
  };
  // YAML takes JSON.
  writeFileSync(join(folder, 'config.yaml'), JSON.stringify(config));
  const address = `http://127.0.0.1:${port}/`;
  const args = ['--config', join(folder, 'config.yaml'), '--listen', `127.0.0.1:${port}`];
  server = spawn(process.execPath, [join(folder, 'node_modules/verdaccio/bin/verdaccio'), ...args], {
    cwd: folder,
    stdio: ['ignore', 2, 2],
  });
  for (let tries = 0; tries < 300; tries++) {
    const answer = await fetch(`${address}-/ping`).catch(() => null);
    if (answer?.ok) return address;
    await new Promise((later) => setTimeout(later, 200));
  }
  throw new Error('the registry did not start');
}

function freePort() {
  return new Promise((found) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => found(port));
    });
  });
}

/** Into a fresh environment that finds wheels in one folder alone; PATH has neither Node nor a compiler. */
function testWheel() {
  const wheels = join(scratch, 'wheels');
  mkdirSync(wheels);
  copyFileSync(wheel, join(wheels, basename(wheel)));
  const venv = join(scratch, 'venv');
  const made = spawnSync('python3', ['-m', 'venv', venv], { encoding: 'utf8' });
  if (made.status !== 0) return console.log(`skip no environment of Python could be made: ${made.stderr.split('\n')[0]}`);
  const pip = join(venv, 'bin/pip');
  const fetched = spawnSync(pip, ['download', '--quiet', '--dest', wheels, '--find-links', wheels, 'ckpt-merge'], { encoding: 'utf8' });
  if (!check('pip download', fetched.status === 0, fetched.stderr)) return;
  console.log(`     ${readdirSync(wheels).join(', ')}`);
  const installed = spawnSync(pip, ['install', '--quiet', '--no-index', '--find-links', wheels, 'ckpt-merge'], { encoding: 'utf8' });
  if (!check('pip install without an index', installed.status === 0, installed.stderr)) return;
  const env = { HOME: scratch, PATH: join(venv, 'bin'), LANG: 'C.UTF-8', TMPDIR: scratch };
  for (const name of ['merge', 'ckpt-merge']) {
    demo(
      `${name} demo of the wheel`,
      spawnSync(join(venv, 'bin', name), ['demo'], { cwd: scratch, env, encoding: 'utf8', timeout: 300_000 }),
    );
  }
}

function demo(what, { status, stdout, stderr }) {
  check(what, status === 0 && stdout.includes('verify agrees'), `${stdout}${stderr}`);
}

function which(name) {
  const folder = (process.env.PATH ?? '').split(delimiter).find((path) => existsSync(join(path, name)));
  if (folder === undefined) throw new Error(`${name} is not on PATH`);
  return join(folder, name);
}

function check(what, good, detail = '') {
  if (!good) failed++;
  console.log(`${good ? 'ok  ' : 'FAIL'} ${what}${good || detail === '' ? '' : `\n${detail.trim().replace(/^/gm, '       ')}`}`);
  return good;
}
