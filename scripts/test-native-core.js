// Builds the core and its C++ tests without Node and runs them: plain, with the address and
// undefined-behaviour sanitizers, with the thread sanitizer, and for 64-bit Arm under qemu. What the machine
// lacks is skipped, and the reason printed. Arguments pick some of: plain, asan, tsan, arm64.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const builds = [
  { name: 'plain', folder: 'build-core', sanitize: '' },
  { name: 'asan', folder: 'build-asan', sanitize: 'address,undefined' },
  { name: 'tsan', folder: 'build-tsan', sanitize: 'thread' },
  { name: 'arm64', folder: 'build-arm64', sanitize: '', toolchain: 'cmake/aarch64-linux.cmake' },
];
const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !builds.some((build) => build.name === name));
if (unknown.length > 0) {
  console.error(`There is no build named ${unknown.join(', ')}; there are ${builds.map((build) => build.name).join(', ')}.`);
  process.exit(2);
}

const jobs = String(availableParallelism());
for (const { name, folder, sanitize, toolchain } of builds) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  const missing = toolchain === undefined ? missingSanitizer(sanitize) : missingCrossTools();
  if (missing !== null) {
    console.log(`${name}: skipped: ${missing}`);
    continue;
  }
  const options = [`-DCKPT_SANITIZE=${sanitize}`, `-DCMAKE_BUILD_TYPE=${sanitize === '' ? 'Release' : 'RelWithDebInfo'}`];
  if (toolchain !== undefined) options.push(`-DCMAKE_TOOLCHAIN_FILE=${toolchain}`);
  run('cmake', '-S', '.', '-B', folder, '-DCKPT_TESTS=ON', ...options);
  run('cmake', '--build', folder, '--parallel', jobs);
  run('ctest', '--test-dir', folder, '--output-on-failure', '--parallel', jobs);
  console.log(`${name}: passed`);
}

/** What a build for another architecture lacks here, or null. */
function missingCrossTools() {
  const missing = ['aarch64-linux-gnu-g++', 'qemu-aarch64'].filter((tool) => spawnSync(tool, ['--version']).status !== 0);
  return missing.length === 0 ? null : `${missing.join(' and ')} not installed (Debian: g++-aarch64-linux-gnu, qemu-user)`;
}

/** Why a sanitizer cannot be used here, or null where it can. */
function missingSanitizer(sanitize) {
  if (sanitize === '') return null;
  const dir = mkdtempSync(join(tmpdir(), 'ckpt-sanitizer-'));
  try {
    writeFileSync(join(dir, 'empty.cpp'), 'int main() { return 0; }\n');
    const binary = join(dir, 'empty');
    const compiled = spawnSync(process.env.CXX ?? 'c++', [`-fsanitize=${sanitize}`, join(dir, 'empty.cpp'), '-o', binary], {
      encoding: 'utf8',
    });
    if (compiled.error !== undefined) return 'there is no C++ compiler';
    if (compiled.status !== 0) return `the compiler has no runtime for -fsanitize=${sanitize}`;
    const ran = spawnSync(binary, [], { encoding: 'utf8' });
    return ran.status === 0 ? null : `a program built with -fsanitize=${sanitize} does not start here: ${ran.stderr.split('\n')[0]}`;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function run(command, ...args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return;
  console.error(error?.message ?? stdout + stderr);
  process.exit(1);
}
