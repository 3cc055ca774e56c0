import { basename, dirname, join, parse } from 'node:path';
import { verify } from '../../analysis/verify/verify.ts';
import { MergeError } from '../../base/errors.ts';
import { drain } from '../../base/event-stream.ts';
import { keysOf, pick } from '../../base/pick.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { storeOf } from '../../base/store/store.ts';
import { positionFromName } from '../../checkpoints/names.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { recordedMerge } from '../../checkpoints/own-record.ts';
import { asideOf } from '../../checkpoints/run/set-aside.ts';
import type { RunCheckpoint } from '../../checkpoints/run/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { type ConvertOptions, convertEvents, planConversion } from '../../merge/convert.ts';
import { MACHINE, TRUST } from '../../recipe/options.ts';
import type { KeptSave } from '../keep/keep.ts';
import { lookOf } from '../keep/look-of.ts';
import { bytesOfAll } from '../keep/save-bytes.ts';
import { lostWith } from './lost.ts';
import { placeOfCopy } from './script.ts';
import type { StripEvent, StripOptions, StrippedSave } from './types.ts';

/** Below this share of a save it holds the model and hardly anything besides. */
const LEAST_SHARE = 0.01;

/** Where copies are made, and how. */
export type StripCopyOptions = Pick<StripOptions, 'output' | keyof typeof MACHINE | keyof typeof TRUST>;

/** A copy that can be made, or is there. */
export interface PlannedCopy {
  readonly save: StrippedSave;
  /** Of the save's tensors. */
  readonly container: Checkpoint['form']['kind'];
  /** Bytes that have to be free for it, and are; 0 where it is there. */
  readonly freeBytesNeeded: number;
  readonly freeBytesAvailable: number;
  readonly conversion: ConvertOptions;
}

/** Why a save stays as it is that is kept for nothing but windows; else where its copy goes, whether or not it is there. */
export async function copyFor(
  one: KeptSave,
  save: RunCheckpoint,
  output: string,
): Promise<{ readonly reason: string } | { readonly copy: string }> {
  const reason = await whyLeft(one, save);
  if (reason !== null) return { reason };
  const copy = placeFor(one, save, output);
  const inTheWay = await inTheWayOf({ path: one.path, copy });
  return inTheWay === null ? { copy } : { reason: `${inTheWay} lies in the way of its copy` };
}

/** Where the copy of a save goes. */
export function placeFor({ path }: KeptSave, save: RunCheckpoint, output: string): string {
  return join(output, copyName(path, save));
}

/**
 * Plans the copy of a save of which {@link copyFor} says where it goes. Writes nothing.
 * @throws MergeError what a conversion throws, with what to do with the copy
 */
export async function planCopy(
  one: KeptSave,
  save: RunCheckpoint,
  copy: string,
  options: StripCopyOptions,
  signal: AbortSignal | undefined,
): Promise<PlannedCopy | { readonly reason: string }> {
  const machine = pick(options, [...keysOf(MACHINE), ...keysOf(TRUST)]);
  const conversion: ConvertOptions = { ...machine, input: save.path, output: copy, resume: true, ranks: 'off' };
  const plan = await ofCopy(copy, () => planConversion(conversion, { signal }));
  const there = plan.finished.length > 0;
  const { path, step, bytes } = one;
  const copyBytes = there ? await bytesOfAll(copy) : plan.outputs[0]!.bytes;
  if (bytes - copyBytes < LEAST_SHARE * bytes) return { reason: 'it holds the model, and hardly anything besides' };
  const loses = await lostWith(path, plan.layout, options);
  return {
    save: { path, copy, step, bytes, copyBytes, loses, state: there ? 'there' : 'missing', verified: null, look: '' },
    container: plan.members[0]!.checkpoint.form.kind,
    freeBytesNeeded: there ? 0 : plan.freeBytesNeeded,
    freeBytesAvailable: there ? 0 : plan.freeBytesAvailable,
    conversion,
  };
}

/**
 * Makes a copy that is missing, and compares it with its save: every element of a new one, checksums and a sample of
 * one that was there.
 * @throws MergeError what a conversion throws; E_VERIFY for a copy that is not its save's model
 */
export async function makeCopy(
  { save, conversion }: PlannedCopy,
  options: StripCopyOptions,
  emit: (event: StripEvent & { readonly type: 'merge' | 'verify' }) => void,
  signal: AbortSignal | undefined,
): Promise<StrippedSave> {
  const full = save.state === 'missing';
  // Before it is read: what comes or changes meanwhile makes it another.
  const look = await lookOf(save.path);
  if (full) await ofCopy(save.copy, () => drain(convertEvents(conversion, { signal }), (event) => emit({ type: 'merge', event })));
  // What was made before was compared then; where that was cut short its checksums, taken as it was read, tell.
  await ofCopy(save.copy, () =>
    verify(save.copy, {
      ...(full && { full }),
      inputs: [conversion.input],
      ranks: 'off',
      signal,
      onProgress: (event) => emit({ type: 'verify', event }),
    }),
  );
  // What came while it was made is newer than the copy, or told here.
  const loses = await lostWith(save.path, await openCheckpoint(conversion.input), options);
  const copyBytes = await bytesOfAll(save.copy);
  return { ...save, loses, copyBytes, state: full ? 'made' : 'there', verified: full ? 'full' : 'sample', look };
}

/** What is wrong with a copy is mended by removing it: no option overwrites one. */
async function ofCopy<T>(copy: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof MergeError) || !(error.code in MENDED)) throw error;
    const { code, message, details, cause } = error;
    const help = `${MENDED[code as keyof typeof MENDED]}: rm -r -- ${shellQuote(copy)}`;
    throw new MergeError(code, message, { details, help, cause });
  }
}

const MENDED = {
  E_OUTPUT_EXISTS:
    'No copy is made over something else. Name another folder, or remove what lies there if you need it no longer, and run the same command again',
  E_VERIFY: 'The save is as it was, and its copy is not its model. Remove the copy, and the same command makes it again',
} as const;

/** Why a save that is kept stays as it is; null where it is kept to be merged alone. */
export async function whyLeft({ path, held, step }: KeptSave, save: RunCheckpoint): Promise<string | null> {
  if (held.length > 0) return held.join(', ');
  const entries = await storeOf(dirname(path)).list(dirname(path));
  if (entries?.find(({ name }) => name === basename(path))?.kind === 'link') return 'a link: what it leads to is not moved';
  const record = await recordedMerge(await openCheckpoint(save.path));
  if (record !== null) return 'a copy of the model alone already';
  const named = positionFromName(nameOf(path, save));
  if (named?.step !== step || (named?.stage ?? null) !== save.stage)
    return `its name does not say that it is at step ${step}, and a copy has no state that would`;
  return null;
}

/** What the copy would be put over or the save set aside into; null where nothing is. */
export async function inTheWayOf(save: Pick<StrippedSave, 'path' | 'copy'>): Promise<string | null> {
  const entries = (await storeOf(dirname(save.path)).list(dirname(save.path))) ?? [];
  const taken = new Set(entries.map(({ name }) => name));
  const [place, aside] = [placeOfCopy(save), asideOf(save.path)];
  if (place !== save.path && taken.has(basename(place))) return place;
  return taken.has(basename(aside)) ? aside : null;
}

/** A file without its extension. */
function nameOf(path: string, save: RunCheckpoint): string {
  return path === save.path ? save.name : basename(path);
}

/** As the save; of a file of torch.save a file of safetensors. */
function copyName(path: string, save: RunCheckpoint): string {
  return basename(path) === save.name ? save.name : `${parse(path).name}.safetensors`;
}
