import { basename, dirname, join, resolve } from 'node:path';
import { MergeError, type Warning } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { storeOf } from '../../base/store/store.ts';
import { OpenCache } from '../../checkpoints/containers/open-cache.ts';
import { fingerprintLike } from '../../checkpoints/fingerprint.ts';
import { type OpenOptions, openCheckpoint } from '../../checkpoints/open.ts';
import { METADATA_KEY, PROVENANCE_FILE, recordBeside } from '../../checkpoints/our-files.ts';
import { discoverRun, isRunFolder } from '../../checkpoints/run/discover.ts';
import { dataStart } from '../../checkpoints/tensors/table.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { DATA_CRC_KEY, isWithState, type Provenance, type ProvenanceMember } from '../../merge/record/provenance.ts';
import { readProvenance, readRecord } from '../../merge/record/read-provenance.ts';

/** What a merge says of itself. */
export interface MergeRecord {
  readonly provenance: Provenance;
  /** CRC32C to compare each tensor file with: of the whole file, or of the bytes from `from` on. */
  readonly sums: readonly {
    readonly name: string;
    readonly path: string;
    readonly from: number;
    readonly bytes: number;
    readonly crc32c: string;
  }[];
  /** The same of what lies beside the tensors of a folder; null where the record does not say. */
  readonly beside: readonly { readonly name: string; readonly path: string; readonly bytes: number; readonly crc32c: string }[] | null;
}

/** Whether a folder has a record of a merge, be it one that can be read or not; a file may have one in it. */
export async function holdsRecord({ path, kind, form }: Pick<Checkpoint, 'path' | 'kind' | 'form'>): Promise<boolean> {
  if (kind === 'file' && form.kind === 'torch') {
    const beside = recordBeside(path);
    return storeOf(beside)
      .stat(beside)
      .then(
        () => true,
        () => false,
      );
  }
  return kind === 'file' || ((await storeOf(path).list(path))?.some(({ name }) => name === PROVENANCE_FILE) ?? false);
}

/** @throws MergeError E_PROVENANCE where there is none, or it cannot be read. */
export async function readMergeRecord(output: Checkpoint): Promise<MergeRecord> {
  if (output.kind === 'folder') {
    const file = join(output.path, PROVENANCE_FILE);
    const provenance = await readProvenance(output.path).catch((cause: unknown) => {
      if (!(cause instanceof MergeError)) throw cause;
      throw new MergeError('E_PROVENANCE', cause.message, { details: { ...cause.details, file }, cause });
    });
    if (provenance === null) throw new MergeError('E_PROVENANCE', `${output.path} holds no ${PROVENANCE_FILE}`, { details: { file } });
    const sums = provenance.files.map((f) => ({
      name: f.name,
      path: join(output.path, f.name),
      from: 0,
      bytes: f.bytes,
      crc32c: f.crc32c,
    }));
    const beside = provenance.sideFiles?.map((file) => ({ ...file, path: join(output.path, file.name) })) ?? null;
    return { provenance, sums, beside };
  }
  if (output.form.kind === 'torch') return recordOfTorchFile(output);
  const { metadata, tensors, path, name, stat } = output.shards[0]!;
  const [embedded, crc32c] = [metadata?.get(METADATA_KEY), metadata?.get(DATA_CRC_KEY)];
  if (embedded === undefined || crc32c === undefined) {
    throw new MergeError('E_PROVENANCE', `${path} carries no provenance in its metadata`, { details: { file: path } });
  }
  // Whoever imports the package should not load zod before there is something to check with it.
  const { parseProvenance } = await import('../../merge/record/parse-provenance.ts');
  const from = dataStart(tensors) ?? stat.size;
  const sums = [{ name, path, from, bytes: stat.size - from, crc32c }];
  return { provenance: parseProvenance(embedded, path), sums, beside: [] };
}

/** The record beside a file of torch.save, whose own name may be another by now. */
async function recordOfTorchFile({ path, files }: Checkpoint): Promise<MergeRecord> {
  const file = recordBeside(path);
  const provenance = await readRecord(file).catch((cause: unknown) => {
    if (!(cause instanceof MergeError)) throw cause;
    throw new MergeError('E_PROVENANCE', cause.message, { details: { ...cause.details, file }, cause });
  });
  const [sum] = provenance?.files ?? [];
  if (provenance === null || sum === undefined) {
    throw new MergeError('E_PROVENANCE', `${path}: there is no ${basename(file)} beside it, which would say how it was made`, {
      details: { file },
    });
  }
  return { provenance, sums: [{ ...sum, name: files[0]!.name, path, from: 0 }], beside: [] };
}

/**
 * Finds the members that a provenance names: among `given`, matched by fingerprint, or else where the
 * provenance says, or beside the merge under their own name.
 *
 * @throws MergeError E_SOURCE_CHANGED when a place holds something else than what was merged; whatever
 *   `openCheckpoint` throws for a given input
 */
export async function findMembers(
  output: string,
  provenance: Provenance,
  given: readonly string[] | undefined,
): Promise<{ members: Checkpoint[] | null; warnings: Warning[] }> {
  const options = { cache: new OpenCache(), withState: isWithState(provenance.recipe) };
  const wanted = provenance.recipe.members;
  if (given !== undefined) {
    const found = new Map<string, Checkpoint>();
    for (const path of await checkpointsOf(given, wanted)) {
      const checkpoint = await openCheckpoint(path, options);
      // One program recorded them all, in one definition.
      found.set(await fingerprintLike(checkpoint, wanted[0]!.fingerprint), checkpoint);
    }
    const members = wanted.map((member) => {
      const checkpoint = found.get(member.fingerprint);
      if (checkpoint === undefined) throw changed(member, `none of the inputs given is ${member.name} as it was merged`);
      return checkpoint;
    });
    return { members, warnings: [] };
  }
  const parent = dirname(resolve(output));
  const members: Checkpoint[] = [];
  const gone: string[] = [];
  for (const member of wanted) {
    const recorded = member.path === null ? null : await openIfThere(resolve(parent, member.path), options);
    if (recorded !== null && (await fingerprintLike(recorded, member.fingerprint)) !== member.fingerprint) {
      throw changed(member, `${recorded.path} is not ${member.name} as it was merged`, recorded.path);
    }
    const checkpoint = recorded ?? (await sibling(parent, member, options));
    if (checkpoint === null) gone.push(member.path ?? member.name);
    else members.push(checkpoint);
  }
  if (gone.length === 0) return { members, warnings: [] };
  const which = `${gone.slice(0, 3).join(', ')}${gone.length > 3 ? ` and ${gone.length - 3} more` : ''}`;
  const message = worded`nothing is recomputed, because these inputs are not found from the merge: ${which}; name them, or the run that holds them, with --input`;
  return { members: null, warnings: [{ code: 'W_SOURCE_GONE', message }] };
}

/** Checkpoints that were given, and of runs among them those that have the name or the step of a member. */
async function checkpointsOf(given: readonly string[], wanted: readonly ProvenanceMember[]): Promise<string[]> {
  const names = new Set(wanted.flatMap(({ name }) => name.split('/')));
  const steps = new Set(wanted.flatMap(({ step }) => step ?? []));
  const paths = await Promise.all(
    given.map(async (path) => {
      if (!(await isRunFolder(path, { orCheckpoint: true }))) return [path];
      const isRun = await isRunFolder(path);
      const { checkpoints } = await discoverRun(path, { mixedDtypes: true }).catch((error: unknown) => {
        if (isRun) throw error;
        return { checkpoints: [] };
      });
      const own = checkpoints.filter(({ name, step }) => names.has(name) || (step !== null && steps.has(step))).map((found) => found.path);
      // The Trainer leaves the final model among its checkpoints.
      return isRun ? own : [path, ...own];
    }),
  );
  return paths.flat();
}

/**
 * A checkpoint of the member's name beside the merge, if it is the one: another run may have a step of the
 * same name.
 */
async function sibling(parent: string, member: ProvenanceMember, options: OpenOptions): Promise<Checkpoint | null> {
  for (const name of new Set([member.name, basename(member.name)])) {
    const found = await openIfThere(resolve(parent, name), options);
    if (found !== null && (await fingerprintLike(found, member.fingerprint)) === member.fingerprint) return found;
  }
  return null;
}

async function openIfThere(path: string, options: OpenOptions): Promise<Checkpoint | null> {
  try {
    return await openCheckpoint(path, options);
  } catch (error) {
    if (error instanceof MergeError && error.code === 'E_NOT_FOUND') return null;
    throw error;
  }
}

function changed(member: ProvenanceMember, message: string, file?: string): MergeError {
  return new MergeError('E_SOURCE_CHANGED', message, { details: { file: file ?? member.name, fingerprint: member.fingerprint } });
}
