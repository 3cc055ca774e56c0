import { join } from 'node:path';
import { MergeError } from '../base/errors.ts';
import { readWhole, storeOf } from '../base/store/store.ts';
import type { Checkpoint } from './types.ts';

/** What Megatron-core writes beside a checkpoint that it is told to make verifiable. */
const INTEGRITY_FILE = 'integrity.json';
/** A line a file; a checkpoint of ten thousand ranks has a megabyte of them. */
const INTEGRITY_BYTES = 2 ** 26;

/** Checksums that the writer of a checkpoint left in it. */
export interface Integrity {
  /** The file that says so. */
  readonly path: string;
  /** As the writer calls it: `sha256`. */
  readonly algorithm: string;
  /** By name in the checkpoint's folder, in lower-case hexadecimal digits. */
  readonly files: ReadonlyMap<string, string>;
}

/**
 * The checksums of a checkpoint's files; null where its writer left none.
 * @throws MergeError E_DCP for a file that says nothing of the kind, or names what lies elsewhere;
 *   E_NOT_READABLE, E_IO
 */
export async function readIntegrity({ path: folder, kind }: Pick<Checkpoint, 'path' | 'kind'>): Promise<Integrity | null> {
  if (kind === 'file') return null;
  const path = join(folder, INTEGRITY_FILE);
  const there = (await storeOf(folder).list(folder))?.some(({ name }) => name === INTEGRITY_FILE);
  if (!there) return null;
  const fault = (why: string): MergeError => new MergeError('E_DCP', `${path}: ${why}`, { details: { file: path } });
  let said: unknown;
  try {
    said = JSON.parse(new TextDecoder().decode(await readWhole(path, INTEGRITY_BYTES)));
  } catch (error) {
    if (error instanceof MergeError) throw error;
    throw fault('is no JSON');
  }
  const { algorithm, files } = (typeof said === 'object' && said !== null ? said : {}) as Readonly<Record<string, unknown>>;
  if (typeof algorithm !== 'string' || typeof files !== 'object' || files === null || Array.isArray(files))
    throw fault('has no checksums of files, with their algorithm');
  const sums = Object.entries(files as Readonly<Record<string, unknown>>).map(([name, sum]): [string, string] => {
    if (name === '' || /[/\\\0]/.test(name) || name === '.' || name === '..')
      throw fault(`names ${JSON.stringify(name)}, which is no file of the folder`);
    if (typeof sum !== 'string' || !/^[0-9a-f]+$/i.test(sum)) throw fault(`has no checksum for ${name}`);
    return [name, sum.toLowerCase()];
  });
  return { path, algorithm: algorithm.toLowerCase(), files: new Map(sums) };
}
