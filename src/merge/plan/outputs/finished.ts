import { join } from 'node:path';
import { storeOf } from '../../../base/store/store.ts';
import { CRC_PLACEHOLDER, DATA_CRC_KEY } from '../../record/provenance.ts';
import { readProvenance } from '../../record/read-provenance.ts';
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
  const provenance = await readProvenance(path);
  if (provenance?.planDigest !== digest) return false;
  const sizes = await Promise.all(files.map(async ({ name, bytes }) => (await storeOf(path).stat(join(path, name))).size === bytes));
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
  const file = await storeOf(path).open(path);
  try {
    if (file.stat.size !== bytes) return false;
    await file.read(found, 0);
  } finally {
    await file.close();
  }
  const crc = wanted.indexOf(`"${CRC_PLACEHOLDER}"`, wanted.indexOf(`"${DATA_CRC_KEY}"`)) + 1;
  found.fill(CRC_PLACEHOLDER, crc, crc + CRC_PLACEHOLDER.length);
  return found.equals(wanted);
}
