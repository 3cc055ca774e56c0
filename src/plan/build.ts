import { fingerprint } from '../checkpoint/fingerprint.ts';
import { mapBounded } from '../checkpoint/map-bounded.ts';
import { openCheckpoint } from '../checkpoint/open.ts';
import { sideFiles } from '../checkpoint/side-files.ts';
import type { Checkpoint } from '../checkpoint/types.ts';
import { type Conflict, ERROR_CODES, MergeError, type Warning } from '../errors.ts';
import { cachedRepoId } from '../hub/repo-id.ts';
import { recipeText } from '../recipe/text.ts';
import { HeaderCache } from '../safetensors/header-cache.ts';
import { resolveWeights } from '../schedule/resolve.ts';
import type { ResolvedWeights } from '../schedule/types.ts';
import { isPublished } from './finished.ts';
import { OPEN_AT_ONCE, type PlacedInput, placeInputs } from './inputs.ts';
import { unequalIntegers } from './integers.ts';
import { Kinship } from './kinship.ts';
import { layoutConflicts } from './layouts.ts';
import { extraTensors, InputFiles, matchShard } from './match.ts';
import { startState, withStartDefaults } from './merged-start.ts';
import { orderInputs } from './order.ts';
import { outputFiles } from './output-files.ts';
import { outputConflicts, outputKind, outputsOverlap } from './output-path.ts';
import { buildSegments, segmentBytes } from './segments.ts';
import { SharedText } from './shared-text.ts';
import { spaceNeeded } from './space.ts';
import type { OutputRequest, Plan, PlanMember, PlanOutput, PlanRequest, PlanShard } from './types.ts';
import { ownWarnings, planWarnings } from './warnings.ts';

/** Bound of native buffers when none is given. */
export const DEFAULT_MEMORY = 256 * 2 ** 20;
/** What the process needs beside native buffers: Node itself, and the columns of each tensor. */
const BASE_MEMORY = 150e6;
const MEMORY_PER_TENSOR = 1500;

/** An output whose members and weights are known. */
interface Draft {
  readonly output: OutputRequest;
  /** Indices into the members of the plan, and what they stand for. */
  readonly members: readonly number[];
  readonly inputs: readonly PlacedInput[];
  readonly own: readonly Checkpoint[];
  readonly layout: Checkpoint;
  readonly kind: 'folder' | 'file';
  readonly schedule: ResolvedWeights;
  /** Of the members' order. */
  readonly warnings: readonly Warning[];
}

/**
 * Resolves a request into exactly what will be read, computed and written. Reads headers, configurations, sampled blocks and integer tensors; writes
 * nothing. With `resume`, outputs that the interrupted run had published are left out and named in `finished`.
 *
 * @throws MergeError E_CONFLICTS, or the code that all conflicts share, with every conflict in `details.conflicts`; E_WEIGHTS, E_OPTION, E_ORDER for
 *   the request itself; E_RESUME where every output is finished; whatever {@link openCheckpoint} throws for a checkpoint that cannot be read;
 *   `signal.reason` on an abort.
 */
export async function buildPlan(request: PlanRequest, signal?: AbortSignal): Promise<Plan> {
  if (request.inputs.length === 0) throw new MergeError('E_USAGE', 'no inputs were given', { help: 'Name at least one checkpoint.' });
  if (request.outputs.length === 0) throw new MergeError('E_USAGE', 'no output was given', { help: 'Name one with -o OUT.' });

  const cache = new HeaderCache();
  const openInput = (path: string): Promise<Checkpoint> => {
    signal?.throwIfAborted();
    return openCheckpoint(path, { cache });
  };
  const ordered = orderInputs(await placeInputs(request, openInput), request.outputs, request.ordered ?? false);
  const checkpoints = ordered.inputs.map((i) => i.checkpoint);
  const like = request.like === undefined ? null : await openInput(request.like);
  const drafts: Draft[] = await Promise.all(
    request.outputs.map(async (given, k) => {
      const output = withStartDefaults(given);
      const { members, warnings } = ordered.outputs[k]!;
      const inputs = pick(ordered.inputs, members);
      const own = pick(checkpoints, members);
      const layout = like ?? own.at(-1)!;
      const kind = outputKind(output.path, [...own, layout]);
      return { output, members, inputs, own, layout, kind, schedule: await scheduleOf(output, inputs), warnings };
    }),
  );
  const weights = new Float64Array(drafts.length * checkpoints.length);
  for (const [k, d] of drafts.entries())
    for (const [i, m] of d.members.entries()) weights[k * checkpoints.length + m] = d.schedule.weights[i]!;
  const participates = checkpoints.map((_, m) => drafts.some((_, k) => weights[k * checkpoints.length + m] !== 0));

  const members = await mapBounded([...ordered.inputs.entries()], OPEN_AT_ONCE, async ([m, input]): Promise<PlanMember> => {
    signal?.throwIfAborted();
    const { checkpoint, step, tokens, stage } = input;
    const { path, bytes } = checkpoint;
    return { path, step, tokens, stage, bytes, fingerprint: await fingerprint(checkpoint), checkpoint, participates: participates[m]! };
  });
  const options = { like: request.like ?? null, allowMixedDtypes: request.allowMixedDtypes ?? false };
  const layoutsDiffer = layoutConflicts(drafts.map((d) => ({ path: d.output.path, layout: d.layout })));
  const layout = drafts.at(-1)!.layout;
  const tables = layout.shards.map((s) => s.header.tensors);
  const text = new SharedText();
  const outputs: PlanOutput[] = [];
  const startConflicts: Conflict[] = [];
  for (const d of drafts) {
    const newest = d.own.at(-1)!;
    const start = await startState(d.output, d.kind, newest);
    startConflicts.push(...start.conflicts);
    const side = [...(await sideFiles(newest)).copied, ...start.files];
    const shared = { text, tables: layoutsDiffer.length === 0 ? tables : d.layout.shards.map((s) => s.header.tensors) };
    const made = outputFiles(d.layout, pick(members, d.members), d.schedule, d.output, d.kind, side, shared, options);
    const { selection = null, baseModelId = cachedRepoId(d.own.map((c) => c.path)) } = d.output;
    const recipe = d.kind === 'folder' ? await recipeText({ output: d.output, members: d.own, schedule: d.schedule, request }) : null;
    const about = { ...made, members: d.members, selection, recipe, baseModelId };
    const warnings = ownWarnings(about, d.warnings, like === null ? d.own : [...d.own, like]);
    outputs.push({ ...about, warnings: [...warnings, ...start.warnings] });
  }
  if (request.resume) {
    const published = await Promise.all(outputs.map(isPublished));
    if (published.includes(true)) return withoutFinished(request, published, signal);
  }

  const conflicts: Conflict[] = [...startConflicts, ...layoutsDiffer, ...(await outputsOverlap(request.outputs.map((o) => o.path)))];
  const sources = like === null ? checkpoints : [...checkpoints, like];
  for (const { output, kind } of drafts) conflicts.push(...(await outputConflicts(output.path, kind, sources, request.force ?? false)));
  const kinship = new Kinship(request);
  for (const d of drafts)
    conflicts.push(...(await kinship.conflicts(d.output.path, d.inputs, d.schedule.weights, areSiblings(d.output, d.inputs))));

  const files = new InputFiles();
  const matched = layout.shards.map((_, s) => matchShard(layout, s, checkpoints, participates, files, options, conflicts));
  for (const [m, checkpoint] of checkpoints.entries()) if (participates[m]) conflicts.push(...extraTensors(layout, checkpoint));
  if (!conflicts.some((c) => ERROR_CODES[c.code].exit === 3)) {
    conflicts.push(
      ...(await unequalIntegers(
        matched.flatMap((m) => m.integers),
        signal,
      )),
    );
  }
  const space = await spaceNeeded(outputs);
  if (space.conflict !== undefined) conflicts.push(space.conflict);
  refuse(conflicts);

  const shards: PlanShard[] = matched.map(({ columns }, s) => ({
    shard: s,
    segments: buildSegments({
      table: layout.shards[s]!.header.tensors,
      columns,
      outDtypes: outputs.map((o) => o.dtypeCode),
      dataStart: outputs.map((o) => o.files[s]!.headerBytes),
    }),
  }));
  const bytes = shards.map((s) => segmentBytes(s.segments, members.length, outputs.length));
  const memory = request.memory ?? DEFAULT_MEMORY;
  return {
    members,
    layout,
    ...options,
    outputs,
    finished: [],
    files: files.list,
    shards,
    weights,
    tensors: layout.tensorCount,
    bytesRead: bytes.reduce((sum, b) => sum + b.read, 0),
    bytesWritten: outputs.reduce((sum, o) => sum + o.bytes, 0),
    memory,
    peakMemoryBytes: Math.round(memory + BASE_MEMORY + MEMORY_PER_TENSOR * layout.tensorCount),
    freeBytesNeeded: space.needed,
    freeBytesAvailable: space.available,
    warnings: planWarnings(outputs),
  };
}

function pick<T>(all: readonly T[], indices: readonly number[]): T[] {
  return indices.map((i) => all[i]!);
}

function scheduleOf(output: OutputRequest, inputs: readonly PlacedInput[]): Promise<ResolvedWeights> {
  const { log, phase } = output.selection ?? {};
  const members = inputs.map(({ checkpoint: { path }, step, tokens }) => ({ path, step, tokens }));
  return resolveWeights(members, output, { log, phase, siblings: areSiblings(output, inputs) });
}

/** Several ingredients are siblings also where they were named one by one. */
function areSiblings({ selection }: OutputRequest, inputs: readonly PlacedInput[]): boolean {
  return selection?.siblings ?? new Set(inputs.map((i) => i.ingredient)).size > 1;
}

/** The plan of what is still to be made: each output has the same bytes whatever else is made with it. */
async function withoutFinished(request: PlanRequest, published: readonly boolean[], signal?: AbortSignal): Promise<Plan> {
  const outputs = request.outputs.filter((_, k) => !published[k]);
  const finished = request.outputs.flatMap((o, k) => (published[k] ? [o.path] : []));
  if (outputs.length === 0) {
    throw new MergeError(
      'E_RESUME',
      `there is nothing to resume: ${finished.join(', ')} ${finished.length === 1 ? 'is' : 'are'} finished`,
      {
        details: { file: finished[0]! },
        help: 'The merge is done. To make it anew, run without --resume and with --force.',
      },
    );
  }
  return { ...(await buildPlan({ ...request, outputs }, signal)), finished };
}

/** Usage before inputs before an existing output before space, so that the exit code is that of what must be mended first. */
function refuse(conflicts: Conflict[]): void {
  if (conflicts.length === 0) return;
  conflicts.sort((a, b) => ERROR_CODES[a.code].exit - ERROR_CODES[b.code].exit);
  const first = conflicts[0]!;
  const sameExit = conflicts.filter((c) => ERROR_CODES[c.code].exit === ERROR_CODES[first.code].exit);
  const code = sameExit.every((c) => c.code === first.code) ? first.code : 'E_CONFLICTS';
  const details = {
    ...(first.file === undefined ? {} : { file: first.file }),
    ...(first.tensor === undefined ? {} : { tensor: first.tensor }),
    conflicts,
  };
  if (conflicts.length === 1) throw new MergeError(code, first.message, { details });
  throw new MergeError(code, `${conflicts.length} things stand in the way of this merge`, { details });
}
