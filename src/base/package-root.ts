import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * The package's own folder, ending in a slash. It is looked for, because sources, modules and bundle lie at
 * different depths below it.
 */
export const packageRoot: string = fileURLToPath(nearestManifest(new URL('.', import.meta.url)));

function nearestManifest(folder: URL): URL {
  return existsSync(new URL('package.json', folder)) ? folder : nearestManifest(new URL('..', folder));
}

/** A file of the package's own. @param name relative to its folder */
export function packageFile(name: string): string {
  return readFileSync(`${packageRoot}${name}`, 'utf8');
}
