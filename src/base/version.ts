import { packageFile } from './package-root.ts';

/** Version of this package, from its package.json. */
export const version: string = JSON.parse(packageFile('package.json')).version;
