import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PROVENANCE_FILE } from '../../../checkpoints/our-files.ts';
import { CRC_PLACEHOLDER, DATA_CRC_KEY } from '../../record/provenance.ts';
import type { PlanOutput } from '../types.ts';

/**
 * Whether what lies at the place of an output is this very output, published by the run that is being
 * resumed: the same plan digest and files of the planned sizes. An output appears whole or not at all, so its
 * bytes need no second look (`verify` takes one).
 */
export async function isPublished(output: PlanOutput): Promise<boolean> {
  try {
    return await (output.kind === 'file' ? isThisFile(output) : isThisFolder(output));
  } catch {
    // Nothing there, or something that cannot be read: what it is, the check of the destination says.
    return false;
  }
}

async function isThisFolder({ path, digest, files }: PlanOutput): Promise<boolean> {
  const { parseProvenance } = await import('../../record/parse-provenance.ts');
  const provenance = parseProvenance(await readFile(join(path, PROVENANCE_FILE)), path);
  if (provenance.planDigest !== digest) return false;
  const sizes = await Promise.all(files.map(async ({ name, bytes }) => (await stat(join(path, name))).size === bytes));
  return sizes.every((same) => same);
}

/**
 * A single file has no digest in it: its header is what the digest is about, but for the CRC that is filled
 * in last.
 */
async function isThisFile({ path, files }: PlanOutput): Promise<boolean> {
  const { header, headerBytes, bytes } = files[0]!;
  const wanted = Buffer.from(header());
  const found = Buffer.alloc(headerBytes);
  const handle = await open(path);
  try {
    if ((await handle.stat()).size !== bytes) return false;
    await handle.read(found, 0, found.length, 0);
  } finally {
    await handle.close();
  }
  const crc = wanted.indexOf(`"${CRC_PLACEHOLDER}"`, wanted.indexOf(`"${DATA_CRC_KEY}"`)) + 1;
  found.fill(CRC_PLACEHOLDER, crc, crc + CRC_PLACEHOLDER.length);
  return found.equals(wanted);
}
