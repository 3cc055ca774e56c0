// Builds what is not up to date: TypeScript into dist/ and its bundle, the addon into build/. `npm ci` and
// the first `npx` in a clone run it, so it is quick when there is nothing to do, and it deletes nothing but
// parts of an earlier bundle.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { digestOf } from './digest.js';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

const tsc = 'node_modules/typescript/bin/tsc';
if (!existsSync(tsc)) {
  console.error('The development dependencies are not installed, so there is nothing to build with: run `npm ci` first.');
  process.exit(1);
}

const stamp = 'build/typescript.stamp';
const digest = digestOf(['src', 'tsconfig.json', 'package-lock.json', 'scripts/bundle.js']);
if (!existsSync('dist/bundle/main.js') || !existsSync(stamp) || readFileSync(stamp, 'utf8') !== digest) {
  run(tsc, '-p', '.');
  run('scripts/bundle.js');
  mkdirSync('build', { recursive: true });
  writeFileSync(stamp, digest);
}
run('scripts/build-native.js');

function run(...args) {
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
