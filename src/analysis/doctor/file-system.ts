import { join } from 'node:path';
import { errnoOf } from '../../base/disk/errno.ts';
import { HeldFolder } from '../../base/disk/held-folder.ts';
import { CANNOT_FLUSH, writeNewFile } from '../../base/disk/own-file.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { temporaryFolder } from '../../base/disk/temporary-folder.ts';
import { flush } from '../../base/machine/flush.ts';
import { worded } from '../../base/option-words.ts';
import type { NativeBinding } from '../../merge/native/binding.ts';
import { type Check, fail, ok, warn } from './check.ts';

/**
 * Less free space than this is worth a word: the smallest checkpoints that people merge are about this size.
 */
const LITTLE_SPACE = 1e9;
/** Size of the file that is preallocated to see whether that works. */
const PROBE_BYTES = 1 << 20;

/** Type and free space of the file system that holds a folder. */
export async function checkSpace(folder: string, binding: NativeBinding | null): Promise<Check> {
  const name = 'output folder';
  try {
    const { bavail, bsize, type } = await SYSTEM.fs.statfs(folder);
    const free = bavail * bsize;
    const kind = binding === null ? `type 0x${type.toString(16)}` : binding.fileSystemType(folder);
    const found = `${folder} on ${kind}, ${(free / 1e9).toPrecision(3)} GB free`;
    return free < LITTLE_SPACE
      ? warn(name, found, 'A merge needs the size of its output here. Free some space, or write elsewhere.')
      : ok(name, found);
  } catch (error) {
    return fail(name, `${folder}: ${(error as Error).message}`, 'Create the folder, or name another one.');
  }
}

/**
 * Tries in a hidden folder, which is removed again, what publishing needs from the file system: rename flags
 * and preallocation. Both have a fallback, so that their lack is a warning.
 */
export async function checkPublishing(folder: string, binding: NativeBinding): Promise<Check[]> {
  let work: string;
  try {
    work = await temporaryFolder(folder, '.merge-doctor-');
  } catch (error) {
    return [
      fail('writing', `${folder}: ${(error as Error).message}`, 'Merges cannot be written here: check permissions and mount options.'),
    ];
  }
  try {
    return [
      ok('writing', `${folder} can be written`),
      await checkRename(work, binding),
      await checkPreallocation(work, binding),
      await checkFlush(work),
      await checkHold(work),
    ];
  } finally {
    await removeTree(SYSTEM, work);
  }
}

async function checkRename(work: string, binding: NativeBinding): Promise<Check> {
  const [a, b, c] = ['a', 'b', 'c'].map((name) => join(work, name)) as [string, string, string];
  await Promise.all([SYSTEM.fs.mkdir(a), SYSTEM.fs.mkdir(b)]);
  const lacking: string[] = [];
  for (const [how, from, to] of [
    ['noreplace', a, c],
    ['exchange', c, b],
  ] as const) {
    try {
      binding.rename(from, to, how);
    } catch (error) {
      lacking.push(`${how} (${(error as { errno?: string }).errno ?? (error as Error).message})`);
    }
  }
  if (lacking.length === 0) return ok('renaming', 'an output can be placed and replaced in one step');
  return warn(
    'renaming',
    `the file system lacks ${lacking.join(' and ')}`,
    worded`Merges use a fallback: with --force there is a short moment without OUT, which the next run repairs.`,
  );
}

async function checkPreallocation(work: string, binding: NativeBinding): Promise<Check> {
  const path = join(work, 'preallocated');
  try {
    binding.openOutput(path, PROBE_BYTES, { reopen: false }).close();
    const { blocks } = await SYSTEM.fs.stat(path);
    if (blocks * 512 >= PROBE_BYTES) return ok('preallocation', 'space is reserved before a merge starts');
    return warn(
      'preallocation',
      'space cannot be reserved',
      'A disk that fills up during a merge is noticed only then (exit code 6, nothing left).',
    );
  } catch (error) {
    return fail('preallocation', (error as Error).message, 'No output file can be made here: check quota and free space.');
  }
}

/** Whether what was written can be put on the disk: without it no merge is published. */
async function checkFlush(work: string): Promise<Check> {
  try {
    const ways: string[] = [];
    for (const [path, flags] of [
      [join(work, 'flushed'), 'w'],
      [work, 'r'],
    ] as const) {
      const handle = await SYSTEM.fs.open(path, flags);
      ways.push(
        await flush(handle)
          .catch((error: unknown) => {
            if (flags === 'w' || !CANNOT_FLUSH.has(errnoOf(error) ?? '')) throw error;
            return 'no folders';
          })
          .finally(() => handle.close()),
      );
    }
    if (ways.includes('no folders'))
      return warn('flushing', 'the file system cannot flush folders', 'After a power cut an output that was just made may be missing.');
    return ok('flushing', `files and folders${ways.includes('descriptor') ? ', by descriptor (Plug’n’Play)' : ''}`);
  } catch (error) {
    return fail('flushing', (error as Error).message, 'No output can be made safe here, and none is: write elsewhere.');
  }
}

/** Whether a folder that is held is found again whoever renames it. */
async function checkHold(work: string): Promise<Check> {
  const folder = await HeldFolder.open(SYSTEM, work);
  await folder.close();
  if (folder.isFirm) return ok('held folders', 'by descriptor, whatever has their name');
  const found = 'by name: links to descriptors (/proc/self/fd) cannot be followed';
  if (process.platform !== 'linux') return ok('held folders', found);
  return warn('held folders', found, 'Write only where nobody else may rename things, or let this process see /proc.');
}

/** Whether a folder takes ordinary files at all: what can be told where the addon is missing. */
export async function checkWriting(folder: string): Promise<Check> {
  try {
    const work = await temporaryFolder(folder, '.merge-doctor-');
    await writeNewFile(SYSTEM, join(work, 'file'), 'x').finally(() => removeTree(SYSTEM, work));
    return ok('writing', `${folder} can be written`);
  } catch (error) {
    return fail('writing', `${folder}: ${(error as Error).message}`, 'Merges cannot be written here: check permissions and mount options.');
  }
}
