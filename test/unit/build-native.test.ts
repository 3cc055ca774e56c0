import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const script = fileURLToPath(new URL('../../scripts/build-native.js', import.meta.url));

test('without tools the build says what to install where, and fails', () => {
  const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8', env: { PATH: '/nonexistent' } });
  expect(status).toBe(1);
  expect(stderr).toContain('CMake and a C++17 compiler and make or ninja could not be found');
  for (const line of [
    /Debian.*apt install build-essential cmake/,
    /Fedora.*dnf install gcc-c\+\+ make cmake/,
    /macOS.*xcode-select --install/,
  ]) {
    expect(stderr).toMatch(line);
  }
});
