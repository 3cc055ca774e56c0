import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { hiddenBeside, start } from './faults-merge.ts';
import { systemTool } from './system-tool.ts';

/** Somebody else, in no group of ours. */
export const STRANGER = 54_321;

/** Whether this process can make what belongs to others; where not, says why tests are skipped. */
export function canBeAnother(): boolean {
  if (process.getuid?.() === 0) return true;
  process.stdout.write('skipped: only root can make files of another user\n');
  return false;
}

/** Gives a file, or a folder with all that is in it, to the stranger; links are given, not followed. */
export function giveAway(path: string): void {
  lchownSync(path, STRANGER, STRANGER);
  if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) giveAway(join(path, name));
}

/** A private file, which nobody else may read, in a private folder. */
export function secretIn(folder: string): string {
  const home = join(folder, 'home');
  mkdirSync(home, { mode: 0o700 });
  const secret = join(home, 'secret');
  writeFileSync(secret, `${'secret '.repeat(20_000)}\n`, { mode: 0o600 });
  return secret;
}

export function fifo(path: string): void {
  const { status, stderr } = spawnSync(systemTool('mkfifo'), [path], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

/** Everything below a path: kind, owner, mode and content of each, links as links. */
export function pictureOf(path: string): Record<string, string> {
  const stat = lstatSync(path);
  const what = stat.isSymbolicLink()
    ? `-> ${readlinkSync(path)}`
    : stat.isFile()
      ? readFileSync(path).toString('base64')
      : stat.isDirectory()
        ? 'folder'
        : 'other';
  const own = { [path]: `${stat.uid} ${stat.mode.toString(8)} ${what}` };
  if (!stat.isDirectory()) return own;
  return Object.assign(own, ...readdirSync(path).map((name) => pictureOf(join(path, name))));
}

/**
 * What a killed merge of these words left, moved to `aside`: to be planted under any name beside `out`.
 * @param call native call at which it is killed
 */
export async function leftOf(words: readonly string[], out: string, aside: string, call = 4): Promise<string> {
  await start(words, { callMs: 20, kill: { call, ms: 0 } }).ended;
  const [name] = hiddenBeside(out);
  if (name === undefined) throw new Error('the killed merge left nothing');
  mkdirSync(dirname(aside), { recursive: true });
  renameSync(join(dirname(out), name), aside);
  return aside;
}

/** Marks what {@link leftOf} found as let go in good order, as an attacker would. */
export function markReleased(partial: string): void {
  const file = join(partial, 'owner.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), released: true }));
}

/** How many partials were planted: each has an id of its own. */
let planted = 0;

/** A name of an unfinished merge to `out` that nothing has yet. */
export function partialName(out: string, kind: 'partial' | 'old' = 'partial'): string {
  planted++;
  return join(dirname(out), `.${basename(out)}.${kind}-${planted.toString(16).padStart(12, 'a')}`);
}

export interface Plant {
  readonly left: string;
  readonly out: string;
  readonly secret: string;
}

/** The first file of the payload of a partial. */
function firstFile(partial: string): string {
  return join(partial, 'payload', readdirSync(join(partial, 'payload')).sort()[0]!);
}

function replaceBy(path: string, make: (path: string) => void): void {
  rmSync(path, { recursive: true });
  make(path);
}

type Planting = (path: string, plant: Plant) => void;

const copied =
  (change: Planting): Planting =>
  (path, plant) => {
    cpSync(plant.left, path, { recursive: true });
    chmodSync(path, 0o700);
    change(path, plant);
  };

/** What an attacker can put beside OUT: none of it is ever looked into. */
export const FOREIGN: Readonly<Record<string, Planting>> = {
  'of a stranger': copied(giveAway),
  'of a stranger, open to all': copied((path) => {
    giveAway(path);
    chmodSync(path, 0o777);
  }),
  'of a stranger, its file a link to a secret': copied((path, { secret }) => {
    replaceBy(firstFile(path), (file) => symlinkSync(secret, file));
    giveAway(path);
  }),
  'of a stranger, its file a second name of a secret': copied((path, { secret }) => {
    replaceBy(firstFile(path), (file) => linkSync(secret, file));
    const own = lstatSync(secret);
    giveAway(path);
    chownSync(secret, own.uid, own.gid);
  }),
  'of a stranger, its payload a link': copied((path, { secret }) => {
    replaceBy(join(path, 'payload'), (folder) => symlinkSync(dirname(secret), folder));
    giveAway(path);
  }),
  'a folder that the group can write to': copied((path) => chmodSync(path, 0o770)),
  'a folder that all can write to': copied((path) => chmodSync(path, 0o777)),
  'a link to a folder': (path, { left }) => symlinkSync(left, path),
  'a link to nothing': (path) => symlinkSync('/not/there', path),
  'a link to a secret': (path, { secret }) => symlinkSync(secret, path),
  'a file': (path) => writeFileSync(path, 'mine'),
  'a FIFO': fifo,
};

/** What may lie in a folder of our own that only this user can write to (a copy, a mistake, a damaged disk). */
export const INSIDE: Readonly<Record<string, Planting>> = {
  'payload a link': copied((path, { secret }) => replaceBy(join(path, 'payload'), (folder) => symlinkSync(dirname(secret), folder))),
  'payload a FIFO': copied((path) => replaceBy(join(path, 'payload'), fifo)),
  'a file of the payload a link': copied((path, { secret }) => replaceBy(firstFile(path), (file) => symlinkSync(secret, file))),
  'a file of the payload a second name': copied((path, { secret }) => replaceBy(firstFile(path), (file) => linkSync(secret, file))),
  'a file of the payload a FIFO': copied((path) => replaceBy(firstFile(path), fifo)),
  'owner.json a link': copied((path, { left }) =>
    replaceBy(join(path, 'owner.json'), (file) => symlinkSync(join(left, 'owner.json'), file)),
  ),
  'owner.json a FIFO': copied((path) => replaceBy(join(path, 'owner.json'), fifo)),
  'heartbeat a link': copied((path, { secret }) => replaceBy(join(path, 'heartbeat'), (file) => symlinkSync(secret, file))),
  'heartbeat a FIFO': copied((path) => replaceBy(join(path, 'heartbeat'), fifo)),
  'journal a link': copied((path, { left }) =>
    replaceBy(join(path, 'journal.ndjson'), (file) => symlinkSync(join(left, 'journal.ndjson'), file)),
  ),
  'journal a link to a secret': copied((path, { secret }) => replaceBy(join(path, 'journal.ndjson'), (file) => symlinkSync(secret, file))),
  'journal a second name': copied((path, { secret }) => replaceBy(join(path, 'journal.ndjson'), (file) => linkSync(secret, file))),
  'journal a FIFO': copied((path) => replaceBy(join(path, 'journal.ndjson'), fifo)),
};
