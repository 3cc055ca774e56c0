import { dirname, join } from 'node:path';
import { errnoOf } from '../../base/disk/errno.ts';
import { onOutput, toMergeError } from '../../base/disk/io-error.ts';
import { newId } from '../../base/disk/new-id.ts';
import { copyAnew, makeFoldersSync } from '../../base/disk/own-file.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import { fingerprint } from '../../checkpoints/fingerprint.ts';
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
 * Weights of a checkpoint of the run are symbolic links, which work from one file system to another and do not
 * touch the run's files, as a second name would. Those of a merge, which lies beside, are hard links: real
 * files for a container that is shown the folder and nothing else. What opens a weight for writing reaches
 * what the link leads to, which {@link LentModel.check} finds out.
 */
export class Lender {
  readonly #work: Pick<WorkFolder, 'path'>;
  readonly #options: SideFileOptions;
  /** What belongs with a checkpoint, by its path. */
  readonly #beside = new Map<string, Promise<SideFiles>>();

  constructor(work: Pick<WorkFolder, 'path'>, options: SideFileOptions) {
    this.#work = work;
    this.#options = options;
  }

  /**
   * A checkpoint of the run as it is, less its training state: what a merge would have.
   * @throws MergeError E_NOT_READABLE and the like for a file that belongs to it; of the side of outputs
   */
  async member({ path, checkpoint, fingerprint: known }: StudyMember, trial: number): Promise<LentModel> {
    const beside = this.#beside.get(path) ?? sideFiles(checkpoint, this.#options);
    this.#beside.set(path, beside);
    const { copied, faults } = await beside;
    if (faults.length > 0) throw faults[0]!;
    const lent = this.#place(trial, checkpoint.kind);
    const weights = checkpoint.files.map((file) => ({ file: file.path, as: checkpoint.kind === 'file' ? lent : join(lent, file.name) }));
    const before = await Promise.all(weights.map(({ file }) => lookOf(file)));
    const check = async (): Promise<void> => {
      const changes = await Promise.all(weights.map(async ({ file }, i) => ({ file, how: changeOf(before[i]!, await lookOf(file)) })));
      const changed = changes.find(({ how }) => how === 'content') ?? changes.find(({ how }) => how === 'state');
      if (changed === undefined) return;
      // A backup gave it a second name, or somebody other rights; or it was written to, and its time put back.
      if (changed.how === 'state' && (await fingerprint(checkpoint)) === known) return;
      throw writtenTo(changed.file, trial, 'Put the file back as it was; then go on with --resume.');
    };
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
    const before = shared ? await weightsOf(path) : null;
    const check = async (): Promise<void> => {
      if (before === null) return;
      const now = await weightsOf(path);
      const changed = [...before].find(([file, content]) => now.get(file) !== content);
      if (changed !== undefined) throw writtenTo(changed[0], trial, 'Then go on with --resume.');
    };
    return this.#lent(lent, check, async () => {
      if (!isFile) await SYSTEM.fs.mkdir(lent);
      for (const name of names) {
        const [from, to] = [join(path, name), join(lent, name)];
        if (WEIGHTS.test(from)) await linkOr(SYSTEM.fs.link(from, to), from, to);
        else if ((await storeOf(from).stat(from)).kind === 'folder') makeFoldersSync(to);
        else await copyAnew(from, to);
      }
    });
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

/** What says whether the weights of a merge were written to, by file; that they have more names, or fewer, does not. */
export async function weightsOf(merge: string): Promise<ReadonlyMap<string, string>> {
  const names = WEIGHTS.test(merge) ? [''] : (await storeOf(merge).listBelow(merge)).sort();
  const files = names.map((name) => join(merge, name)).filter((file) => WEIGHTS.test(file));
  return new Map(await Promise.all(files.map(async (file) => [file, (await lookOf(file))?.content ?? 'gone'] as const)));
}

/** What a file looks like from outside; null where it is gone. */
type Look = { readonly content: string; readonly state: string } | null;

async function lookOf(path: string): Promise<Look> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await SYSTEM.fs.stat(path, { bigint: true });
    return { content: `${dev}:${ino}:${size}:${mtimeNs}`, state: String(ctimeNs) };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw toMergeError(error, { action: 'look at', file: path, side: 'input' });
  }
}

function changeOf(before: Look, now: Look): 'content' | 'state' | null {
  if (before?.content !== now?.content) return 'content';
  return before?.state === now?.state ? null : 'state';
}

function writtenTo(file: string, trial: number, next: string): MergeError {
  return new MergeError('E_INPUT_CHANGED', `${file} was changed while trial ${trial} was scored, whose score is not kept`, {
    details: { file, trial },
    help: `The weights in {model} are links to it, and what opens one for writing writes here: have the evaluator copy the file first (cp -L). ${next}`,
  });
}

/** A link as one of the two calls makes it, or where there are no links a copy. */
async function linkOr(link: Promise<void>, from: string, path: string): Promise<void> {
  await link.catch((error: unknown) => {
    if (!NO_LINKS.includes(errnoOf(error) ?? '')) throw error;
    return copyAnew(from, path);
  });
}
