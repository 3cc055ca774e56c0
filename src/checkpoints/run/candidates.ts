import { basename, join, parse, resolve } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import { type ForeignFormat, foreignName } from '../containers/foreign.ts';
import { isRankFile, isWeightsFile } from '../containers/safetensors/shard-names.ts';
import { MODEL_OF_TORCH } from '../containers/torch/file-names.ts';
import { hubRepository } from '../hub.ts';
import { innerCheckpoints } from '../inner-checkpoint.ts';
import { epochMentioned, isFormName, MARKED_UNFINISHED, type NamedPosition, positionFromName, reasonAgainstName } from '../names.ts';
import { PROVENANCE_FILE } from '../our-files.ts';
import { type ApartName, namesTogether } from '../sibling-names.ts';
import { snapshots } from './hub-cache.ts';

/** Something in a run that may be one of its checkpoints. */
export interface CandidateFolder {
  readonly path: string;
  /** The name that gives its position: of the folder, of the file without its extension, of the revision. */
  readonly name: string;
  /** What that name says among those of its siblings; null where that is nothing. */
  readonly position: NamedPosition | null;
  /** The epoch in its name, where names of this run count nothing else; null elsewhere. */
  readonly epoch: number | null;
  /**
   * The epoch that its name mentions, where epochs order the checkpoints of this run and there is something
   * against it.
   */
  readonly epochMentioned: number | null;
  /** Where its name is that of a step in another form than those that are read, why it is not. */
  readonly apart: Apart | null;
  /** Why it is none whatever it holds; null where it has to be looked into. */
  readonly against: string | null;
  /** What it is named for is one of the run's checkpoints, although there is something against it. */
  readonly lost?: boolean;
  /** A file of weights, by its extension. */
  readonly isFile?: boolean;
}

/** What is named in another form than the checkpoints that are read. */
interface Apart extends Pick<ApartName, 'reason' | 'missed'> {
  /** What to name instead, where nothing says which form is meant. */
  readonly help: string | null;
}

type Candidate = Omit<CandidateFolder, 'position' | 'epoch' | 'epochMentioned' | 'apart'>;

/** Everything in a run that may be a checkpoint, and what else lies there, for those who find no run. */
export interface Listing {
  readonly candidates: readonly CandidateFolder[];
  /** Whether the folder itself holds weights. */
  readonly isCheckpoint: boolean;
  /** Of a model's folder in the Hub's cache: its revisions; null for other folders. */
  readonly snapshots: readonly string[] | null;
  readonly names: readonly string[];
}

/** What torch.save writes: opening it tells whether it is a checkpoint. */
const TORCH_FILE = /^\.(?:pt|pth|bin|ckpt)$/;
/** What people look for among the checkpoints, although it has no weights. */
const OPTIMIZER_FILE = /^optim/;
const WEIGHTS = /^model\.safetensors$|\.safetensors\.index\.json$|-\d+-of-\d+\.safetensors$/;

/** @throws MergeError E_NOT_FOUND, E_NOT_READABLE; E_NO_RUN where the path is no folder */
export async function listRun(path: string): Promise<Listing> {
  const repository = await hubRepository(path);
  if (repository !== null) {
    const found = await snapshots(repository);
    return {
      candidates: await amongSiblings(
        path,
        found.map((snapshot) => ({ ...snapshot, against: reasonAgainstName(snapshot.name) })),
      ),
      isCheckpoint: false,
      snapshots: found.map((snapshot) => snapshot.path),
      names: found.map(({ name }) => name),
    };
  }
  const entries = await storeOf(path).list(path);
  if (entries === null) throw new MergeError('E_NO_RUN', `${path}: is not a folder`, { details: { file: path } });
  const names = entries.map(({ name }) => name).sort();
  const isCheckpoint =
    names.some((name) => (WEIGHTS.test(name) && !isRankFile(name)) || name === PROVENANCE_FILE) ||
    names.includes('checkpoint_metadata.json');
  const own = positionFromName(basename(resolve(path)))?.step ?? null;
  const stems = entries.flatMap(({ name, kind }) => (kind === 'file' && parse(name).ext === '.safetensors' ? [parse(name).name] : []));
  const together = namesTogether(isCheckpoint ? [] : stems);
  const named = new Set([...together.positions.keys(), ...together.epochs.keys(), ...together.apart.keys()]);
  const candidates: Candidate[] = [];
  for (const { name, kind } of entries) {
    // In the folder of a step what names that step is a part of it: `checkpoint-20/global_step20`.
    if (own !== null && positionFromName(name)?.step === own) continue;
    // NeMo's mark of a save that goes on.
    const mark = `${name}-unfinished`;
    if (kind === 'folder' && names.includes(mark)) {
      const against = `${MARKED_UNFINISHED}: ${mark} lies beside it`;
      candidates.push({ path: join(path, name), name, against, ...(!name.startsWith('.') && { lost: true }) });
    } else if (kind === 'folder') candidates.push(...(await ofFolder(path, name)));
    else if (kind === 'file' && !isCheckpoint) candidates.push(...ofFile(path, name, named.has(parse(name).name)));
  }
  const links = entries
    .filter(({ kind }) => kind === 'link')
    .map(({ name }) => name)
    .sort();
  const all = [...candidates, ...(await ofLinks(path, links, candidates))];
  return { candidates: await amongSiblings(path, all), isCheckpoint, snapshots: null, names };
}

/**
 * Candidates with what their names say together. Folders that are named by an epoch may be runs: one must
 * hold weights.
 */
async function amongSiblings(folder: string, candidates: readonly Candidate[]): Promise<CandidateFolder[]> {
  const names = candidates.map(({ name }) => name);
  let together = namesTogether(names);
  const { epochs } = together;
  if (epochs.size > 0) {
    const ofEpochs = candidates.filter(({ name }) => epochs.has(name));
    const held = await Promise.all(ofEpochs.map(async ({ path }) => (await holdsWeights(path)) || (await holdsDeeper(path))));
    if (!held.includes(true)) together = namesTogether(names.filter((name) => !epochs.has(name)));
  }
  const { positions, apart } = together;
  const byEpoch = together.epochs.size > 0 || [...positions.values()].some(({ epoch }) => epoch !== undefined);
  return candidates.map((candidate) => ({
    ...candidate,
    position: positions.get(candidate.name) ?? null,
    epoch: together.epochs.get(candidate.name) ?? null,
    epochMentioned: byEpoch && candidate.against !== null ? epochMentioned(candidate.name) : null,
    apart: apartOf(apart.get(candidate.name), folder),
  }));
}

function apartOf(apart: ApartName | undefined, folder: string): Apart | null {
  if (apart === undefined) return null;
  const patterns = apart.patterns.map((pattern) => `${folder}/${pattern}`);
  return { ...apart, help: patterns.length === 0 ? null : `Name those of one training, with a pattern: ${patterns.join(' or ')}` };
}

/** Whether the folder of an epoch holds a checkpoint deeper in it, and not those of a run. */
async function holdsDeeper(path: string): Promise<boolean> {
  const found = await innerCheckpoints({ store: storeOf(path), path }, null).catch(() => []);
  return found.length === 1;
}

/** Whether a folder holds safetensors files; not where it cannot be read. */
export async function holdsWeights(path: string): Promise<boolean> {
  const entries = await storeOf(path)
    .list(path)
    .catch(() => null);
  return entries?.some(({ name }) => isWeightsFile(name)) ?? false;
}

/**
 * A folder of a run. One that is called after a form and holds folders named by steps (`huggingface/ba20` of
 * llm-foundry) stands for those.
 */
async function ofFolder(folder: string, name: string): Promise<Candidate[]> {
  const path = join(folder, name);
  if (isFormName(name)) {
    const steps = (
      (await storeOf(path)
        .list(path)
        .catch(() => null)) ?? []
    ).filter((entry) => entry.kind === 'folder' && positionFromName(entry.name) !== null);
    if (steps.length > 0) return steps.map((step) => ({ path: join(path, step.name), name: step.name, against: null }));
  }
  return [{ path, name, against: reasonAgainstName(name) }];
}

/**
 * A file that is a checkpoint by its name: `step-1000.safetensors`. Weights whose name gives no step
 * (`latest.pt`) may have one in their own state, and are told of where they do not; what else a trainer keeps
 * beside them is not.
 * @param named whether its siblings' names say so
 */
function ofFile(folder: string, name: string, named: boolean): Candidate[] {
  if (name.endsWith(`.${PROVENANCE_FILE}`)) return [];
  const { name: stem, ext } = parse(name);
  const path = join(folder, name);
  const isFile = isFileOfWeights(ext);
  if (!named && positionFromName(stem) === null) {
    const looked = isFile && !name.startsWith('.') && (MODEL_OF_TORCH.test(name) || ext === '.safetensors' || OPTIMIZER_FILE.test(name));
    return looked && !isRankFile(name) ? [{ path, name: stem, against: reasonAgainstName(stem), isFile }] : [];
  }
  if (isFile) return [{ path, name: stem, against: null, isFile }];
  const foreign = foreignName(name);
  return foreign === null ? [] : [{ path, name: stem, against: foreignReason(foreign), lost: true }];
}

/**
 * Links to folders outside the run are checkpoints like others; a second name of one that is there already is
 * not.
 */
async function ofLinks(folder: string, links: readonly string[], others: readonly Candidate[]): Promise<Candidate[]> {
  if (links.length === 0) return [];
  const store = storeOf(folder);
  const base = await store.resolve(folder);
  const owners = new Map(others.map(({ path }) => [join(base, basename(path)), basename(path)]));
  const candidates: Candidate[] = [];
  for (const name of links) {
    const path = join(folder, name);
    const target = await store.resolve(path).catch(() => null);
    const owner = target === null ? undefined : owners.get(target);
    if (target !== null && owner === undefined) owners.set(target, name);
    const against = target === null ? 'a link to nothing' : owner === undefined ? reasonAgainstName(name) : `a link to ${owner}`;
    const { name: stem, ext } = parse(name);
    const own = isFileOfWeights(ext) ? stem : name;
    candidates.push({ path, name: own, against, lost: target === null });
  }
  return candidates;
}

const isFileOfWeights = (ext: string): boolean => ext === '.safetensors' || TORCH_FILE.test(ext);

/** Why a checkpoint of another format is left out, with the tool that makes one of ours from it. */
export function foreignReason({ format, converter }: ForeignFormat): string {
  return `${format}, which is not read; convert it with ${converter}`;
}
