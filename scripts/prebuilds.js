// Builds the addon that releases carry, for each platform of Linux, into prebuilds/: against glibc 2.28, so that
// it loads on Debian 10, Ubuntu 20.04, RHEL 8 and what came after, from any machine. Needs zig, which brings the
// libraries of every target (`pip install ziglang`, or ZIG names one), CMake, and make or ninja; `npm ci` first.
// node scripts/prebuilds.js [linux-x64 linux-arm64]
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { digestOf, NATIVE_SOURCES, sha256 } from './digest.js';
import { highestGlibc, isAtMost, machineOf } from './elf.js';

const GLIBC = '2.28';
const TARGETS = { 'linux-x64': 'x86_64', 'linux-arm64': 'aarch64' };

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const asked = process.argv.slice(2);
const platforms = asked.length === 0 ? Object.keys(TARGETS) : asked;
const unknown = platforms.filter((name) => !Object.hasOwn(TARGETS, name));
if (unknown.length > 0) fail(`There is no ${unknown.join(', ')}: ${Object.keys(TARGETS).join(', ')}.`);
const zig = findZig() ?? fail('There is no zig: `pip install ziglang`, or name one in the variable ZIG.');

for (const platform of platforms) build(platform, TARGETS[platform]);

function build(platform, machine) {
  const folder = `build/prebuild-${platform}`;
  const output = join(folder, 'Release');
  const includes = ['node-api-headers/include', 'node-addon-api'].map((path) => join(process.cwd(), 'node_modules', path)).join(';');
  const definitions = {
    CMAKE_SYSTEM_NAME: 'Linux',
    CMAKE_SYSTEM_PROCESSOR: machine,
    CMAKE_BUILD_TYPE: 'Release',
    CMAKE_JS_INC: includes,
    CMAKE_LIBRARY_OUTPUT_DIRECTORY: join(process.cwd(), output),
  };
  const env = { ...process.env, CXX: `${zig} c++ -target ${machine}-linux-gnu.${GLIBC}` };
  run('cmake', ['-S', '.', '-B', folder, ...Object.entries(definitions).map(([key, value]) => `-D${key}=${value}`)], env);
  run('cmake', ['--build', folder, '--target', 'ckpt_merge', '--parallel', String(availableParallelism())], env);
  const binary = join(output, 'ckpt_merge.node');
  const bytes = readFileSync(binary);
  if (machineOf(bytes) !== machine) fail(`${binary} is for ${machineOf(bytes)}, not for ${machine}`);
  const highest = highestGlibc(bytes);
  if (highest === null || !isAtMost(highest, GLIBC)) fail(`${binary} needs glibc ${highest}, not ${GLIBC} at most`);
  mkdirSync('prebuilds', { recursive: true });
  copyFileSync(binary, `prebuilds/${platform}.node`);
  writeFileSync(join(folder, 'stamp'), `${digestOf(NATIVE_SOURCES)} ${sha256(bytes)}`);
  console.log(`prebuilds/${platform}.node: ${machine}, needs glibc ${highest}, ${(bytes.length / 1e6).toFixed(2)} MB`);
}

function run(command, args, env) {
  const { status, error } = spawnSync(command, args, { env, stdio: ['ignore', 2, 2] });
  if (status !== 0) fail(`${command} ended with ${status ?? error?.message}`);
}

function findZig() {
  const module = 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))';
  const python = spawnSync('python3', ['-c', module], { encoding: 'utf8' });
  const names = [process.env.ZIG, 'zig', python.status === 0 ? python.stdout.trim() : undefined];
  return names.find((name) => name && spawnSync(name, ['version'], { stdio: 'ignore' }).status === 0);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
