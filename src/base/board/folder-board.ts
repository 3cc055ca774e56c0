import { join } from 'node:path';
import { errnoOf } from '../disk/errno.ts';
import { askAnew, isRemoved } from '../disk/fresh-look.ts';
import type { HeldFolder } from '../disk/held-folder.ts';
import { isGoneError, onOutput } from '../disk/io-error.ts';
import { PRIVATE } from '../disk/make-folder.ts';
import { newId } from '../disk/new-id.ts';
import { openOwn, readOwn, writeNewFile } from '../disk/own-file.ts';
import { NO_HARD_LINKS } from '../disk/owner.ts';
import { constants, type System } from '../disk/system.ts';
import { MergeError } from '../errors.ts';
import { mapBounded } from '../map-bounded.ts';
import type { Board, Sign } from './board.ts';

/** Folders of a board. */
const CLAIMS = 'claims';
const BEATS = 'beats';
/** Names that a board's documents have, and their drafts. */
export const BOARD_PARTS =
  /^(?:claims|beats|(?:plan|request|result|order-\d+|failed-[0-9a-f]{12})\.json|lines-[0-9a-f]{12}\.ndjson|note-[0-9a-f]{12}-\d+)$/;

/** Claims and ids are short words. */
const LINES = /^lines-([0-9a-f]{12})\.ndjson$/;
const PLAIN = /^[0-9A-Za-z._-]{1,128}$/;
const ID = /^[0-9a-f]{12}$/;
/** Bytes of a sign: always as many, so that one is never half overwritten by a longer one. */
const SIGN_BYTES = 512;
/** A record of a plan has a line of a training log for each of maybe a million steps. */
const MOST_BYTES = 2 ** 28;
/** Signs that are read at a time. */
const READ_AT_ONCE = 16;
/** Whoever has a name in a folder that stands for a file, where there are no hard links. */
const BY = 'by-';

/**
 * A board in a folder, on whatever file system the processes share. Claims are hard links to one file that
 * says whose they are: link(2) fails where the name is there, on every server, and the name says at once who
 * has it. Where there are no hard links a claim is a folder, which can be made once as well.
 */
export class FolderBoard implements Board {
  readonly id = newId();
  readonly path: string;
  readonly #system: System;
  readonly #folder: HeldFolder;
  #links = true;
  #drafts = 0;
  #beats = 0;

  private constructor(system: System, folder: HeldFolder) {
    this.#system = system;
    this.#folder = folder;
    this.path = folder.path;
  }

  /**
   * Takes a place at the board in a folder of this user's own, and makes it where it is not there.
   * @throws MergeError E_BOARD where something else has the name of a part of it; E_IO and the like: of all that
   *   it does
   */
  static async join(system: System, folder: HeldFolder): Promise<FolderBoard> {
    for (const name of [CLAIMS, BEATS]) {
      await onOutput('create', folder.path, () =>
        system.fs.mkdir(folder.at(name), PRIVATE).catch(async (error: unknown) => {
          if (errnoOf(error) !== 'EEXIST') throw error;
          if (!(await system.fs.lstat(folder.at(name))).isDirectory()) throw noFolder(`${folder.path}/${name}`);
        }),
      );
    }
    return new FolderBoard(system, folder);
  }

  /** The board in a folder as it is, to look at it alone: what was taken away stays away. */
  static of(system: System, folder: HeldFolder): FolderBoard {
    return new FolderBoard(system, folder);
  }

  claim(name: string): Promise<boolean> {
    return onOutput('claim', this.path, () => this.#claim(name));
  }

  async #claim(name: string): Promise<boolean> {
    if (!PLAIN.test(name)) throw new MergeError('E_INTERNAL', `${name} is no name of a claim`);
    const target = this.#folder.at(CLAIMS, name);
    if (this.#links) {
      try {
        await this.#system.fs.link(await this.#own(), target);
        return true;
      } catch (error) {
        const errno = errnoOf(error) ?? '';
        // The reply to a link that was made may be lost, and the second try then finds it made.
        if (errno === 'EEXIST') return (await this.#holder(name)) === this.id;
        if (!NO_HARD_LINKS.has(errno)) throw error;
        this.#links = errno === 'EMLINK';
        this.#drafts = errno === 'EMLINK' ? 0 : this.#drafts;
        if (errno === 'EMLINK') return this.#claim(name);
      }
    }
    try {
      await this.#system.fs.mkdir(target, PRIVATE);
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return (await this.#holder(name)) === this.id;
      throw error;
    }
    await writeNewFile(this.#system, join(target, `${BY}${this.id}`), '');
    return true;
  }

  /** The file that says whose a claim is; made once, and anew where a file has as many names as it can. */
  async #own(): Promise<string> {
    const path = this.#folder.at(`draft-${this.id}`);
    if (this.#drafts === 0) {
      await this.#system.fs.unlink(path).catch(() => {});
      await writeNewFile(this.#system, path, `${this.id}\n`);
      this.#drafts = 1;
    }
    return path;
  }

  holder(name: string): Promise<string | null> {
    return onOutput('read', this.path, () => this.#holder(name));
  }

  async #holder(name: string): Promise<string | null> {
    const path = this.#folder.at(CLAIMS, name);
    try {
      const text = (await readOwn(this.#system, path, { limit: 64 })).toString().trim();
      return ID.test(text) ? text : null;
    } catch (error) {
      if (error instanceof MergeError || errnoOf(error) === 'EISDIR') return this.#holderOfFolder(path);
      // Somebody else put a link there.
      if (isGoneError(error) || ['ELOOP', 'EMLINK'].includes(errnoOf(error) ?? '')) return null;
      throw error;
    }
  }

  async #holderOfFolder(path: string): Promise<string | null> {
    const names = await this.#system.fs.readdir(path).catch((): string[] => []);
    const by = names.find((entry) => entry.startsWith(BY))?.slice(BY.length);
    return by !== undefined && ID.test(by) ? by : null;
  }

  async claimed(): Promise<ReadonlySet<string>> {
    return new Set(await this.#system.fs.readdir(this.#folder.at(CLAIMS)).catch((): string[] => []));
  }

  put(name: string, text: string): Promise<void> {
    return onOutput('write', this.path, async () => {
      const draft = this.#folder.at(`draft-${this.id}put`);
      await this.#system.fs.unlink(draft).catch(() => {});
      await writeNewFile(this.#system, draft, text);
      await this.#system.fs.rename(draft, this.#folder.at(name));
    });
  }

  get(name: string): Promise<string | null> {
    return onOutput('read', this.path, async () => {
      await askAnew(this.#system, this.#folder.here);
      try {
        return (await readOwn(this.#system, this.#folder.at(name), { limit: MOST_BYTES })).toString();
      } catch (error) {
        if (isGoneError(error)) return null;
        throw error;
      }
    });
  }

  append(line: unknown): Promise<void> {
    return onOutput('write', this.path, async () => {
      const handle = await openOwn(this.#system, this.#folder.at(`lines-${this.id}.ndjson`), 'append', this.path);
      try {
        await handle.appendFile(`${JSON.stringify(line)}\n`);
      } finally {
        await handle.close();
      }
    });
  }

  async lines(): Promise<ReadonlyMap<string, readonly unknown[]>> {
    const names = await onOutput('read', this.path, () => this.#system.fs.readdir(this.#folder.here));
    const files = names.flatMap((name) => LINES.exec(name)?.[1] ?? []);
    const texts = await mapBounded(files, READ_AT_ONCE, (id) =>
      readOwn(this.#system, this.#folder.at(`lines-${id}.ndjson`), { limit: MOST_BYTES }).then(String, () => ''),
    );
    return new Map(files.map((id, i) => [id, linesIn(texts[i]!)]));
  }

  beat(sign: Sign): Promise<void> {
    return onOutput('write', this.path, () => this.#beat(sign));
  }

  async #beat(sign: Sign): Promise<void> {
    const text = `${JSON.stringify({ beat: this.#beats + 1, ...sign })}`.padEnd(SIGN_BYTES - 1);
    // Made once: where it is there no more the board was taken away, be there another one in the folder by now.
    const make = this.#beats === 0 ? constants.O_CREAT : 0;
    const flags = constants.O_WRONLY | make | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    // Opened and closed each time: on NFS that is when the others see it.
    const handle = await this.#system.fs.open(this.#folder.at(BEATS, this.id), flags, 0o600);
    this.#beats++;
    try {
      await handle.write(`${text}\n`, 0);
    } finally {
      await handle.close();
    }
  }

  async signs(): Promise<ReadonlyMap<string, { readonly text: string; readonly sign: Sign | null }>> {
    const names = await onOutput('read', this.path, () =>
      this.#system.fs.readdir(this.#folder.at(BEATS)).catch((error: unknown): string[] => {
        if (isGoneError(error)) return [];
        throw error;
      }),
    );
    const ids = names.filter((id) => ID.test(id) && id !== this.id);
    const texts = await mapBounded(ids, READ_AT_ONCE, (id) =>
      readOwn(this.#system, this.#folder.at(BEATS, id), { limit: 2 * SIGN_BYTES }).then(
        String,
        // Whose sign cannot be read may be at work all the same; what no rank made is none.
        (error: unknown) => (error instanceof MergeError || isGoneError(error) || errnoOf(error) === 'ELOOP' ? null : ''),
      ),
    );
    return new Map(ids.flatMap((id, i) => (texts[i] === null ? [] : [[id, { text: texts[i]!, sign: readSign(texts[i]!) }] as const])));
  }

  async gone(): Promise<boolean> {
    if (await isRemoved(this.#system, this.#folder.at(CLAIMS))) return true;
    return this.#beats > 0 && isRemoved(this.#system, this.#folder.at(BEATS, this.id));
  }
}

function noFolder(path: string): MergeError {
  return new MergeError('E_BOARD', `${path} is no folder, and ranks made none such`, { details: { file: path } });
}

/** Null for what is no sign: one that is being written, or of another version. */
function readSign(text: string): Sign | null {
  try {
    const { state, rank, launch, host, bytesRead, bytesWritten, seconds, doing } = JSON.parse(text) as Record<string, unknown>;
    if (state !== 'here' && state !== 'left' && state !== 'failed') return null;
    const numbers = { rank, bytesRead, bytesWritten, seconds };
    if (!Object.values(numbers).every((n) => Number.isFinite(n) && (n as number) >= 0)) return null;
    if (typeof host !== 'string' || !(launch === null || typeof launch === 'string')) return null;
    return { state, launch, host, ...(numbers as Record<keyof typeof numbers, number>), doing: readDoing(doing) };
  } catch {
    return null;
  }
}

function readDoing(said: unknown): Sign['doing'] {
  const { task, seconds } = (said ?? {}) as Record<string, unknown>;
  return typeof task === 'string' && Number.isFinite(seconds) && (seconds as number) >= 0 ? { task, seconds: seconds as number } : null;
}

function linesIn(text: string): unknown[] {
  const lines: unknown[] = [];
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    try {
      if (line !== '') lines.push(JSON.parse(line));
    } catch {
      break;
    }
  }
  return lines;
}
