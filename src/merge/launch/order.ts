import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { isRemoved } from '../../base/disk/fresh-look.ts';
import { onOutput } from '../../base/disk/io-error.ts';
import { newId } from '../../base/disk/new-id.ts';
import { readOwn, writeNewFile } from '../../base/disk/own-file.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { type Reader, spokenTo } from '../../base/option-words.ts';
import { version } from '../../base/version.ts';
import type { OutsidePath } from '../../recipe/outside.ts';
import type { ExecuteOptions } from '../engine/execute.ts';
import { locate } from '../output/destination.ts';
import type { AskedMerge } from '../plan/request-digest.ts';
import { documentText, type PlanRecord, parseDocument } from '../ranks/plan-record.ts';

/** What a process that starts ranks has them make. It lies where all of them find it, as long as they are wanted. */
export interface Order {
  readonly schema: 'ckpt-merge/order';
  readonly version: 1;
  readonly program: string;
  /** The current folder of whoever wrote the paths. */
  readonly folder: string;
  /** Who reads what the ranks say. */
  readonly reader: { readonly who: Reader; readonly options: readonly string[] };
  /** Names this start of them. */
  readonly launch: string;
  readonly asked: AskedMerge;
  readonly record: PlanRecord;
  readonly outside: readonly OutsidePath[];
  readonly options: Pick<LaunchOptions, (typeof OF_RANK)[number]>;
}

/** Options of a merge by ranks that are started for it. */
export interface LaunchOptions extends ExecuteOptions {
  readonly rankTimeout?: number | undefined;
  readonly memory?: number | undefined;
  readonly followLinks?: boolean | undefined;
}

/** What of them each rank goes by. */
export const OF_RANK = [
  ...(['threads', 'memory', 'io', 'ioDepth', 'maxRead', 'cache', 'failNonfinite', 'followLinks', 'force'] as const),
  ...(['keep', 'rankTimeout', 'unitBytes', 'sync', 'tuning'] as const),
] as const satisfies readonly (keyof LaunchOptions)[];

/** Bytes of an order: a record has a line of a training log for each of maybe a million steps. */
const MOST_BYTES = 2 ** 28;

export interface WrittenOrder {
  readonly path: string;
  readonly digest: string;
}

/** An order of this process, and of this moment. */
export function newOrder(of: Omit<Order, 'schema' | 'version' | 'program' | 'folder' | 'reader' | 'launch'>): Order {
  const about = { schema: 'ckpt-merge/order', version: 1, program: version, folder: process.cwd(), reader: spokenTo() } as const;
  return { ...about, launch: newId(), ...of };
}

/** Writes an order beside an output, in the folder next to it that is there. @throws MergeError of the side of outputs */
export async function writeOrder(beside: string, order: Order): Promise<WrittenOrder> {
  const { parent, missing } = await locate(beside);
  const path = join(missing.length > 0 ? dirname(missing[0]!) : parent, `.ckpt-merge-order-${order.launch}.json`);
  const text = documentText(order);
  await onOutput('write', path, () => writeNewFile(SYSTEM, path, text));
  return { path, digest: createHash('sha256').update(text).digest('hex') };
}

/** Takes an order away: ranks that are at work stop, and those that come find that nothing is wanted. */
export async function removeOrder({ path }: WrittenOrder): Promise<void> {
  await removeTree(SYSTEM, path).catch(() => {});
}

/** Whether an order is still there. What cannot be told counts as yes. */
export async function isWanted(path: string): Promise<boolean> {
  return !(await isRemoved(SYSTEM, path));
}

/**
 * The order of a rank.
 * @throws MergeError E_LAUNCHER where it is not there, or is not the one that the rank was started for
 */
export async function readOrder({ path, digest }: WrittenOrder): Promise<Order> {
  const bytes = await readOwn(SYSTEM, path, { limit: MOST_BYTES }).catch((error: unknown) => {
    const message = `${path}, which says what to merge, cannot be read here`;
    throw new MergeError('E_LAUNCHER', message, {
      details: { file: path },
      help: 'It lies beside the output, which must be on a file system that all machines share; or the command that started this rank has ended.',
      cause: error,
    });
  });
  if (createHash('sha256').update(bytes).digest('hex') !== digest)
    throw new MergeError('E_LAUNCHER', `${path} is not what this rank was started for`, { details: { file: path } });
  const order = parseDocument(bytes.toString()) as Order;
  if (order.program === version) return order;
  throw new MergeError('E_LAUNCHER', `this machine has version ${version}, and the command was started with ${order.program}`, {
    help: 'Install the same version on all machines, or one on a file system that they share.',
  });
}
