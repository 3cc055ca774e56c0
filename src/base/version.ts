import { readFileSync } from 'node:fs';
import { packageRoot } from './package-root.ts';

/** Version of this package, from its package.json. */
export const version: string = JSON.parse(readFileSync(`${packageRoot}package.json`, 'utf8')).version;
