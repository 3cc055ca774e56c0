import { join } from 'node:path';
import { readIfThere } from '../base/store/store.ts';
import { METADATA_KEY, PROVENANCE_FILE, recordBeside } from './our-files.ts';
import type { Checkpoint } from './types.ts';

/** A member takes some hundred bytes. */
const MAX_RECORD_BYTES = 2 ** 26;

/** What the record of a merge says of its place in a run. */
export interface RecordedMerge {
  /** How its members were merged, as `sma`; `convert` for one of them in another container. */
  readonly method: string | null;
  /** Step and tokens of its latest member; null where no member's is known. */
  readonly step: number | null;
  readonly tokens: number | null;
  readonly members: number;
}

/**
 * The record of a checkpoint that this tool wrote, wherever it keeps it: in the header of safetensors, in its
 * folder, or beside a file of torch.save. Null for the checkpoints of others, also for a file that lies where a
 * merge lay.
 */
export async function recordedMerge({ path, kind, shards, files }: RecordedCheckpoint): Promise<RecordedMerge | null> {
  const inHeader = shards[0]?.metadata?.get(METADATA_KEY);
  const short = inHeader === undefined ? null : mergeOf(inHeader);
  // In short a record does not say of its members which tokens they had.
  if (short !== null && (short.tokens !== null || kind !== 'folder')) return short;
  const bytes = await readIfThere(kind === 'folder' ? join(path, PROVENANCE_FILE) : recordBeside(path), MAX_RECORD_BYTES).catch(() => null);
  if (bytes === null) return short;
  const text = Buffer.from(bytes).toString();
  const whole = kind === 'folder' || isAbout(text, files) ? mergeOf(text) : null;
  if (short === null) return whole;
  const same = whole !== null && whole.method === short.method && whole.step === short.step && whole.members === short.members;
  return same ? whole : short;
}

/**
 * Step and tokens of a checkpoint that was named as an input. A merge whose name gives none stands where its latest
 * member does.
 */
export function placeOfMerge(checkpoint: Checkpoint): Promise<Place> {
  const known = PLACES.get(checkpoint) ?? foundPlace(checkpoint);
  PLACES.set(checkpoint, known);
  return known;
}

type Place = Pick<Checkpoint, 'step' | 'tokens'>;

/** Of checkpoints that are open: each output of a plan asks for the places of its members. */
const PLACES = new WeakMap<Checkpoint, Promise<Place>>();

async function foundPlace(checkpoint: Checkpoint): Promise<Place> {
  const { step, tokens } = checkpoint;
  if (step !== null && tokens !== null) return { step, tokens };
  const merge = await recordedMerge(checkpoint);
  if (merge === null || merge.step === null || (step !== null && step !== merge.step)) return { step, tokens };
  return { step: merge.step, tokens: tokens ?? merge.tokens };
}

type RecordedCheckpoint = Pick<Checkpoint, 'path' | 'kind' | 'shards' | 'files'>;

const UNREADABLE: RecordedMerge = { method: null, step: null, tokens: null, members: 0 };

/** Whether a record is about the file that it lies beside, and not about one that a trainer has replaced since. */
function isAbout(text: string, files: Checkpoint['files']): boolean {
  const recorded = parsed(text).files;
  const [first] = Array.isArray(recorded) ? recorded : [];
  const bytes = (first as { readonly bytes?: unknown } | undefined)?.bytes;
  return bytes === undefined || bytes === files[0]?.stat.size;
}

/** In short in the files of a folder of safetensors, else whole. */
function mergeOf(text: string): RecordedMerge {
  const record = parsed(text);
  const { method, members } = record.recipe === undefined ? record : asObject(record.recipe);
  if (typeof method !== 'string' || !Array.isArray(members)) return UNREADABLE;
  const latest = members
    .map(asObject)
    .reduce<Readonly<Record<string, unknown>>>((a, b) => ((countIn(b.step) ?? -1) >= (countIn(a.step) ?? -1) ? b : a), {});
  return { method, step: countIn(latest.step), tokens: countIn(latest.tokens), members: members.length };
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return {};
  }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function countIn(value: unknown): number | null {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null;
}
