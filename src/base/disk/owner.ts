import { join } from 'node:path';
import { MergeError } from '../errors.ts';
import { errnoOf } from './errno.ts';
import { readOwn, writeNewFile } from './own-file.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { removeTree } from './remove-tree.ts';
import { SYSTEM, type System } from './system.ts';

/**
 * Who works on a partial, and on what. Holds no host name; what `identityParts` are called is up to the
 * caller.
 */
export interface Owner extends ProcessIdentity {
  /** Another one each time that a partial changes hands. */
  readonly id: string;
  /** Name of the OUT it will become. */
  readonly name: string;
  readonly kind: 'folder' | 'file';
  readonly identity: string;
  /** The parts that `identity` is a digest of, by name, for saying what differs. */
  readonly identityParts: Readonly<Record<string, string>>;
  /** Digest of what was asked for, before anything was looked at; absent where nothing has one. */
  readonly request?: string | undefined;
  /** Folders above OUT that were made for it, to be removed with it. */
  readonly parentsMade: number;
  /** Its process let go of it in good order: it can be continued at once, from any machine. */
  readonly released: boolean;
}

/** The owner on record and how many there were before it. */
export interface OwnerRecord {
  readonly generation: number;
  readonly owner: Owner;
}

/** Start of the names of records that are being written. */
const DRAFT = 'draft-';

/**
 * `owner.json`, then `owner-1.json` and so on: the highest counts. A partial changes hands by making the next
 * one, which only one process can do, and which leaves no lock behind when that process dies.
 */
export function ownerFile(generation: number): string {
  return generation === 0 ? 'owner.json' : `owner-${generation}.json`;
}

/** The generation that a file of this name tells of; null where it is another file. */
export function ownerGeneration(name: string): number | null {
  const match = /^owner(?:-([1-9]\d{0,8}))?\.json$/.exec(name);
  return match === null ? null : Number(match[1] ?? 0);
}

/** Whether a file of this name is a record that was being written when its process ended, or is now. */
export function isDraft(name: string): boolean {
  return /^draft-[0-9a-f]{12}$/.test(name);
}

/**
 * The present owner of a partial; null where none can be made out. Where none has claimed it yet, the one
 * whose draft lies there, with generation -1: a process may end between the two.
 * @param partial a folder that is this user's own (`HeldFolder.here`)
 * @throws the errno of the file system, but that of what is not there
 */
export async function readOwner(partial: string): Promise<OwnerRecord | null> {
  const names = await SYSTEM.fs.readdir(partial).catch(orNothing);
  if (names === null) return null;
  const generation = Math.max(-1, ...names.map((name) => ownerGeneration(name) ?? -1));
  const file = generation < 0 ? names.find((name) => name.startsWith(DRAFT)) : ownerFile(generation);
  if (file === undefined) return null;
  const bytes = await readOwn(SYSTEM, join(partial, file)).catch(orNothing);
  if (bytes === null) return null;
  try {
    const owner: unknown = JSON.parse(bytes.toString());
    return isOwner(owner) ? { generation, owner } : null;
  } catch {
    return null;
  }
}

/** What is not there, or no record at all, is no owner; what cannot be read now may be one. */
function orNothing(error: unknown): null {
  if (error instanceof MergeError || NOTHING.has(errnoOf(error) ?? '')) return null;
  throw error;
}

const NOTHING: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EISDIR', 'ENXIO']);

function isOwner(value: unknown): value is Owner {
  if (typeof value !== 'object' || value === null) return false;
  const o = value as Record<string, unknown>;
  const textOrNull = (v: unknown) => v === null || typeof v === 'string';
  return (
    [o.id, o.name, o.identity].every((v) => typeof v === 'string') &&
    (o.kind === 'folder' || o.kind === 'file') &&
    [o.bootId, o.pidNamespace, o.startTime].every(textOrNull) &&
    [o.pid, o.parentsMade].every((v) => Number.isSafeInteger(v) && (v as number) >= 0) &&
    ['undefined', 'string'].includes(typeof o.request) &&
    typeof o.released === 'boolean' &&
    typeof o.identityParts === 'object' &&
    o.identityParts !== null
  );
}

/**
 * Makes `owner` the owner of that generation. Of several processes that try, one gets true.
 * @throws the error of the file system, other than that the file exists.
 */
export async function claim(system: System, partial: string, generation: number, owner: Owner): Promise<boolean> {
  const target = join(partial, ownerFile(generation));
  const draft = join(partial, `${DRAFT}${owner.id}`);
  const text = `${JSON.stringify(owner, null, 2)}\n`;
  try {
    await writeNewFile(system, draft, text);
    // link, and not rename: it fails where the target exists, and the target is whole from the first moment.
    await system.fs.link(draft, target);
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'EEXIST') return false;
    if (!NO_HARD_LINKS.has(errno ?? '')) throw error;
  } finally {
    await removeTree(system, draft).catch(() => {});
  }
  try {
    await writeNewFile(system, target, text);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** What link(2) says where a file system has no hard links. */
export const NO_HARD_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK']);

/** Marks a partial as one that its process let go of. */
export async function release(system: System, partial: string, record: OwnerRecord): Promise<void> {
  const draft = join(partial, `${DRAFT}${record.owner.id}`);
  await writeNewFile(system, draft, `${JSON.stringify({ ...record.owner, released: true }, null, 2)}\n`);
  await system.fs.rename(draft, join(partial, ownerFile(record.generation)));
}
