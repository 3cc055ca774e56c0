import { basename, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { appendLine } from '../../base/disk/append-line.ts';
import type { FolderLock } from '../../base/disk/folder-lock.ts';
import { MergeError } from '../../base/errors.ts';
import { keysOf, pick } from '../../base/pick.ts';
import { fingerprint } from '../../checkpoints/fingerprint.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { checkpointName, shownName } from '../../checkpoints/position.ts';
import type { BrokenCheckpoint, Run, RunCheckpoint } from '../../checkpoints/run/types.ts';
import type { MergeEvent, MergeResult } from '../../merge/engine/events.ts';
import { executePlan } from '../../merge/engine/execute.ts';
import { resumptions } from '../../merge/engine/resumption.ts';
import { launchPlan } from '../../merge/launch/launch-plan.ts';
import type { LaunchOptions } from '../../merge/launch/order.ts';
import { refuseUnsound, withMemberWarnings } from '../../merge/members/look.ts';
import { outputExists } from '../../merge/output/destination.ts';
import { clearPublished } from '../../merge/output/publication.ts';
import { buildPlan } from '../../merge/plan/build.ts';
import { membersOf } from '../../merge/plan/document.ts';
import type { Plan, PlanOutput, PlanRequest } from '../../merge/plan/types.ts';
import { MACHINE, RANKS, TRUST } from '../../recipe/options.ts';
import { HISTORY_FILE, recordsOfRound } from './history.ts';
import { runHook } from './hook.ts';
import type { Keeping } from './keeping.ts';
import { digestOf, removeMade } from './made.ts';
import { accumulatorRequest, windowRequest } from './requests.ts';
import { modelKey, waitingOf } from './scores/queue.ts';
import type { Scoring } from './scores/scoring.ts';
import type { Made, Pending, StateWriter, WatchState } from './state.ts';
import type { WatchEvent, WatchOptions, WatchRecord } from './types.ts';
import type { Look } from './view.ts';

/** Merges kept where nothing else is asked. */
const DEFAULT_KEEP = 3;

interface RoundTools {
  readonly options: WatchOptions;
  readonly state: WatchState;
  readonly writer: StateWriter;
  readonly lock: FolderLock;
  /** Knows which saves to keep; null where nobody asked. */
  readonly keeping: Keeping | null;
  /** Scores what is merged; null where nobody asked. */
  readonly scoring: Scoring | null;
  readonly emit: (event: WatchEvent) => void;
  readonly signal: AbortSignal;
  /** Carries plans out with other ranks; null for a process alone. */
  readonly together: MergeTogether | null;
}

/** Carries a plan out, which was made of that request. */
export type MergeTogether = (plan: Plan, request: PlanRequest, options: LaunchOptions) => AsyncGenerator<MergeEvent, MergeResult>;

/**
 * Makes the merge of one checkpoint after another, and remembers each step before the next one relies on it.
 */
export class Rounds {
  readonly #tools: RoundTools;

  constructor(tools: RoundTools) {
    this.#tools = tools;
  }

  /**
   * The round of one checkpoint: plan, merge, hook, history, removal of older merges.
   * @returns a record for each merge, or why this checkpoint has none (which is remembered)
   * @throws MergeError where the round failed; nothing is remembered then
   */
  async round(end: RunCheckpoint, { run, signatures }: Look): Promise<readonly WatchRecord[] | string> {
    const { options, state, writer, lock, keeping, emit, signal } = this.#tools;
    const signature = signatures.get(end.name)!;
    const isBad = ({ name }: RunCheckpoint) => state.bad.get(name) !== undefined && state.bad.get(name) === signatures.get(name);
    const found =
      options.accumulate === undefined
        ? windowRequest(options, withoutBad(run, isBad), end)
        : await accumulatorRequest(options, state, { broken: run.broken, end });
    if ('reason' in found) {
      state.done.set(end.name, signature);
      if (found.isYoung) this.#await([], { checkpoint: end.name, step: end.step, tokens: end.tokens, signature });
      await writer.save(state);
      return found.reason;
    }
    const time = new Date().toISOString();
    // A plan would take it for a usage error, and a watch says it and goes on.
    for (const { path } of found.request.outputs) if ((await digestOf(path)) === null) throw outputExists(path);
    const plan = await withMemberWarnings(await buildPlan(found.request, signal), signal);
    if (options.strict) refuseUnsound(plan.warnings);
    const saves = keeping?.saves ?? null;
    const several = options.windows !== undefined && options.windows.length > 1;
    const merges = found.windows.length === 0 ? plan.outputs.slice(-1) : plan.outputs;
    const records = merges.map((output, i) => ({
      ...recordOf(plan, output, end, time),
      ...(several && { window: found.windows[i]! }),
      ...(saves !== null && { saves }),
    }));
    const notes = found.request.outputs.at(-1)?.selection?.notes ?? [];
    const counts = records.map(({ members }) => members.length);
    emit({ type: 'round', checkpoint: shownName(end), step: end.step, members: records.at(-1)!.members, windows: counts, notes });
    const outputs = plan.outputs.map(({ path, digest }) => ({ output: basename(path), digest }));
    const there = await this.#occupants(outputs);
    await lock.assertHeld();
    state.pending = { signature, outputs, records };
    await writer.save(state);
    // An interrupted round may have published: then the very same merges are there already.
    const seconds = there === 'made' ? null : await this.#merge(plan, found.request);
    return this.#finish({ signature, outputs, records: records.map((record) => ({ ...record, seconds })) });
  }

  /** Ends the round that an earlier process began, as far as its merge was published. */
  async recover(): Promise<readonly WatchRecord[]> {
    const { options, state, writer } = this.#tools;
    await this.#emptyTrash();
    const { pending } = state;
    if (pending === null) return [];
    const there = await Promise.all(
      pending.outputs.map(async ({ output, digest }) => (await digestOf(join(options.output, output))) === digest),
    );
    if (there.every(Boolean)) return this.#finish(pending);
    // Of several only some were published: all are made again.
    state.trash = pending.outputs.filter((_, k) => there[k]);
    state.pending = null;
    await writer.save(state);
    await this.#emptyTrash();
    return [];
  }

  /** Writes the line of a round that failed. */
  async fail(end: RunCheckpoint, { code, message }: MergeError): Promise<void> {
    const { name: checkpoint, step, tokens } = end;
    const time = new Date().toISOString();
    const record: WatchRecord = {
      time,
      checkpoint,
      step,
      tokens,
      members: [],
      leftOut: [],
      output: null,
      seconds: null,
      hook: null,
      error: { code, message },
    };
    await appendLine(join(this.#tools.options.output, HISTORY_FILE), record);
  }

  /**
   * Whether the outputs of a round are free, or hold this very merge. @throws MergeError E_OUTPUT_EXISTS
   * where one is not this watch's
   */
  async #occupants(outputs: readonly Made[]): Promise<'free' | 'made'> {
    const { options, state } = this.#tools;
    let made = 0;
    for (const { output, digest } of outputs) {
      const path = join(options.output, output);
      const occupant = await digestOf(path);
      if (occupant === digest) made++;
      else if (occupant !== undefined && !state.merges.some((m) => m.output === output && m.digest === occupant)) throw outputExists(path);
    }
    return made === outputs.length ? 'made' : 'free';
  }

  /** Carries a plan out, going on with what an interrupted round of the same plan left. @returns seconds */
  async #merge(plan: Plan, request: PlanRequest): Promise<number> {
    const { options, together } = this.#tools;
    const { launcher } = options;
    // Ranks go on with what there is of the same.
    if (together !== null) return this.#carried((how) => together(plan, request, how));
    if (launcher !== undefined) return this.#carried((how) => launchPlan(plan, request, launcher, how));
    // Of another plan nothing is to stay here: who does not resume removes it.
    if (!(await resumptions(plan)).every(({ what }) => what === 'continue')) return this.#execute(plan, false);
    try {
      return await this.#execute(plan, true);
    } catch (error) {
      if (!(error instanceof MergeError) || error.code !== 'E_BUSY') throw error;
      return await this.#execute(await buildPlan(request, this.#tools.signal), false);
    }
  }

  #execute(plan: Plan, resume: boolean): Promise<number> {
    return this.#carried((options) => executePlan(plan, { ...options, resume }));
  }

  async #carried(merge: (options: LaunchOptions) => AsyncGenerator<MergeEvent, MergeResult>): Promise<number> {
    const { options, signal, emit } = this.#tools;
    // One infinity would stay in an accumulator for ever.
    const failNonfinite = options.failNonfinite === true || options.accumulate !== undefined;
    const machine = pick(options, [...keysOf(MACHINE), ...keysOf(TRUST), ...keysOf(RANKS), 'unitBytes']);
    const events = merge({ ...machine, failNonfinite, force: true, signal });
    for (;;) {
      const { value, done } = await events.next();
      if (done) return value.seconds;
      emit({ type: 'merge', event: value });
    }
  }

  async #finish({ signature, outputs, records }: Pending): Promise<readonly WatchRecord[]> {
    const { options, state, writer, lock, emit } = this.#tools;
    await lock.assertHeld();
    const { output: folder, keep = DEFAULT_KEEP } = options;
    const { checkpoint, step, tokens, time } = records[0]!;
    const written = await recordsOfRound(folder, records.length, { time, checkpoint });
    const finished: WatchRecord[] = [];
    for (const record of records) finished.push(written.find(({ output }) => output === record.output) ?? (await this.#told(record)));
    // A process that is killed between a rename and its own tidying up leaves the latter to us.
    for (const made of outputs) await clearPublished(join(folder, made.output));
    const names = new Set(outputs.map((made) => made.output));
    const merged = new Set(records.map(({ output }) => output));
    const own = outputs.filter(({ output }) => merged.has(output)).map((made) => ({ ...made, round: checkpoint }));
    const [first] = outputs;
    const content = options.accumulate === undefined ? '' : await fingerprint(await openCheckpoint(join(folder, first!.output)));
    // From here to the end the state may be saved by the scoring as well: it is one step of it.
    this.#await(records, { checkpoint, step, tokens, signature }, own);
    state.merges = [...state.merges.filter((made) => !names.has(made.output)), ...own];
    const trash = this.#beyond(keep);
    if (options.accumulate !== undefined) {
      if (state.accumulator !== null && !names.has(state.accumulator.output)) trash.push(state.accumulator);
      state.accumulator = { ...first!, fingerprint: content, step, tokens };
    }
    state.trash = [...state.trash, ...trash];
    state.done.set(checkpoint, signature);
    state.pending = null;
    await writer.save(state);
    for (const record of finished) emit({ type: 'merged', output: join(folder, record.output!), record });
    await this.#emptyTrash();
    return finished;
  }

  /** Has what came be scored, where that is asked for. */
  #await(
    records: readonly WatchRecord[],
    end: Pick<WatchRecord, 'checkpoint' | 'step' | 'tokens'> & { signature: string },
    made: readonly Made[] = [],
  ): void {
    const { state, scoring, emit } = this.#tools;
    const { step, checkpoint } = end;
    if (scoring === null) return;
    if (step === null) {
      const reason = 'it has no step, by which scores are told apart';
      emit({ type: 'warning', warning: { code: 'W_SCORES', message: `${checkpoint} is not scored: ${reason}` } });
      return;
    }
    const digests = new Map(made.map(({ output, digest }) => [output, digest]));
    const fresh = new Map(waitingOf(records, { ...end, step }, digests).map((one) => [modelKey(one), one]));
    state.waiting = [...state.waiting.filter((one) => !fresh.has(modelKey(one))), ...fresh.values()];
  }

  /** Removes merges that stayed beyond their time because they had no score yet. */
  async trim(): Promise<void> {
    const { options, state, writer } = this.#tools;
    const trash = this.#beyond(options.keep ?? DEFAULT_KEEP);
    if (trash.length === 0) return;
    state.trash = [...state.trash, ...trash];
    await writer.save(state);
    await this.#emptyTrash();
  }

  /** Takes merges off the list of those that stay: all but those of the newest `keep` rounds, and what has no score yet. */
  #beyond(keep: number): Made[] {
    const { state, scoring } = this.#tools;
    const held = scoring?.held ?? new Set();
    const roundOf = ({ round, output }: Made): string => round ?? output;
    const rounds = [...new Set(state.merges.map(roundOf))];
    const older = new Set(rounds.slice(0, Math.max(0, rounds.length - keep)));
    const excess = state.merges.filter((made) => older.has(roundOf(made)) && !held.has(made.output));
    state.merges = state.merges.filter((made) => !excess.includes(made));
    return excess;
  }

  /** Runs the hook for a merge, then writes its line. */
  async #told(record: WatchRecord): Promise<WatchRecord> {
    const { options, scoring, emit, signal } = this.#tools;
    const { output: folder, hook: command, timeout } = options;
    const output = join(folder, record.output!);
    const { step, tokens } = record;
    if (command !== undefined) emit({ type: 'hooking', output });
    // Whoever reads the events has said so before the hook prints anything.
    await setImmediate();
    // Beside the lines of scores what a hook prints would be lost.
    const log = command === undefined ? undefined : await scoring?.logOf(`hook-${record.output}`);
    const hook = command === undefined ? null : await runHook(command, { output, step, tokens }, signal, { timeout, log });
    if (hook !== null && hook !== 0) emit({ type: 'hook', output, exitCode: hook, log: log ?? null });
    const finished = { ...record, hook };
    await appendLine(join(folder, HISTORY_FILE), finished);
    return finished;
  }

  async #emptyTrash(): Promise<void> {
    const { options, state, writer, lock, emit } = this.#tools;
    if (state.trash.length === 0) return;
    for (const path of await removeMade(options.output, lock.folder, state.trash)) emit({ type: 'removed', path });
    state.trash = [];
    await writer.save(state);
  }
}

/** A run in which checkpoints that hold NaN or infinity are as good as broken. */
function withoutBad(run: Run, isBad: (checkpoint: RunCheckpoint) => boolean): Run {
  const reason = 'it holds NaN or infinity';
  const broken = run.checkpoints.flatMap((checkpoint): BrokenCheckpoint[] => {
    const { path, name, stage, ingredient, epoch, step, tokens } = checkpoint;
    return step !== null && isBad(checkpoint) ? [{ path, name, stage, ingredient, epoch, step, tokens, reason }] : [];
  });
  return { ...run, checkpoints: run.checkpoints.filter((checkpoint) => !isBad(checkpoint)), broken: [...run.broken, ...broken] };
}

function recordOf(plan: Plan, output: PlanOutput, end: RunCheckpoint, time: string): WatchRecord {
  const { name: checkpoint, step, tokens } = end;
  const members = membersOf(plan, output).map((m, i) => ({
    name: checkpointName(m.path),
    step: m.step,
    tokens: m.tokens,
    weight: output.schedule.weights[i]!,
  }));
  const { leftOut } = output.report;
  return { time, checkpoint, step, tokens, members, leftOut, output: basename(output.path), seconds: null, hook: null, error: null };
}
