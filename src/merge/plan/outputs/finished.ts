import { join } from 'node:path';
import { storeOf } from '../../../base/store/store.ts';
import { formatNumber } from '../../../render/numbers.ts';
import { memberName } from '../../record/member-path.ts';
import { CRC_PLACEHOLDER, DATA_CRC_KEY } from '../../record/provenance.ts';
import { readProvenance } from '../../record/read-provenance.ts';
import type { PlanMember, PlanOutput } from '../types.ts';

/** How many members are named one by one. */
const SHOWN = 4;

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

/**
 * What is said, after its name, of an output that a resume finds in its place and that is another merge: by its record, where it has
 * one, what differs.
 */
export async function otherMerge({ path, schedule, dtype, policies }: PlanOutput, members: readonly PlanMember[]): Promise<string> {
  const none = 'and is not what this merge makes, so there is nothing of this one to go on with';
  const there = await readProvenance(path).catch(() => null);
  if (there === null) return none;
  const { recipe } = there;
  const numbers = (weights: readonly number[]) => weights.map((weight) => formatNumber(weight, 4)).join(', ');
  const names = (list: readonly { readonly name: string }[]) =>
    list.length > SHOWN ? `${list.length} members` : list.map(({ name }) => name).join(', ');
  const now = members.map((member, i) => ({ name: memberName(member.path), weight: schedule.weights[i]! }));
  const pairs: readonly (readonly [what: string, was: string, is: string])[] = [
    ['members', names(recipe.members), names(now)],
    ['method', recipe.method, schedule.method],
    ['weights', numbers(recipe.members.map(({ weight }) => weight)), numbers(now.map(({ weight }) => weight))],
    ['dtype', recipe.dtype ?? 'as stored', dtype ?? 'as stored'],
    ['policies', recipe.policies.map(({ policy }) => policy).join('; '), policies.map(({ text }) => text).join('; ')],
  ];
  const differing = pairs
    .filter(([, was, is]) => was !== is)
    .map(([what, was, is]) => `${what} (there ${was || 'none'}, here ${is || 'none'})`);
  if (differing.length === 0) return `${none}: the same recipe, of inputs, files or a version of this program that differ`;
  return `and is another merge: ${differing.slice(0, 3).join('; ')}`;
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
