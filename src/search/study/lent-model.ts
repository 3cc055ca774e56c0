import { dirname, join } from 'node:path';
import { errnoOf } from '../../base/disk/errno.ts';
import { onOutput, toMergeError } from '../../base/disk/io-error.ts';
import { newId } from '../../base/disk/new-id.ts';
import { copyAnew, makeFoldersSync } from '../../base/disk/own-file.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { storeOf } from '../../base/store/store.ts';
import { fingerprintLike } from '../../checkpoints/fingerprint.ts';
import { type SideFileOptions, type SideFiles, sideFiles } from '../../checkpoints/side-files.ts';
import { copySideFiles } from '../../merge/output/copy-side-files.ts';
import type { WorkFolder } from './folder.ts';
import type { StudyMember } from './members.ts';

/** What an evaluation is given: a model that it may write into and remove. */
export interface LentModel {
  /** Absolute; of no other evaluation, and of none before it. */
  readonly path: string;
  /**
   * Whether what the links lead to is as it was.
   * @throws MergeError E_INPUT_CHANGED naming the file
   */
  check(): Promise<void>;
  /** Removes what the evaluation left of it. @returns whether nothing is left */
  takeBack(): Promise<boolean>;
}

/** Weights are what links lead to; all else is small, and is copied. */
const WEIGHTS = /\.safetensors$/;
/** What a file system says that has no links, or none between these two places. */
const NO_LINKS: readonly string[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EMLINK', 'EACCES'];

/**
 * Makes the models that evaluations get. Each is a folder of its own (where checkpoints are single files, a
 * file): an evaluator that cleans up after itself, or writes beside the weights, does so to nothing else.
 *
 * Weights of a checkpoint of the run are symbolic links, which work from one file system to another and do
 * not touch the run's files, as a second name would. Those of a merge, which lies beside, are hard links:
 * real files for a container that is shown the folder and nothing else. What opens a weight for writing
 * reaches what the link leads to, which {@link LentModel.check} finds out.
 */
export class Lender {
  readonly #work: Pick<WorkFolder, 'path'>;
  readonly #options: SideFileOptions;
  /** What belongs with a checkpoint, by its path. */
  readonly #beside = new Map<string, Promise<SideFiles>>();
  /** Of each merge, how often links to it came or went: each moves the ctime of its files. */
  readonly #links = new Map<string, number>();
  readonly #spoiled = new Set<string>();

  constructor(work: Pick<WorkFolder, 'path'>, options: SideFileOptions) {
    this.#work = work;
    this.#options = options;
  }

  /**
   * A checkpoint of the run as it is, less its training state: what a merge would have.
   * @throws MergeError E_NOT_READABLE and the like for a file that belongs to it; of the side of outputs
   */
  async member({ path, checkpoint, fingerprint, copy: known = fingerprint }: StudyMember, trial: number): Promise<LentModel> {
    const beside = this.#beside.get(path) ?? sideFiles(checkpoint, this.#options);
    this.#beside.set(path, beside);
    const { copied, faults } = await beside;
    if (faults.length > 0) throw faults[0]!;
    const lent = this.#place(trial, checkpoint.kind);
    const weights = checkpoint.files.map((file) => ({ file: file.path, as: checkpoint.kind === 'file' ? lent : join(lent, file.name) }));
    const before = await looksAt(weights.map(({ file }) => file));
    const check = async (): Promise<void> => {
      const now = await looksAt(before.keys());
      const change = firstChange(before, now) ?? ((await hiddenWrite(now)) ? { file: [...before.keys()][0]!, how: CONTENT } : null);
      if (change !== null) throw writtenTo(change, trial, worded`Put the file back as it was; then go on with --resume.`);
    };
    // A second name that a backup gave to a file moves its ctime as a write does.
    const hiddenWrite = async (now: ReadonlyMap<string, Look>): Promise<boolean> =>
      [...before].some(([file, was]) => was?.ctimeNs !== now.get(file)?.ctimeNs) && (await fingerprintLike(checkpoint, known)) !== known;
    return this.#lent(lent, check, async () => {
      if (checkpoint.kind === 'folder') await SYSTEM.fs.mkdir(lent);
      for (const { file, as } of weights) {
        makeFoldersSync(dirname(as));
        const to = await storeOf(file).resolve(file);
        await linkOr(SYSTEM.fs.symlink(to, as), to, as);
      }
      const index = checkpoint.indexName;
      if (index !== null) await copyAnew(join(path, index), join(lent, index));
      await copySideFiles(copied, { dir: lent, shown: lent });
    });
  }

  /**
   * A merge of the study.
   * @param shared whether it is scored again, and so has to stay as it is
   * @throws MergeError of the side of outputs
   */
  async merge(path: string, trial: number, shared: boolean): Promise<LentModel> {
    const isFile = WEIGHTS.test(path);
    const lent = this.#place(trial, isFile ? 'file' : 'folder');
    const names = isFile ? [''] : (await storeOf(path).listBelow(path)).sort();
    const weights = names.map((name) => join(path, name)).filter((file) => WEIGHTS.test(file));
    let before: ReadonlyMap<string, Look> = new Map();
    let linksBefore = 0;
    const check = async (): Promise<void> => {
      const now = await looksAt(weights);
      // Other trials of the same merge link to it, and take their links back, while this one is scored.
      const change = firstChange(before, now, this.#links.get(path) !== linksBefore);
      if (change === null) return;
      if (shared) throw writtenTo(change, trial, worded`Then go on with --resume.`);
      this.#spoiled.add(path);
    };
    const model = await this.#lent(lent, check, async () => {
      this.#linked(path);
      if (!isFile) await SYSTEM.fs.mkdir(lent);
      for (const name of names) {
        const [from, to] = [join(path, name), join(lent, name)];
        if (WEIGHTS.test(from)) await linkOr(SYSTEM.fs.link(from, to), from, to);
        else if ((await storeOf(from).stat(from)).kind === 'folder') makeFoldersSync(to);
        else await copyAnew(from, to);
      }
      linksBefore = this.#linked(path);
      before = await looksAt(weights);
    });
    const takeBack = (): Promise<boolean> => {
      this.#linked(path);
      return model.takeBack().finally(() => this.#linked(path));
    };
    return { ...model, takeBack };
  }

  /** Whether an evaluation wrote into a merge, which is none of its recipe any more. */
  isSpoiled(merge: string): boolean {
    return this.#spoiled.has(merge);
  }

  /** To be said before and after links of ours come or go. @returns how often it was */
  #linked(merge: string): number {
    const count = (this.#links.get(merge) ?? 0) + 1;
    this.#links.set(merge, count);
    return count;
  }

  #place(trial: number, kind: 'folder' | 'file'): string {
    const name = `model-${String(trial).padStart(4, '0')}-${newId()}`;
    return join(this.#work.path, kind === 'file' ? `${name}.safetensors` : name);
  }

  async #lent(path: string, check: () => Promise<void>, make: () => Promise<void>): Promise<LentModel> {
    const takeBack = (): Promise<boolean> =>
      removeTree(SYSTEM, path).then(
        () => true,
        () => false,
      );
    try {
      await onOutput('make', path, make);
    } catch (error) {
      await takeBack();
      throw error;
    }
    return { path, check, takeBack };
  }
}

/** What a file looks like from outside; null where it is gone. */
type Look = {
  /** What no reader and no backup changes. */
  readonly content: string;
  readonly mode: string;
  readonly owner: string;
  readonly nlink: bigint;
  readonly ctimeNs: bigint;
} | null;

/** What became of a file, in words that go on after its path. */
interface Change {
  readonly file: string;
  readonly how: string;
}

const CONTENT = 'was changed';

/** @throws MergeError E_NOT_READABLE, E_IO */
async function looksAt(files: Iterable<string>): Promise<ReadonlyMap<string, Look>> {
  return new Map(await Promise.all([...files].map(async (file): Promise<[string, Look]> => [file, await lookOf(file)])));
}

async function lookOf(path: string): Promise<Look> {
  try {
    const { dev, ino, size, mode, uid, gid, nlink, mtimeNs, ctimeNs } = await SYSTEM.fs.stat(path, { bigint: true });
    return {
      content: `${dev}:${ino}:${size}:${mtimeNs}`,
      mode: (mode & 0o7777n).toString(8).padStart(4, '0'),
      owner: `${uid}:${gid}`,
      nlink,
      ctimeNs,
    };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw toMergeError(error, { action: 'look at', file: path, side: 'input' });
  }
}

/** The change that says most: of the content before that of rights. */
function firstChange(before: ReadonlyMap<string, Look>, now: ReadonlyMap<string, Look>, linkedMeanwhile = false): Change | null {
  const changes = [...before].flatMap(([file, was]) => {
    const how = changeOf(was, now.get(file) ?? null, linkedMeanwhile);
    return how === null ? [] : [{ file, how }];
  });
  return changes.find(({ how }) => how === CONTENT) ?? changes[0] ?? null;
}

/** @param linkedMeanwhile its ctime moved, or may have, by links of our own */
function changeOf(before: Look, now: Look, linkedMeanwhile: boolean): string | null {
  if (before === null || now === null || before.content !== now.content) return before === now ? null : CONTENT;
  if (before.mode !== now.mode) return `had its mode changed from ${before.mode} to ${now.mode}`;
  if (before.owner !== now.owner) return `had its owner changed from ${before.owner} to ${now.owner}`;
  // A backup's hard link moves the ctime, and shows in the number of names.
  if (before.ctimeNs === now.ctimeNs || before.nlink !== now.nlink || linkedMeanwhile) return null;
  return 'was written to and its time put back, or changed in another way that only its ctime shows,';
}

function writtenTo({ file, how }: Change, trial: number, next: string): MergeError {
  return new MergeError('E_INPUT_CHANGED', `${file} ${how} while trial ${trial} was scored, whose score is not kept`, {
    details: { file, trial },
    help: `The weights in {model} are links to it, and what opens one for writing or changes its mode does so here: have the evaluator copy the file first (cp -L). ${next}`,
  });
}

/** A link as one of the two calls makes it, or where there are no links a copy. */
async function linkOr(link: Promise<void>, from: string, path: string): Promise<void> {
  await link.catch((error: unknown) => {
    if (!NO_LINKS.includes(errnoOf(error) ?? '')) throw error;
    return copyAnew(from, path);
  });
}
