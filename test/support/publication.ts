import {
  existsSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { ProcessIdentity } from '../../src/base/disk/process-identity.ts';
import type { PublishFs, PublishHooks } from '../../src/base/disk/system.ts';
import type { Warning } from '../../src/base/errors.ts';
import { MergeError } from '../../src/base/errors.ts';
import type { Publication, PublicationRequest } from '../../src/merge/output/types.ts';

const folders: string[] = [];

/** A new folder, removed after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'publish-'));
  folders.push(folder);
  return folder;
}

const handles: FileHandle[] = [];

afterEach(async () => {
  // Those of a publication that stood still are open.
  for (const handle of handles.splice(0)) if (handle.fd >= 0) await handle.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

export function request(output: string, more: Partial<PublicationRequest> = {}): PublicationRequest {
  return { output, kind: 'folder', force: false, resume: false, identity: 'recipe-1', bytes: 100, ...more };
}

/**
 * What the addon's rename does, by calls that Node has. Not atomic against other processes, which unit tests
 * do not need.
 */
export function flaggedRename(from: string, to: string, how: 'noreplace' | 'exchange'): void {
  if (how === 'noreplace') {
    if (existsSync(to)) throw Object.assign(new Error('exists'), { errno: 'EEXIST', code: 'E_IO' });
    if (statSync(from).isDirectory()) renameSync(from, to);
    else {
      linkSync(from, to);
      unlinkSync(from);
    }
    return;
  }
  if (!existsSync(to)) throw Object.assign(new Error('absent'), { errno: 'ENOENT', code: 'E_IO' });
  const aside = `${from}-aside`;
  renameSync(to, aside);
  renameSync(from, to);
  renameSync(aside, from);
}

/** A rename that fails with an errno, as on a file system without flags. */
export function failingRename(errno: string): NonNullable<PublishHooks['rename']> {
  return () => {
    throw Object.assign(new Error(errno), { errno, code: 'E_IO', syscall: 'renameat2' });
  };
}

export function warningsInto(list: Warning[]): Pick<PublishHooks, 'onWarning'> {
  return { onWarning: (warning) => list.push(warning) };
}

/** An identity on this machine whose process ended: no process has this start time. */
export async function endedProcess(): Promise<ProcessIdentity> {
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  return { bootId, pidNamespace: await fs.readlink('/proc/self/ns/pid'), pid: process.pid, startTime: '1' };
}

export const otherMachine: ProcessIdentity = { bootId: 'another-boot', pidNamespace: 'pid:[1]', pid: 1, startTime: '1' };

/** Text that begins as a safetensors file does: nothing else is replaced by one. */
export function tensorFile(text: string): string {
  return `\u0002\0\0\0\0\0\0\0{}${text}`;
}

/** Writes and journals files, as the engine does. */
export async function writeAndJournal(publication: Publication, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [file, content] of Object.entries(files)) {
    writeFileSync(join(publication.dir, file), content);
    await publication.journal({ file, start: 0, end: content.length, crc: 7, nonfinite: [] });
  }
}

/** Files of a folder with their contents, or the content of a file; null where there is nothing. */
export function contentOf(path: string): Readonly<Record<string, string>> | string | null {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return null;
  if (stat.isFile()) return readFileSync(path, 'utf8');
  const names = readdirSync(path, { recursive: true, encoding: 'utf8' }).sort();
  return Object.fromEntries(
    names.filter((name) => statSync(join(path, name)).isFile()).map((name) => [name, readFileSync(join(path, name), 'utf8')]),
  );
}

/** Dates everything in a folder back, as if its process had stopped an hour ago. */
export function ageByAnHour(folder: string): void {
  const past = new Date(Date.now() - 3_600_000);
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) utimesSync(join(folder, name), past, past);
  utimesSync(folder, past, past);
}

export async function errorOf(promise: Promise<unknown>): Promise<MergeError> {
  const error = await promise.then(
    () => null,
    (e: unknown) => e,
  );
  if (!(error instanceof MergeError)) throw new Error('expected a MergeError', { cause: error });
  return error;
}

const HANDLE_CALLS = new Set(['writeFile', 'appendFile', 'write', 'sync', 'datasync', 'truncate', 'close']);

/**
 * node:fs/promises whose every call that changes anything (and every such call on the handles it opens) first
 * asks `before`, which may throw, or never settle: that is what a kill at this moment looks like to the disk.
 */
export function interceptedFs(before: (call: string, path: string) => void | Promise<void>): PublishFs {
  const changes = new Set(['link', 'mkdir', 'open', 'rename', 'rmdir', 'statfs', 'unlink']);
  const intercept = (target: object, path: string | null, wanted: (name: string) => boolean): unknown =>
    new Proxy(target, {
      get(object, name) {
        const value: unknown = Reflect.get(object, name, object);
        if (typeof value !== 'function') return value;
        const call = value.bind(object) as (...args: unknown[]) => Promise<unknown>;
        if (!wanted(String(name))) return call;
        return async (...args: unknown[]) => {
          const where = path ?? String(args[0]);
          await before(String(name), where);
          // Nothing here outlives the machine, so nothing has to reach the disk: fsync is what would make
          // these tests slow.
          if (path !== null && (name === 'sync' || name === 'datasync')) return;
          const result = await call(...args);
          if (name === 'open') handles.push(result as FileHandle);
          return name === 'open' ? intercept(result as object, where, (n) => HANDLE_CALLS.has(n)) : result;
        };
      },
    });
  return intercept(fs, null, (name) => changes.has(name)) as PublishFs;
}

/** node:fs/promises without fsync. */
export const quickFs: PublishFs = interceptedFs(() => {});

/** Fails calls of one name on paths that match, as the operating system would. */
export function failingFs(call: string, path: RegExp, errno: string): PublishFs {
  return interceptedFs((name, where) => {
    if (name === call && path.test(where)) throw Object.assign(new Error(`${errno}: injected`), { errno: -1, code: errno, syscall: call });
  });
}
