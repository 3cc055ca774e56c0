// Builds the addon from bindings.gyp with node-gyp, in build-gyp/ beside the CMake build, and loads the
// result once. node-gyp insists on a file named binding.gyp; it is written there for the command only, so
// that no package manager ever finds one at the top. Where node-gyp, Python or Node's headers are missing the
// reason is printed and nothing is built.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'build-gyp');
const entry = join(folder, 'binding.gyp');

const nodeGyp = findNodeGyp();
const headers = findHeaders();
if (nodeGyp === undefined) skip('node-gyp is not on PATH and npm does not carry one');
if (headers === undefined) skip('the headers of Node are not installed: set npm_config_nodedir to a folder with include/node/node_api.h');
if (spawnSync('python3', ['--version']).status !== 0) skip('node-gyp needs Python 3');

mkdirSync(folder, { recursive: true });
for (const name of ['bindings.gyp', 'cmake', 'native', 'node_modules', 'package.json']) {
  if (!existsSync(join(folder, name))) symlinkSync(join(root, name), join(folder, name));
}
try {
  writeFileSync(entry, "{ 'includes': ['bindings.gyp'] }\n");
  run(process.execPath, nodeGyp, 'configure', 'build', '--jobs=max', `--nodedir=${headers}`);
} finally {
  rmSync(entry, { force: true });
}
const binary = join(folder, 'build/Release/ckpt_merge.node');
run(process.execPath, '-e', 'console.log(require(process.argv[1]).cpuInfo())', binary);
console.log(`built ${binary}`);

function findNodeGyp() {
  const npm = process.env.npm_execpath ?? join(dirname(process.execPath), '../lib/node_modules/npm/bin/npm-cli.js');
  const places = [
    join(dirname(npm), '../node_modules/node-gyp/bin/node-gyp.js'),
    ...(process.env.PATH ?? '').split(delimiter).map((path) => join(path, 'node-gyp')),
  ];
  // Under `npm run` npm puts a shell script of that name on PATH: only JavaScript can be handed to node.
  return places
    .filter((path) => existsSync(path))
    .map((path) => realpathSync(path))
    .find((path) => path.endsWith('.js'));
}

function findHeaders() {
  const places = [process.env.npm_config_nodedir, join(dirname(process.execPath), '..')];
  return places.find((path) => path !== undefined && path !== '' && existsSync(join(path, 'include/node/node_api.h')));
}

function skip(reason) {
  console.log(`build:gyp skipped: ${reason}`);
  process.exit(0);
}

function run(command, ...args) {
  const { status } = spawnSync(command, args, { cwd: folder, stdio: 'inherit' });
  if (status === 0) return;
  rmSync(entry, { force: true });
  process.exit(1);
}
