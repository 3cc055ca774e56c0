import { dirname, resolve } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { drain, eventStream } from '../../base/event-stream.ts';
import { MOST } from '../../base/limits.ts';
import { optionName, worded } from '../../base/option-words.ts';
import { storeOf } from '../../base/store/store.ts';
import { discoverRun } from '../../checkpoints/run/discover.ts';
import { withTokens } from '../../checkpoints/run/token-source.ts';
import type { Run } from '../../checkpoints/run/types.ts';
import { checkMachine } from '../../merge/run.ts';
import { checkGiven, type Taken } from '../../recipe/given.ts';
import { MACHINE, TRUST } from '../../recipe/options.ts';
import { formatBytes, plural } from '../../render/format.ts';
import { type KeepReport, keepIn, OF_KEEP } from '../keep/keep.ts';
import { wholeOf } from '../keep/whole-save.ts';
import { copyFor, makeCopy, type PlannedCopy, planCopy } from './save-copy.ts';
import type { StripEvent, StripOptions, StrippedSave, StripReport } from './types.ts';
import { unfinishedSaves } from './unfinished.ts';

const OF_STRIP = {
  ...OF_KEEP,
  output: { kind: 'path', needed: true },
  copies: { kind: 'count' },
  ...MACHINE,
  ...TRUST,
} as const satisfies Taken<StripOptions>;

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
  const { report, found } = await planned('strip', options, signal);
  emit({ type: 'plan', report });
  refuseFull(report);
  const unfinished =
    report.unfinished.length === 0
      ? []
      : await unfinishedSaves(options.run, options.output, { signal, onProgress: (event) => emit({ type: 'verify', event }) });
  const copies: StrippedSave[] = [];
  for (const [i, copy] of found.entries()) {
    emit({ type: 'copy', number: i + 1, count: found.length, save: copy.save });
    copies.push(await makeCopy(copy, options, emit, signal));
  }
  const done: StripReport = { ...report, schema: 'ckpt-merge/strip', copies, unfinished, frees: freedBy(copies) };
  emit({ type: 'done', report: done });
  return done;
}

/** A report of what would be done, and each of its copies. */
interface PlannedStrip {
  readonly report: StripReport;
  readonly found: readonly PlannedCopy[];
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
  const kept = await keepIn(find, options);
  const saves = new Map(run!.checkpoints.map((save) => [wholeOf(run!, save), save]));
  const left: StripReport['left'][number][] = [];
  const found: PlannedCopy[] = [];
  for (const one of kept.keep) {
    signal?.throwIfAborted();
    const save = saves.get(one.path)!;
    const to = await copyFor(one, save, output);
    const planned =
      'reason' in to
        ? to
        : found.length >= most
          ? { reason: worded`--copies ${most} are made first` }
          : await planCopy(one, save, to.copy, options, signal);
    if ('reason' in planned) left.push({ path: one.path, step: one.step, reason: planned.reason });
    else found.push(planned);
  }
  const report = await stripReport(kept, { run: options.run, output, copies: found.map(({ save }) => save), left });
  const unfinished = await unfinishedSaves(options.run, output, null);
  // Each of them is told of apart.
  const told = new Set(run!.warnings.map(({ message }) => message));
  const notes = [...report.notes.filter((note) => !told.has(note)), ...containerNotes(found)];
  const missing = found.filter(({ save }) => save.state === 'missing');
  return {
    report: {
      ...report,
      notes,
      unfinished,
      freeBytesNeeded: missing.reduce((sum, { freeBytesNeeded }) => sum + freeBytesNeeded, 0),
      freeBytesAvailable: missing.length === 0 ? 0 : Math.min(...missing.map(({ freeBytesAvailable }) => freeBytesAvailable)),
    },
    found,
  };
}

/** A report of copies that are planned, or there; without the space for them. */
export async function stripReport(
  { schema, ...kept }: KeepReport,
  { run, output, copies, left }: Pick<StripReport, 'run' | 'output' | 'copies' | 'left'>,
): Promise<StripReport> {
  const elsewhere = copies.length > 0 && (await onAnotherFileSystem({ run, output }));
  const far = elsewhere ? [`${output} is on another file system than the run: to move a copy is to write it again`] : [];
  return {
    ...kept,
    notes: [...kept.notes, ...far],
    schema: 'ckpt-merge/strip-plan',
    output,
    elsewhere,
    copies,
    left,
    unfinished: [],
    frees: freedBy(copies),
    freeBytesNeeded: 0,
    freeBytesAvailable: 0,
  };
}

const CONTAINERS = { torch: 'torch.save', dcp: 'DCP' } as const;

/** What there is to say of copies in another container than their saves. */
function containerNotes(copies: readonly PlannedCopy[]): string[] {
  const others = new Set(copies.flatMap(({ container }) => (container === 'safetensors' ? [] : [CONTAINERS[container]])));
  return others.size === 0 ? [] : [`copies are safetensors, of saves in ${[...others].join(' and ')}`];
}

async function onAnotherFileSystem({ run, output }: Pick<StripOptions, 'run' | 'output'>): Promise<boolean> {
  const above = async (path: string): Promise<string> =>
    storeOf(path)
      .stat(path)
      .then(
        ({ volume }) => volume,
        () => (dirname(path) === path ? '' : above(dirname(path))),
      );
  return (await above(resolve(run))) !== (await above(resolve(output)));
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
