import { basename, dirname, join, parse, resolve } from 'node:path';
import { verify } from '../../analysis/verify/verify.ts';
import { MergeError } from '../../base/errors.ts';
import { drain, eventStream } from '../../base/event-stream.ts';
import { MOST } from '../../base/limits.ts';
import { optionName, worded } from '../../base/option-words.ts';
import { keysOf, pick } from '../../base/pick.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { storeOf } from '../../base/store/store.ts';
import { positionFromName } from '../../checkpoints/names.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { recordedMerge } from '../../checkpoints/own-record.ts';
import { discoverRun } from '../../checkpoints/run/discover.ts';
import { withTokens } from '../../checkpoints/run/token-source.ts';
import type { Run, RunCheckpoint } from '../../checkpoints/run/types.ts';
import { type ConvertOptions, convertEvents, planConversion } from '../../merge/convert.ts';
import { checkMachine } from '../../merge/run.ts';
import { checkGiven, type Taken } from '../../recipe/given.ts';
import { MACHINE, TRUST } from '../../recipe/options.ts';
import { formatBytes, plural } from '../../render/format.ts';
import { type KeptSave, keepIn, OF_KEEP } from '../keep/keep.ts';
import { bytesOfAll } from '../keep/save-bytes.ts';
import { wholeOf } from '../keep/whole-save.ts';
import { lostWith } from './lost.ts';
import { asideOf, placeOfCopy } from './script.ts';
import type { StripEvent, StripOptions, StrippedSave, StripReport } from './types.ts';

const OF_STRIP = {
  ...OF_KEEP,
  output: { kind: 'path', needed: true },
  copies: { kind: 'count' },
  ...MACHINE,
  ...TRUST,
} as const satisfies Taken<StripOptions>;

/** Below this share of a save it holds the model and hardly anything besides. */
const LEAST_SHARE = 0.01;

/**
 * Exactly what {@link strip} would do: which saves, how large their copies are, and what that frees. Writes nothing.
 * @throws MergeError as {@link strip} does
 */
export async function planStrip(
  options: StripOptions,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<StripReport> {
  return (await planned('planStrip', options, signal)).report;
}

/**
 * Makes copies of the model alone, of the saves of a run that are kept to be merged and for nothing else: most of the
 * bytes of a save are the optimizer's. Each copy has the bytes of its save's tensors as safetensors, under the names
 * that they have there, and is compared with it when it is made; one that is there is not made again. Not copied are
 * the newest save, the newest to resume from, what a tracker or a link names, and those of `keepSteps`. Nothing is deleted or
 * moved: {@link replacementScript} would.
 *
 * @throws MergeError what {@link keep} throws; E_OPTION for a folder that is the run; E_OUTPUT_EXISTS where something
 *   else lies where a copy would go; E_NO_SPACE for copies that do not fit; E_VERIFY for a copy that is not its save's
 *   model; what a conversion throws; `signal.reason` when aborted, and what was made by then stays
 * @example await strip({ run: 'run', budget: 40, windows: ['125B', '500B'], output: 'stripped' });
 */
export async function strip(
  options: StripOptions,
  { signal, onEvent }: { readonly signal?: AbortSignal | undefined; readonly onEvent?: ((event: StripEvent) => void) | undefined } = {},
): Promise<StripReport> {
  return drain(stripEvents(options, { signal }), onEvent);
}

/** {@link strip} as a stream of typed events. Ending the iteration early ends the work. */
export async function* stripEvents(
  options: StripOptions,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<StripEvent, StripReport> {
  return yield* eventStream<StripEvent, StripReport>((emit, either) => makeCopies(options, emit, either), signal);
}

async function makeCopies(options: StripOptions, emit: (event: StripEvent) => void, signal: AbortSignal): Promise<StripReport> {
  const { report, conversions } = await planned('strip', options, signal);
  emit({ type: 'plan', report });
  refuseFull(report);
  const copies: StrippedSave[] = [];
  for (const [i, save] of report.copies.entries()) {
    emit({ type: 'copy', number: i + 1, count: report.copies.length, save });
    const conversion = conversions[i]!;
    if (save.state === 'missing')
      await ofCopy(save.copy, () => drain(convertEvents(conversion, { signal }), (event) => emit({ type: 'merge', event })));
    const full = save.state === 'missing';
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
    const made = full ? 'made' : 'there';
    copies.push({ ...save, state: made, verified: full ? 'full' : 'sample', copyBytes: await bytesOfAll(save.copy) });
  }
  const done: StripReport = { ...report, schema: 'ckpt-merge/strip', copies, frees: freedBy(copies) };
  emit({ type: 'done', report: done });
  return done;
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

/** A plan of copies, and the conversion that makes each of them. */
interface PlannedStrip {
  readonly report: StripReport;
  readonly conversions: readonly ConvertOptions[];
}

async function planned(call: string, options: StripOptions, signal: AbortSignal | undefined): Promise<PlannedStrip> {
  checkGiven(call, options, OF_STRIP);
  checkMachine(options);
  const { output, copies: most = Number.POSITIVE_INFINITY } = options;
  if (!(most >= 1 && (most === Number.POSITIVE_INFINITY || Number.isSafeInteger(most))))
    throw new MergeError('E_OPTION', `${optionName('copies')} takes a whole number from 1 to ${MOST.count}, not ${most}`);
  if (resolve(output) === resolve(options.run)) {
    throw new MergeError('E_OUTPUT_OVERLAPS_INPUT', `${output} is the run itself, and copies are called as their saves`, {
      details: { file: output },
      help: 'Name another folder, on the same file system: the copies are moved into the run from there.',
    });
  }
  let run: Run | undefined;
  const find = async () => (run = await withTokens(await discoverRun(options.run, { signal }), options));
  const { schema, ...kept } = await keepIn(find, options);
  const machine = pick(options, [...keysOf(MACHINE), ...keysOf(TRUST)]);
  const saves = new Map(run!.checkpoints.map((save) => [wholeOf(run!, save), save]));
  const left: StripReport['left'][number][] = [];
  const found: { readonly save: StrippedSave; readonly conversion: ConvertOptions }[] = [];
  const others = new Set<string>();
  const space = { needed: 0, available: Number.POSITIVE_INFINITY };
  for (const one of kept.keep) {
    signal?.throwIfAborted();
    const save = saves.get(one.path)!;
    const why = await whyLeft(one, save);
    if (why !== null) {
      left.push({ path: one.path, step: one.step, reason: why });
      continue;
    }
    const copy = join(output, copyName(one.path, save));
    const inTheWay = await inTheWayOf({ path: one.path, copy });
    if (inTheWay !== null) {
      left.push({ path: one.path, step: one.step, reason: `${inTheWay} lies in the way of its copy` });
      continue;
    }
    if (found.length >= most) {
      left.push({ path: one.path, step: one.step, reason: worded`--copies ${most} are made first` });
      continue;
    }
    const conversion: ConvertOptions = {
      ...machine,
      input: save.path,
      output: copy,
      resume: true,
      ranks: 'off',
    };
    const plan = await ofCopy(copy, () => planConversion(conversion, { signal }));
    const there = plan.finished.length > 0;
    const bytes = one.bytes;
    const copyBytes = there ? await bytesOfAll(conversion.output) : plan.outputs[0]!.bytes;
    if (bytes - copyBytes < LEAST_SHARE * bytes) {
      left.push({ path: one.path, step: one.step, reason: 'it holds the model, and hardly anything besides' });
      continue;
    }
    if (!there) {
      space.needed += plan.freeBytesNeeded;
      space.available = Math.min(space.available, plan.freeBytesAvailable);
    }
    const { kind } = plan.members[0]!.checkpoint.form;
    if (kind !== 'safetensors') others.add(CONTAINERS[kind]);
    const state = there ? 'there' : 'missing';
    const loses = await lostWith(one.path, plan.layout, options);
    const copied: StrippedSave = {
      path: one.path,
      copy: conversion.output,
      step: one.step,
      bytes,
      copyBytes,
      loses,
      state,
      verified: null,
    };
    found.push({ save: copied, conversion });
  }
  const copies = found.map(({ save }) => save);
  const elsewhere = found.length > 0 && (await onAnotherFileSystem(options));
  const report: StripReport = {
    ...kept,
    notes: [
      ...kept.notes,
      ...containerNotes(others),
      ...(await asideNotes(options.run)),
      ...(elsewhere ? [`${output} is on another file system than the run: to move a copy is to write it again`] : []),
    ],
    schema: 'ckpt-merge/strip-plan',
    output,
    elsewhere,
    copies,
    left,
    frees: freedBy(copies),
    freeBytesNeeded: space.needed,
    freeBytesAvailable: space.needed === 0 ? 0 : space.available,
  };
  return { report, conversions: found.map(({ conversion }) => conversion) };
}

const CONTAINERS = { torch: 'torch.save', dcp: 'DCP' } as const;

/** What there is to say of copies in another container than their saves. */
function containerNotes(others: ReadonlySet<string>): string[] {
  return others.size === 0 ? [] : [`copies are safetensors, of saves in ${[...others].join(' and ')}`];
}

async function onAnotherFileSystem({ run, output }: StripOptions): Promise<boolean> {
  const above = async (path: string): Promise<string> =>
    storeOf(path)
      .stat(path)
      .then(
        ({ volume }) => volume,
        () => (dirname(path) === path ? '' : above(dirname(path))),
      );
  return (await above(resolve(run))) !== (await above(resolve(output)));
}

/** What a script that was cut short has set aside, and not removed or replaced. */
async function asideNotes(run: string): Promise<string[]> {
  const aside = ((await storeOf(run).list(run)) ?? []).filter(({ name }) => /^\..+\.full$/.test(name));
  if (aside.length === 0) return [];
  return [
    `${aside[0]!.name} was set aside by a script that was cut short${aside.length > 1 ? `, and so were ${aside.length - 1} others` : ''}: run it again`,
  ];
}

/** Why a save that is kept stays as it is; null where it is kept to be merged alone. */
async function whyLeft({ path, held, step }: KeptSave, save: RunCheckpoint): Promise<string | null> {
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
async function inTheWayOf(save: Pick<StrippedSave, 'path' | 'copy'>): Promise<string | null> {
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

function freedBy(copies: readonly StrippedSave[]): number {
  return copies.reduce((sum, { bytes, copyBytes }) => sum + bytes - copyBytes, 0);
}

/** @throws MergeError E_NO_SPACE with how many would fit */
function refuseFull({ copies, output, freeBytesNeeded: needed, freeBytesAvailable: available }: StripReport): void {
  if (needed <= available) return;
  const missing = copies.filter(({ state }) => state === 'missing');
  const each = needed / missing.length;
  const there = copies.length - missing.length;
  const fit = there + Math.floor(available / each);
  const rounds =
    fit > 0
      ? worded`--copies ${fit} makes as many as fit; when they have taken the places of their saves, the same command makes the next.`
      : 'Free some space, or name a folder on another file system.';
  throw new MergeError(
    'E_NO_SPACE',
    `${output}: models of ${plural(missing.length, 'save')} take ${formatBytes(needed)}, and ${formatBytes(available)} are free`,
    { details: { file: output }, help: rounds },
  );
}
