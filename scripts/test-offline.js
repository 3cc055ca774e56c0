// Runs an offline tarball as somebody does who has nothing else: unpacked into an empty root with libc and a shell
// (as root of a new user namespace where that is allowed, else with an empty PATH alone), without a network. That of
// another machine runs under qemu-user, or is skipped with the reason.
// node scripts/test-offline.js TARBALL
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { machineOf } from './elf.js';

const HERE = { x64: 'x86_64', arm64: 'aarch64' }[process.arch];
const tarball = resolve(process.argv[2] ?? '');
const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'ckpt-merge-offline-test-')));
let failed = 0;
try {
  main();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = failed === 0 ? 0 : 1;

function main() {
  const root = join(scratch, 'root');
  mkdirSync(join(root, 'opt'), { recursive: true });
  const unpacked = spawnSync('tar', ['--extract', '--file', tarball, '--directory', join(root, 'opt')], { encoding: 'utf8' });
  if (!check('it can be unpacked', unpacked.status === 0, unpacked.stderr)) return;
  const [name] = readdirSync(join(root, 'opt'));
  const folder = join(root, 'opt', name);
  const { version } = JSON.parse(readFileSync(join(folder, 'package/package.json'), 'utf8'));
  const machine = machineOf(readFileSync(join(folder, 'node/bin/node')));
  const runner = machine === HERE ? bareRoot(root, name) : emulated(folder, machine);
  if (runner === null) return;
  const said = runner('--version');
  check(`--version says ${version}`, said.status === 0 && said.stdout.trim() === version, said.stdout + said.stderr);
  const inputs = ['5800', '6000'].map((step) => `${runner.folder}/package/demo/runs/dense/checkpoint-${step}`);
  const merged = runner('average', ...inputs, '-o', `${runner.work}/merged`);
  check('it merges', merged.status === 0, merged.stdout + merged.stderr);
  const verified = runner('verify', `${runner.work}/merged`, '--full', ...inputs.flatMap((input) => ['--input', input]));
  check('and verify agrees', verified.status === 0, verified.stdout + verified.stderr);
  // A minute under emulation, and it would show nothing more.
  const demo = machine === HERE ? runner('demo') : null;
  if (demo !== null) check('the demo runs', demo.status === 0 && demo.stdout.includes('verify agrees'), demo.stdout + demo.stderr);
  const wrong = runner('average', 'nowhere', '-o', 'out');
  check('a mistake is told as such', wrong.status === 3 && wrong.stderr.includes('nowhere'), wrong.stdout + wrong.stderr);
}

/** Runs the launcher in a root that has nothing but libc and a shell, and in it no network. */
function bareRoot(root, name) {
  for (const path of ['bin', 'tmp', 'dev', 'proc']) mkdirSync(join(root, path));
  for (const program of ['/bin/sh', '/usr/bin/readlink', join(root, 'opt', name, 'node/bin/node')]) {
    const { stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
    for (const [path] of stdout.matchAll(/\/\S+/g)) {
      if (!existsSync(path) || existsSync(join(root, path))) continue;
      mkdirSync(join(root, dirname(path)), { recursive: true });
      copyFileSync(path, join(root, path));
    }
    if (!program.startsWith(root)) copyFileSync(program, join(root, 'bin', program.split('/').at(-1)));
  }
  // The launcher follows links.
  symlinkSync(`../opt/${name}/bin/merge`, join(root, 'bin/merge'));
  const enter = ['--user', '--map-root-user', '--net', '--mount', '--pid', '--fork'];
  const can = spawnSync('unshare', [...enter, 'chroot', root, '/bin/sh', '-c', 'exit 7']).status === 7;
  const env = { PATH: '/bin', HOME: '/tmp', TMPDIR: '/tmp', LANG: 'C' };
  if (!can) {
    console.log('     an empty root cannot be entered here: run with an empty PATH, and with a network');
    const own = { cwd: scratch, encoding: 'utf8', env: { ...env, HOME: scratch, TMPDIR: scratch } };
    return runs((...args) => spawnSync(join(root, 'opt', name, 'bin/merge'), args, own), join(root, 'opt', name), scratch);
  }
  const devices = ['null', 'urandom'];
  for (const device of devices) writeFileSync(join(root, 'dev', device), '');
  const mounts = [...devices.map((device) => `mount --bind /dev/${device} ${root}/dev/${device}`), `mount -t proc proc ${root}/proc`];
  const script = [...mounts, `exec chroot ${root} /bin/merge "$@"`].join(' && ');
  const own = { encoding: 'utf8', env: { ...env, PATH: `${process.env.PATH}:/bin` } };
  return runs((...args) => spawnSync('unshare', [...enter, 'sh', '-c', script, 'sh', ...args], own), `/opt/${name}`, '/tmp');
}

function emulated(folder, machine) {
  const qemu = `qemu-${machine}`;
  const libraries = `/usr/${machine}-linux-gnu`;
  if (spawnSync(qemu, ['--version']).status !== 0 || !existsSync(libraries)) {
    console.log(`skip it is for ${machine}, and there is no ${qemu} with ${libraries} here`);
    return null;
  }
  const program = ['-L', libraries, join(folder, 'node/bin/node'), join(folder, 'package/bin/merge.js')];
  return runs((...args) => spawnSync(qemu, [...program, ...args], { cwd: scratch, encoding: 'utf8' }), folder, scratch);
}

/** How the program is run, and as it sees them its own folder and one to work in. */
function runs(run, folder, work) {
  return Object.assign(run, { folder, work });
}

function check(what, good, detail = '') {
  if (!good) failed++;
  console.log(`${good ? 'ok  ' : 'FAIL'} ${what}${good || detail === '' ? '' : `\n${detail.trim().replace(/^/gm, '       ')}`}`);
  return good;
}
