import { readdirSync, readlinkSync } from 'node:fs';

/**
 * Descriptors of this process that are of a folder or of what lies in it: other tests of the same process have
 * their own. Only where there is /proc.
 */
export function descriptorsIn(folder: string): number {
  return readdirSync('/proc/self/fd').filter((name) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${name}`);
      return path === folder || path.startsWith(`${folder}/`);
    } catch (error) {
      // Deeper than a path can say; others were closed meanwhile.
      return (error as NodeJS.ErrnoException).code === 'ENAMETOOLONG';
    }
  }).length;
}
