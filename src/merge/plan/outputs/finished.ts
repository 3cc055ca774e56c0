import { dirname, join } from 'node:path';
import { askAnew } from '../../../base/disk/fresh-look.ts';
import { SYSTEM } from '../../../base/disk/system.ts';
import { optionName } from '../../../base/option-words.ts';
import { storeOf } from '../../../base/store/store.ts';
import { RECIPE_FILE } from '../../../checkpoints/our-files.ts';
import { formatBytes } from '../../../render/format.ts';
import { formatNumber } from '../../../render/numbers.ts';
import { memberName } from '../../record/member-path.ts';
import { CRC_PLACEHOLDER, DATA_CRC_KEY } from '../../record/provenance.ts';
import { readProvenance } from '../../record/read-provenance.ts';
import type { Plan, PlanMember, PlanOutput } from '../types.ts';

/** How many members are named one by one. */
const SHOWN = 4;

/**
 * Whether what lies at the place of an output is this very output, published by the run that is being
 * resumed: the same plan digest, and every file with its size. An output appears whole or not at all, so its
 * bytes are not read again (`verify` reads them).
 */
export async function isPublished(output: PlanOutput): Promise<boolean> {
  // By another machine, maybe, since this one last looked.
  await askAnew(SYSTEM, dirname(output.path));
  return (await damageOf(output))?.length === 0;
}

/**
 * What became of this very output since it was published, a text each; null where something else lies in its
 * place, or nothing, or what cannot be read: what it is, the check of the destination says.
 */
async function damageOf(output: PlanOutput): Promise<readonly string[] | null> {
  try {
    return await (output.kind === 'folder' || output.recordBeside !== null ? damageOfFiles(output) : damageOfFile(output));
  } catch {
    return null;
  }
}

/**
 * What is said, after its name, of an output that a resume finds in its place and that is another merge, or
 * damaged: by its record, where it has one, what differs.
 */
export async function otherMerge(
  output: PlanOutput,
  members: readonly PlanMember[],
  { format, names: given, shardSize, filesAsked }: Pick<Plan, 'format' | 'names' | 'shardSize' | 'filesAsked'>,
): Promise<string> {
  const { path, schedule, dtype, policies } = output;
  const damage = await damageOf(output);
  if (damage !== null)
    return `and is what this merge made, damaged since: ${damage.slice(0, SHOWN).join('; ')}${damage.length > SHOWN ? '; …' : ''}`;
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
    [optionName('format'), recipe.format ?? 'safetensors', format],
    [optionName('names'), recipe.names?.asked ?? 'those of the members', given?.asked ?? 'those of the members'],
    [optionName('files'), String(recipe.files ?? ''), String(filesAsked ?? '')],
    [optionName('shardSize'), sizeText(recipe.shardSize), sizeText(shardSize)],
    ['policies', recipe.policies.map(({ policy }) => policy).join('; '), policies.map(({ text }) => text).join('; ')],
  ];
  const differing = pairs
    .filter(([, was, is]) => was !== is)
    .map(([what, was, is]) => `${what} (there ${was || 'none'}, here ${is || 'none'})`);
  if (differing.length === 0) return `${none}: the same recipe, of inputs, files or a version of this program that differ`;
  return `and is another merge: ${differing.slice(0, 3).join('; ')}`;
}

const sizeText = (bytes: number | null | undefined): string => (bytes == null ? '' : formatBytes(bytes));

async function damageOfFiles({
  path,
  digest,
  files,
  index,
  sideFiles,
  recipe,
  recordBeside,
}: PlanOutput): Promise<readonly string[] | null> {
  const provenance = await readProvenance(path);
  if (provenance?.planDigest !== digest) return null;
  // Records of older versions do not say what was written beside the tensors: what would be today.
  const beside = [index?.name ?? [], sideFiles.map(({ name }) => name), recipe === null ? [] : RECIPE_FILE].flat();
  const wanted = [...files, ...(provenance.sideFiles ?? beside.map((name) => ({ name, bytes: null })))];
  const found = await Promise.all(wanted.map(({ name, bytes }) => damageAt(recordBeside === null ? join(path, name) : path, name, bytes)));
  return found.filter((damage) => damage !== null);
}

async function damageAt(path: string, name: string, bytes: number | null): Promise<string | null> {
  const size = await storeOf(path)
    .stat(path)
    .then(
      (stat) => stat.size,
      () => null,
    );
  if (size === null) return `${name} is missing`;
  return bytes === null || size === bytes ? null : `${name} has ${size} bytes instead of ${bytes}`;
}

/**
 * A single file has no digest in it: its header is what the digest is about, but for the CRC that is filled
 * in last.
 */
async function damageOfFile({ path, files }: PlanOutput): Promise<readonly string[] | null> {
  const { header, headerBytes, bytes } = files[0]!;
  const wanted = Buffer.from(header());
  const found = Buffer.alloc(headerBytes);
  const file = await storeOf(path).open(path);
  try {
    await file.read(found, 0);
  } finally {
    await file.close();
  }
  const crc = wanted.indexOf(`"${CRC_PLACEHOLDER}"`, wanted.indexOf(`"${DATA_CRC_KEY}"`)) + 1;
  found.fill(CRC_PLACEHOLDER, crc, crc + CRC_PLACEHOLDER.length);
  if (!found.equals(wanted)) return null;
  return file.stat.size === bytes ? [] : [`it has ${file.stat.size} bytes instead of ${bytes}`];
}
