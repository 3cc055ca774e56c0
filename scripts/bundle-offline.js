// Makes one file for machines that reach no registry: a tarball with Node, the package with its dependencies, the
// addon and the demo, which runs where it is unpacked. Node is the binary of npm's package node-<platform>, or the
// one that --node names.
// node scripts/bundle-offline.js [--platform linux-x64] [--node FILE] [--out FOLDER]
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { sha256 } from './digest.js';
import { machineOf } from './elf.js';

const NODE_VERSION = '24';
const MACHINES = { 'linux-x64': 'x86_64', 'linux-arm64': 'aarch64' };

const { values } = parseArgs({
  options: {
    platform: { type: 'string', default: `linux-${process.arch}` },
    node: { type: 'string' },
    out: { type: 'string', default: '.' },
  },
});
const { platform } = values;
const out = resolve(values.out);
const givenNode = values.node === undefined ? null : resolve(values.node);
const machine = MACHINES[platform] ?? fail(`There is no ${platform}: ${Object.keys(MACHINES).join(', ')}.`);
process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const addon = resolve(`prebuilds/${platform}.node`);
if (!existsSync(addon)) fail(`There is no ${addon}: run \`npm run prebuilds\` first.`);
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const name = `ckpt-merge-${version}-${platform}`;
const scratch = mkdtempSync(join(tmpdir(), 'ckpt-merge-offline-'));
try {
  const folder = join(scratch, name);
  mkdirSync(join(folder, 'bin'), { recursive: true });
  mkdirSync(join(folder, 'node/bin'), { recursive: true });
  run(process.execPath, ['scripts/standalone.js', join(folder, 'package'), addon]);
  const node = givenNode === null ? fetchNode() : { binary: givenNode, licence: null };
  if (machineOf(readFileSync(node.binary)) !== machine) fail(`${node.binary} is not for ${machine}`);
  copyFileSync(node.binary, join(folder, 'node/bin/node'));
  chmodSync(join(folder, 'node/bin/node'), 0o755);
  if (node.licence !== null) copyFileSync(node.licence, join(folder, 'node/LICENSE'));
  cpSync('scripts/offline/launcher.sh', join(folder, 'bin/ckpt-merge'));
  chmodSync(join(folder, 'bin/ckpt-merge'), 0o755);
  symlinkSync('ckpt-merge', join(folder, 'bin/merge'));
  cpSync('docs/offline.md', join(folder, 'README.md'));
  cpSync('LICENSE', join(folder, 'LICENSE'));
  mkdirSync(out, { recursive: true });
  const tarball = join(out, `${name}.tar.gz`);
  // The same input gives the same bytes.
  const owner = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--mode=go=rX,u+w'];
  run('tar', ['--create', '--file', tarball, '--use-compress-program', 'gzip -n -9', ...owner, '--directory', scratch, name]);
  const bytes = readFileSync(tarball);
  writeFileSync(`${tarball}.sha256`, `${sha256(bytes)}  ${name}.tar.gz\n`);
  console.log(`${tarball}: ${(bytes.length / 1e6).toFixed(1)} MB`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** The binary of npm's package of Node for this platform, and its licence. */
function fetchNode() {
  const folder = join(scratch, 'fetched');
  mkdirSync(folder);
  run('npm', ['pack', '--silent', '--pack-destination', folder, `node-${platform}@${NODE_VERSION}`]);
  const [tarball] = readdirSync(folder);
  run('tar', ['--extract', '--file', join(folder, tarball), '--directory', folder, 'package/bin/node', 'package/LICENSE']);
  return { binary: join(folder, 'package/bin/node'), licence: join(folder, 'package/LICENSE') };
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`${command} ended with ${status ?? error?.message}`);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
