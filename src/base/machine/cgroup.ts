import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

/**
 * Folders that limit this process for one controller, its own group first, then every parent up to the top of
 * the mount.
 */
export interface CgroupFolders {
  readonly version: 1 | 2;
  readonly folders: readonly string[];
}

/**
 * Finds the cgroup folders of this process for a controller (`cpu`, `memory`), in both hierarchies: a machine
 * may have v1 controllers beside an empty v2 tree. Limits of parents bind too, so all levels are returned.
 * Nothing is thrown: outside Linux, or with /proc hidden, the list is empty.
 * @param root prefix of every path, so that tests can lay out a machine in a folder.
 */
export function cgroupFolders(controller: string, root = '/'): readonly CgroupFolders[] {
  const groups = systemLines(join(root, 'proc/self/cgroup')).map((line) => {
    const [, controllers = '', ...path] = line.split(':');
    return { controllers: controllers === '' ? [] : controllers.split(','), path: path.join(':') };
  });
  const found: CgroupFolders[] = [];
  for (const mount of cgroupMounts(root)) {
    if (mount.version === 1 && !mount.controllers.includes(controller)) continue;
    const group = groups.find((g) => (mount.version === 2 ? g.controllers.length === 0 : g.controllers.includes(controller)));
    if (group === undefined) continue;
    const folders = levels(mount.point, mount.root, group.path).map((folder) => join(root, folder));
    found.push({ version: mount.version, folders });
  }
  return found;
}

interface CgroupMount {
  readonly version: 1 | 2;
  readonly point: string;
  /** The group that the mount shows as its top; `/` unless a container bind-mounts its own group. */
  readonly root: string;
  readonly controllers: readonly string[];
}

function cgroupMounts(root: string): readonly CgroupMount[] {
  const mounts: CgroupMount[] = [];
  for (const line of systemLines(join(root, 'proc/self/mountinfo'))) {
    const [mounted = '', described = ''] = line.split(' - ');
    const [, , , mountRoot = '/', point = ''] = mounted.split(' ');
    const [type, , superOptions = ''] = described.split(' ');
    if (type === 'cgroup2') mounts.push({ version: 2, point: octalDecoded(point), root: octalDecoded(mountRoot), controllers: [] });
    if (type === 'cgroup')
      mounts.push({ version: 1, point: octalDecoded(point), root: octalDecoded(mountRoot), controllers: superOptions.split(',') });
  }
  return mounts;
}

/**
 * Folders from the group's own to the top of the mount. A group outside what the mount shows (a container's
 * view) is reached at the top only.
 */
function levels(point: string, mountRoot: string, group: string): readonly string[] {
  const inside = posix.relative(mountRoot, group);
  if (inside === '' || inside.startsWith('..')) return [point];
  const folders: string[] = [];
  for (let at = inside; at !== '.'; at = posix.dirname(at)) folders.push(posix.join(point, at));
  folders.push(point);
  return folders;
}

/** Undoes mountinfo's octal escapes of spaces, tabs, newlines and backslashes. */
function octalDecoded(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Lines of a small system file, or none where it cannot be read. */
export function systemLines(path: string): readonly string[] {
  return (
    readText(path)
      ?.split('\n')
      .filter((line) => line !== '') ?? []
  );
}

/** Text of a small system file without the final newline, or null where it cannot be read. */
export function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trimEnd();
  } catch {
    return null; // Absent on this system, or hidden by a container: the limit is simply not known.
  }
}
