import { ClaimedTasks, type TaskStart } from '../../base/board/claimed-tasks.ts';
import type { Presence } from '../../base/board/presence.ts';
import { shortDigest } from '../../base/short-digest.ts';
import { combinedSample, digestsOfFiles } from '../../checkpoints/fingerprint.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';

/** Files that one rank looks into at a time: enough for many reads in flight, and few enough to share. */
const FILES_AT_ONCE = 64;
/** What lines about fingerprints begin with. */
const LINE = 'digests';
const DIGEST = /^[0-9a-f]{64}$/;

/** Some files of a checkpoint. */
interface Part {
  readonly checkpoint: Checkpoint;
  readonly files: readonly number[];
}

/** Which of the ranks of a start this is, and what names the start: claims of an earlier one say nothing of this. */
interface RankOfStart extends TaskStart {
  readonly launch: string;
}

/**
 * [member] fingerprints of checkpoints, of which each rank at a board looks into some files, and all learn what
 * all of them found.
 * @throws MergeError as `fingerprint` does; what another rank failed with
 */
export async function sharedFingerprints(
  checkpoints: readonly Checkpoint[],
  presence: Presence,
  { launch, ...start }: RankOfStart,
): Promise<string[]> {
  const { board } = presence;
  const parts = checkpoints.flatMap(partsOf);
  const found = new Map<number, readonly string[]>();
  const note = (task: number, digests: readonly string[]): void => {
    if (digests.length === parts[task]?.files.length && !found.has(task)) found.set(task, digests);
  };
  const read = async (): Promise<'open' | 'over'> => {
    for (const [id, lines] of await board.lines()) {
      // What an earlier start found is what is to be checked.
      if (!presence.believes(id)) continue;
      for (const line of lines) {
        const [what, task, digests] = Array.isArray(line) ? (line as unknown[]) : [];
        if (what === LINE && Number.isSafeInteger(task) && isDigests(digests)) note(task as number, digests);
      }
    }
    return found.size === parts.length ? 'over' : 'open';
  };
  const prefix = `${LINE}-${shortDigest(launch)}`;
  const list = {
    ...{ count: parts.length, onlyReads: true, nameOf: (task: number) => `${prefix}-${task}` },
    ...{ isFinished: (task: number) => found.has(task), read },
  };
  const tasks = new ClaimedTasks(presence, list, start);
  for await (const next of tasks.tasks(async () => {})) {
    if (next === null) continue;
    const { checkpoint, files } = parts[next.task]!;
    const digests: string[] = [];
    for await (const { digest } of digestsOfFiles(checkpoint, files, start.signal)) digests.push(digest.toString('hex'));
    await board.append([LINE, next.task, digests]);
    note(next.task, digests);
  }
  return checkpoints.map((checkpoint) => {
    const digests = parts.flatMap((part, task) => (part.checkpoint === checkpoint ? found.get(task)! : []));
    return combinedSample(digests.map((digest) => ({ digest: Buffer.from(digest, 'hex'), spots: new Map() }))).fingerprint;
  });
}

function partsOf(checkpoint: Checkpoint): Part[] {
  const count = checkpoint.heads.length + checkpoint.files.length;
  const parts: Part[] = [];
  for (let first = 0; first < count; first += FILES_AT_ONCE) {
    parts.push({ checkpoint, files: Array.from({ length: Math.min(FILES_AT_ONCE, count - first) }, (_, i) => first + i) });
  }
  return parts;
}

function isDigests(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((digest) => typeof digest === 'string' && DIGEST.test(digest));
}
