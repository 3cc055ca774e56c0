import { createHash } from 'node:crypto';
import { MergeError, type Warning } from '../../base/errors.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { version } from '../../base/version.ts';
import { digestOfFile } from '../../checkpoints/fingerprint.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { PLACEHOLDER } from '../../recipe/file/contradictions.ts';
import type { AskedMerge } from '../plan/request-digest.ts';
import type { AdoptedPlan, Plan, PlanRequest } from '../plan/types.ts';

/**
 * What the first of several ranks planned, for all others: the members as it found them, and what identifies
 * them. Whatever comes to the run meanwhile takes no part.
 */
export interface PlanRecord {
  readonly schema: 'ckpt-merge/ranks';
  readonly version: 1;
  readonly program: string;
  /** Digest of what was asked for. */
  readonly request: string;
  /** The start in which it was planned; null where the launcher says nothing. */
  readonly launch: string | null;
  /** Who planned it, on the board; null where it was planned before there was one. */
  readonly by: string | null;
  readonly resolved: PlanRequest;
  readonly finished: readonly string[];
  /** Bytes of output that are claimed at a time. */
  readonly unitBytes: number;
  readonly members: readonly RecordedMember[];
  readonly outputs: readonly { readonly digest: string; readonly warnings: readonly Warning[] }[];
  /** How many there were to be, when it was planned. */
  readonly size: number;
}

interface RecordedMember {
  readonly path: string;
  readonly fingerprint: string;
  /** Bytes of each of its files, and a digest of where its tensors lie in them. */
  readonly files: readonly number[];
  readonly tensors: string;
  /** Digest of the content of its first file of tensors, as a fingerprint has it. */
  readonly content: string;
}

/** Units of several ranks: a second or two of work, and enough of them that nobody waits for the last one. */
const MOST_BYTES = 2 ** 30;
const LEAST_BYTES = 64 * 2 ** 20;
const UNITS_A_RANK = 8;
/** Cuts lie on whole pages and stripes of every file system. */
const GRAIN = 4 * 2 ** 20;

/** Bytes of output that ranks claim at a time: a multiple of 4 MiB. */
function unitBytesOf({ bytesWritten }: Pick<Plan, 'bytesWritten'>, size: number): number {
  const even = Math.floor(bytesWritten / (UNITS_A_RANK * size) / GRAIN) * GRAIN;
  return Math.max(LEAST_BYTES, Math.min(MOST_BYTES, even));
}

/** @throws MergeError as `digestOfFile` does */
export async function planRecord(
  plan: Plan,
  resolved: PlanRequest,
  about: Pick<PlanRecord, 'request' | 'launch' | 'by' | 'size'> & { readonly unitBytes: number | undefined },
  signal?: AbortSignal,
): Promise<PlanRecord> {
  const content = await contentsOf(plan, signal);
  const made = new Set(plan.outputs.map(({ path }) => path));
  return {
    schema: 'ckpt-merge/ranks',
    version: 1,
    program: version,
    ...{ request: about.request, launch: about.launch, by: about.by },
    resolved: { ...recorded(resolved), outputs: resolved.outputs.filter(({ path }) => made.has(path)) },
    finished: plan.finished,
    unitBytes: about.unitBytes ?? unitBytesOf(plan, about.size),
    members: plan.members.map(({ path, fingerprint, checkpoint }, m) => ({
      path,
      fingerprint,
      ...seenOf(checkpoint),
      content: content[m]!,
    })),
    outputs: plan.outputs.map(({ digest, warnings }) => ({ digest, warnings })),
    size: about.size,
  };
}

/** Numbers that JSON has no words for: the loss of a log may be one. */
const WORDS = new Map([
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
  ['NaN', Number.NaN],
]);
const MARK = '#number ';

/** A document as JSON, in which any number can be. */
export function documentText(document: object): string {
  return JSON.stringify(document, (_, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? `${MARK}${value}` : value,
  );
}

/** What {@link documentText} wrote. @throws SyntaxError */
export function parseDocument(text: string): unknown {
  return JSON.parse(text, (_, value: unknown) =>
    typeof value === 'string' && value.startsWith(MARK) ? WORDS.get(value.slice(MARK.length)) : value,
  );
}

/** A line with a document, and one with its SHA-256: what somebody changed, or a disk, is not carried out. */
export function recordText(record: object): string {
  const line = documentText(record);
  return `${line}\n${digestOf(line)}\n`;
}

/** The document of a {@link recordText}; null where that was changed. */
export function readRecordText(text: string): unknown {
  const [line = '', sum] = text.split('\n');
  return sum === digestOf(line) ? parseDocument(line) : null;
}

const digestOf = (line: string): string => createHash('sha256').update(line).digest('hex');

/**
 * @param asked what this rank was asked for, and the digest of it @param path of the board, for people
 * @throws MergeError E_BOARD for what this version did not write
 */
export function parseRecord(text: string, asked: { readonly recipe: AskedMerge; readonly request: string }, path: string): PlanRecord {
  let record: PlanRecord | null = null;
  const [line = '', sum] = text.split('\n');
  try {
    record = parseDocument(line) as PlanRecord;
  } catch {
    // Said below.
  }
  const { schema, version: form, program, request: theirs } = record ?? ({} as Partial<PlanRecord>);
  const wrong =
    schema !== 'ckpt-merge/ranks' || form !== 1
      ? 'is no record of a plan that this version reads'
      : program !== version
        ? `was written by version ${String(program)}, and this is ${version}`
        : theirs !== asked.request
          ? 'is about another merge'
          : sum !== digestOf(line) || !isWhole(record!, asked.recipe)
            ? 'was changed since it was written'
            : null;
  if (wrong === null) return record!;
  throw wrongRecord(path, wrong);
}

/** @param path of the board @param wrong what is wrong with the record of its plan */
export function wrongRecord(path: string, wrong: string, cause?: unknown): MergeError {
  return new MergeError('E_BOARD', `${path}: its plan ${wrong}`, { details: { file: path }, cause });
}

/** Whether a record has what is needed, and no other outputs than those that were asked for. */
function isWhole({ resolved, members, outputs, finished, unitBytes }: PlanRecord, recipe: AskedMerge): boolean {
  if (![members, outputs, finished, resolved?.inputs, resolved?.outputs].every(Array.isArray)) return false;
  if (!(Number.isSafeInteger(unitBytes) && unitBytes > 0)) return false;
  const wanted = recipe.outputs.map(({ path }) => path.split(PLACEHOLDER_PART).map(escaped).join('[^/]+'));
  const pattern = new RegExp(`^(?:${wanted.join('|')})$`);
  return resolved.outputs.every(({ path }) => pattern.test(path)) && resolved.outputs.length === outputs.length;
}

const PLACEHOLDER_PART = new RegExp(PLACEHOLDER.source.replace('(', '(?:'));
const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** The request of a record, for this rank to plan as the first one did. */
export function adoptedRequest(record: PlanRecord): PlanRequest {
  const fingerprints = new Map(record.members.map(({ path, fingerprint }) => [path, fingerprint]));
  const adopted: AdoptedPlan = { fingerprints, warnings: record.outputs.map(({ warnings }) => warnings) };
  return { ...record.resolved, adopted };
}

/**
 * The request that the planner plans, as it says it before it has planned: the others prepare meanwhile what the
 * headers of its inputs decide.
 */
export const requestText = (resolved: PlanRequest): string => recordText({ resolved: recorded(resolved) });

/** Null for what is no such text. */
export function readRequestText(text: string): PlanRequest | null {
  try {
    const { resolved } = readRecordText(text) as Partial<Pick<PlanRecord, 'resolved'>>;
    return [resolved?.inputs, resolved?.outputs].every(Array.isArray) ? resolved! : null;
  } catch {
    return null;
  }
}

/** Whether a record is of the plan of this request. */
export const isOfRequest = (record: PlanRecord, resolved: PlanRequest): boolean => documentText(record.resolved) === documentText(resolved);

/** What of a request is the same for all ranks. */
function recorded({ force, resume, memory, followLinks, ...asked }: PlanRequest): PlanRequest {
  return asked;
}

/**
 * Whether this rank plans what the first one did, of the same files.
 * @param sampling gives [member] fingerprints of the files as they are now, where the record is of an earlier
 *   start; else null
 * @throws MergeError E_INPUT_CHANGED naming the checkpoint; E_BOARD where the plans differ all the same; as
 *   `fingerprint` does
 */
export async function checkAdopted(
  plan: Plan,
  record: PlanRecord,
  { path, sampling, signal }: { readonly path: string; readonly sampling: Sampling | null; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const recorded = new Map(record.members.map((member) => [member.path, member]));
  const contents = await contentsOf(plan, signal);
  const now = sampling === null ? null : await sampling(plan.members.map(({ checkpoint }) => checkpoint));
  for (const [m, { path: member, checkpoint }] of plan.members.entries()) {
    const before = recorded.get(member);
    const { files, tensors } = seenOf(checkpoint);
    const isSame = before?.tensors === tensors && before.files.join() === files.join() && before.content === contents[m];
    if (isSame && (now === null || now[m] === before.fingerprint)) continue;
    throw new MergeError('E_INPUT_CHANGED', `${member} is not what it was when the ranks planned this merge`, {
      details: { file: member },
      help: `Another rank sees other files there, or it changed since ${path} was begun: remove that folder to begin anew.`,
    });
  }
  const same = plan.outputs.length === record.outputs.length && plan.outputs.every(({ digest }, k) => digest === record.outputs[k]!.digest);
  if (same) return;
  throw new MergeError('E_BOARD', `${path}: this rank plans another merge of the same checkpoints than the one that planned first`, {
    details: { file: path },
  });
}

/** Samples checkpoints anew. */
export type Sampling = (checkpoints: readonly Checkpoint[]) => Promise<readonly string[]>;

/** Checkpoints that are looked into at a time. */
const AT_ONCE = 8;

/**
 * [member] a digest of what one of its files holds: other checkpoints of the same model, as copies on the disks
 * of several machines may be, have the same sizes and headers.
 */
function contentsOf({ members }: Plan, signal: AbortSignal | undefined): Promise<string[]> {
  return mapBounded(members, AT_ONCE, async ({ checkpoint }) => {
    if (checkpoint.files.length === 0) return '';
    return (await digestOfFile(checkpoint, checkpoint.heads.length, signal)).digest.toString('hex');
  });
}

/** Where the tensors of a checkpoint lie, without their names, which the plan's digest is about. */
function seenOf({ files, heads, shards }: Checkpoint): Pick<RecordedMember, 'files' | 'tensors'> {
  const hash = createHash('sha256');
  for (const { tensors } of shards) {
    const { offset, bytes, boxes } = tensors;
    for (const column of [offset, bytes, ...(boxes === null ? [] : [boxes.file, boxes.offset])]) {
      hash.update(new Uint8Array(column.buffer, column.byteOffset, column.byteLength));
    }
  }
  return { files: [...heads, ...files].map(({ stat }) => stat.size), tensors: hash.digest('hex') };
}
