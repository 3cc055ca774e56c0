import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What the addon is made from. */
export const NATIVE_SOURCES = [
  'native',
  'cmake',
  'CMakeLists.txt',
  'node_modules/cmake-js/package.json',
  'node_modules/node-addon-api/package.json',
];

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** SHA-256 of files and of all files below folders, names included: what a build was made from. */
export function digestOf(paths) {
  const hash = createHash('sha256');
  for (const path of paths.flatMap(files).sort()) hash.update(`${path}\0`).update(readFileSync(path));
  return hash.digest('hex');
}

function files(path) {
  return statSync(path).isDirectory() ? readdirSync(path).flatMap((name) => files(join(path, name))) : [path];
}
