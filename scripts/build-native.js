// Builds the native addon into build/Release/ckpt_merge.node where it is not up to date. Deletes nothing,
// downloads nothing.
//   --check     only say whether the tools are there
//   --prebuild  copy the binary to prebuilds/<platform>-<arch>[-musl].node as well, for packing
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { digestOf, NATIVE_SOURCES, sha256 } from './digest.js';
import { highestGlibc } from './elf.js';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

const binary = 'build/Release/ckpt_merge.node';
const stamp = 'build/native.stamp';

if (process.argv.includes('--check')) {
  requireTools();
} else {
  build();
  if (process.argv.includes('--prebuild')) copyPrebuild();
}

function build() {
  const digest = digestOf(NATIVE_SOURCES);
  if (existsSync(binary) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  requireTools();
  forgetMovedCache();
  const jobs = String(availableParallelism());
  const { status } = spawnSync(process.execPath, ['node_modules/cmake-js/bin/cmake-js', 'build', '--parallel', jobs], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  writeFileSync(stamp, digest);
}

function requireTools() {
  const missing = [];
  if (!runs(['cmake'])) missing.push('CMake');
  if (!runs(process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'])) missing.push('a C++17 compiler');
  if (!runs(['ninja', 'make'])) missing.push('make or ninja');
  if (missing.length === 0) return;
  console.error(`The native addon cannot be built: ${missing.join(' and ')} could not be found. Install, then run the same command again:
  Debian, Ubuntu   apt install build-essential cmake
  Fedora, RHEL     dnf install gcc-c++ make cmake
  macOS            xcode-select --install && brew install cmake`);
  process.exit(1);
}

/** Whether one of these programs is there. */
function runs(programs) {
  return programs.some((program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0);
}

/** CMake refuses a cache made in another place; a checkout that was moved or copied starts afresh. */
function forgetMovedCache() {
  const cache = 'build/CMakeCache.txt';
  if (!existsSync(cache)) return;
  const home = /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(readFileSync(cache, 'utf8'))?.[1];
  if (`${home}/` !== root) rmSync(cache);
}

function copyPrebuild() {
  const musl = process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime === undefined;
  const platform = `${process.platform}-${process.arch}${musl ? '-musl' : ''}`;
  const target = `prebuilds/${platform}.node`;
  if (isPortable(platform, target)) return;
  mkdirSync('prebuilds', { recursive: true });
  copyFileSync(binary, target);
  const needed = highestGlibc(readFileSync(binary));
  console.error(`${target}${needed === null ? '' : ` needs glibc ${needed} or newer`}`);
}

/** Whether `scripts/prebuilds.js` made what is there, of these sources: it loads on older machines than this one's. */
function isPortable(platform, target) {
  const made = `build/prebuild-${platform}/stamp`;
  if (!existsSync(made) || !existsSync(target)) return false;
  return readFileSync(made, 'utf8') === `${digestOf(NATIVE_SOURCES)} ${sha256(readFileSync(target))}`;
}
