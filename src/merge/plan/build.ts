import { parseByteSize } from '../../base/byte-size.ts';
import { type Conflict, ERROR_CODES, type Warning } from '../../base/errors.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { optionName } from '../../base/option-words.ts';
import { refuse } from '../../base/problems.ts';
import type { DcpTemplates } from '../../checkpoints/containers/dcp/template.ts';
import { type ContentSample, sampleOf } from '../../checkpoints/fingerprint.ts';
import { cachedRepoId } from '../../checkpoints/hub.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { modelBytes } from '../../checkpoints/tensors/table.ts';
import type { Shard } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { swappedLayers } from '../../model/places/swapped-layers.ts';
import { policiesOf } from '../../recipe/policy/keys.ts';
import { treatmentTable } from '../../recipe/policy/table.ts';
import type { MemberReport } from '../../recipe/select/types.ts';
import { copiedStart, withCopies } from './inputs/copied-start.ts';
import type { DraftOutput } from './inputs/drafts.ts';
import { OPEN_AT_ONCE } from './inputs/inputs.ts';
import { Kinship } from './inputs/kinship.ts';
import { keepSpots } from './inputs/spots.ts';
import { BesideNewest, besideOutput } from './outputs/beside.ts';
import { type Companions, companionsOf } from './outputs/dcp-companions.ts';
import { isPublished, otherMerge } from './outputs/finished.ts';
import { outputFiles } from './outputs/output-files.ts';
import { inputPlaces, outputConflicts, outputsOverlap, recordConflicts } from './outputs/output-path.ts';
import { spaceNeeded } from './outputs/space.ts';
import { stripeHints } from './outputs/stripes.ts';
import { Tokenizers } from './outputs/tokenizers.ts';
import { type Prepared, prepare } from './prepare.ts';
import { hasFloatsOnly, parameterCount, quantisedBytes, quantisedOf } from './quantised/shards.ts';
import { recipeText } from './recipe-text.ts';
import { requestDigest } from './request-digest.ts';
import { unequalTensors } from './tensors/equal.ts';
import { expertOrder } from './tensors/expert-order.ts';
import { narrowedWarnings } from './tensors/narrowed.ts';
import { buildSegments, segmentBytes } from './tensors/segments.ts';
import { type Entries, SharedText } from './tensors/shared-text.ts';
import type { PlannedTensors } from './tensors/tensors.ts';
import { leavesOptimizer, stepsElsewhere } from './tensors/trainer-state.ts';
import { keptOptimizer, outputDtypes, planPolicies, recordedTreatments } from './tensors/treatments.ts';
import type { Plan, PlanMember, PlanOutput, PlanRequest, PlanShard } from './types.ts';
import { ownWarnings, planWarnings } from './warnings.ts';
import { waysThrough } from './ways.ts';

/** Bound of native buffers when none is given. */
export const DEFAULT_MEMORY = 256 * 2 ** 20;
/** What the process needs beside native buffers: Node itself, and the columns of each tensor. */
const BASE_MEMORY = 150e6;
const MEMORY_PER_TENSOR = 1500;

/**
 * Resolves a request into exactly what will be read, computed and written. Reads headers, configurations,
 * sampled blocks and integer tensors; writes nothing. With `resume`, outputs that are there as this plan
 * makes them are left out and named in `finished`; that may be all of them.
 *
 * @param prepared what `prepare` made of the same request, where that was done ahead
 * @throws MergeError E_CONFLICTS, or the code that all conflicts share, with every conflict in
 *   `details.conflicts`; E_WEIGHTS, E_OPTION, E_ORDER for the request itself; whatever {@link openCheckpoint}
 *   throws for a checkpoint that cannot be read; `signal.reason` on an abort.
 */
export async function buildPlan(request: PlanRequest, signal?: AbortSignal, prepared?: Prepared): Promise<Plan> {
  const samples = new Samples(signal);
  const beginSamples = (checkpoints: readonly Checkpoint[]): void => {
    if (request.adopted === undefined) samples.begin(checkpoints);
  };
  try {
    const ready = prepared ?? (await prepare(request, signal, beginSamples));
    const { several } = ready;
    const asked = several === null ? request : { ...request, format: ready.format };
    const plan = await planOf({ ...ready, request: asked }, samples, signal);
    return several === null ? plan : { ...plan, together: [several], warnings: [...plan.warnings, several] };
  } finally {
    await samples.end();
  }
}

/** What the content of members shows: blocks of all of them, which takes long where each read does. */
class Samples {
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #found: Promise<readonly ContentSample[]> = Promise.resolve([]);

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
  }

  /** Begins to read: what needs only headers is planned meanwhile. */
  begin(checkpoints: readonly Checkpoint[]): void {
    this.#found = this.#sample(checkpoints);
    // Told where it is asked for; a plan that fails for another reason has no use for it.
    this.#found.catch(() => {});
  }

  async #sample([first, ...others]: readonly Checkpoint[]): Promise<ContentSample[]> {
    if (first === undefined) return [];
    // The others mostly have its headers, which are then not read again.
    const sample = await sampleOf(first, this.#signal);
    return [sample, ...(await mapBounded(others, OPEN_AT_ONCE, (checkpoint) => sampleOf(checkpoint, this.#signal)))];
  }

  /** One a checkpoint, in their order. @throws MergeError as `sampleOf` does */
  get found(): Promise<readonly ContentSample[]> {
    return this.#found;
  }

  /** Ends what is still being read. */
  async end(): Promise<void> {
    this.#stop.abort();
    await this.#found.catch(() => {});
  }
}

async function planOf(prepared: Prepared, samples: Samples, signal?: AbortSignal): Promise<Plan> {
  const { request, ordered, checkpoints, naming, like, layout, format, cutting } = prepared;
  const { drafts, layoutsDiffer, found, cut, dcpTemplates, formed } = prepared;
  const { adopted, shardSize } = request;
  const { planned, dcp, forms } = formed;
  const { participates, targets } = planned;

  const sampled = adopted === undefined ? await samples.found : undefined;
  const members = ordered.inputs.map(({ checkpoint, step, tokens, stage, epoch }, m): PlanMember => {
    const fingerprint = sampled === undefined ? adopted!.fingerprints.get(checkpoint.path)! : sampled[m]!.fingerprint;
    if (sampled !== undefined) keepSpots(checkpoint, sampled[m]!.spots);
    return {
      ...{ path: checkpoint.path, step, tokens, stage, bytes: modelBytes(checkpoint.shards), ...(epoch !== undefined && { epoch }) },
      fingerprint,
      checkpoint,
      participates: participates[m]!,
    };
  });
  const options = {
    like: request.like ?? null,
    format,
    filesAsked: request.files ?? null,
    names: naming?.record ?? null,
    shardSize: shardSize === undefined ? null : parseByteSize(shardSize, optionName('shardSize')),
    allowMixedDtypes: request.allowMixedDtypes ?? false,
    allowUnknown: request.allowUnknown ?? false,
  };
  const tables = targets.map((t) => t.table);
  const text = new SharedText();
  // A layout of floats (--like) is one of the ways in which quantised weights become such.
  const floats = hasFloatsOnly(cut.planned);
  const form = { floats, dequantised: floats && planned.quantised.works.length > 0 };
  const parameters = parameterCount(cut.planned);
  const outputs: PlanOutput[] = [];
  const entriesOf: (readonly Entries[])[] = [];
  const besideConflicts: Conflict[] = [];
  const tokenizers = new Tokenizers({ followLinks: request.followLinks });
  const besides = new BesideNewest({ followLinks: request.followLinks, floats });
  for (const [k, d] of drafts.entries()) {
    const config = naming?.configOf(d.output.path, d.own.at(-1)!, d.output.dtype ?? 'same');
    const beside = await besideOutput(d, form, besides, { format, config });
    const tokenizer = await tokenizers.check(d, beside.files);
    besideConflicts.push(...beside.conflicts, ...tokenizer.conflicts);
    const treatments = planned.treatments[k]!;
    const companions = dcp === null ? null : await companionsFor(d, layout, planned, dcpTemplates);
    if (companions !== null) besideConflicts.push(...companions.conflicts);
    const ownForm = (companions === null ? forms?.[k] : dcp?.beside(companions)) ?? null;
    const entries = tables.map((table, s) => {
      const dtypes = outputDtypes(table.dtypes, planned.treatmentOf[k]![s]!, treatments.treatments, d.output.dtype);
      return ownForm?.entries(s, dtypes) ?? text.entries(table, dtypes);
    });
    entriesOf.push(entries);
    const record = {
      policies: planPolicies(d.output, treatments),
      used: d.members.map((m) => treatments.uses[m]!),
      ...recordedTreatments(treatments, planned.treatmentOf[k]!, members),
    };
    const own = pick(members, d.members);
    const made = outputFiles(
      d.layout,
      own,
      d.schedule,
      d.output,
      d.kind,
      beside.files,
      record,
      entries,
      {
        text,
        shards: shardsIn(d.layout, planned.shards, cutting || format === 'dcp'),
        tables,
        parameters,
        floats,
        form: ownForm,
        companions,
      },
      options,
    );
    const { selection = null, baseModelId = cachedRepoId(d.own.map((c) => c.path)) } = d.output;
    const recipe =
      d.kind === 'folder'
        ? await recipeText({ output: d.output, members: d.own, schedule: d.schedule, treated: treatments, request })
        : null;
    const rows = treatmentTable(planned.policyTensors, {
      ...treatments,
      schedule: d.schedule,
      fromMaster: planned.masters.used ? (i) => planned.masters.ofNumber(i) : undefined,
      policies: policiesOf(d.output),
      members: d.scheduleMembers,
    });
    const asked = request.recipe === undefined ? null : requestDigest(request.recipe, made.path);
    const report = reportOf(d);
    const about = {
      ...made,
      kept: beside.kept && companions?.leaves ? { ...beside.kept, optimizer: 'left out' as const } : beside.kept,
      members: d.members,
      treatments: [...rows, ...(companions?.rows ?? formed.rows)],
      selection,
      report,
      recipe,
      baseModelId,
      request: asked,
    };
    const order = [...(d.output.report?.warnings ?? []), ...d.warnings];
    const narrowed = request.allowMixedDtypes ? narrowedWarnings(found, checkpoints, d, k) : [];
    const warnings = ownWarnings(about, order, like === null ? d.own : [...d.own, like]);
    outputs.push({
      ...about,
      warnings: [
        ...warnings,
        ...narrowed,
        ...beside.warnings,
        ...(d.output.for === 'resume' ? await copiedStart(d.output.path, d.own) : []),
        ...tokenizer.warnings,
        ...(companions?.warnings ?? []),
        ...treatments.warnings,
        ...planned.warnings,
      ],
    });
  }
  if (request.resume) {
    const published = await Promise.all(outputs.map(isPublished));
    if (published.every(Boolean)) return nothingToMake({ members, layout, ...options }, request);
    if (published.includes(true)) return withoutFinished(request, published, signal);
  }

  const conflicts: Conflict[] = [
    ...layoutsDiffer,
    ...cut.conflicts,
    ...formed.conflicts,
    ...(request.unplaced ? [] : await outputsOverlap(request.outputs.map((o) => o.path))),
  ];
  const places = request.unplaced ? [] : await inputPlaces(like === null ? checkpoints : [...checkpoints, like]);
  for (const [k, { output, kind }] of request.unplaced ? [] : drafts.entries()) {
    const { recordBeside: record } = outputs[k]!;
    if (record !== null) conflicts.push(...(await recordConflicts(record)));
    for (const conflict of await outputConflicts(output.path, kind, places, request.force ?? false)) {
      const resumed = request.resume && conflict.code === 'E_OUTPUT_EXISTS';
      const other = resumed ? `, ${await otherMerge(outputs[k]!, pick(members, outputs[k]!.members), options)}` : '';
      const help = resumed ? { help: '--force makes it anew and replaces what is there; or choose another output.' } : {};
      conflicts.push({ ...help, ...conflict, message: `${conflict.message}${other}` });
    }
  }
  const kinship = new Kinship(request);
  for (const [k, d] of drafts.entries()) {
    const found = await kinship.check(d);
    conflicts.push(...found.conflicts);
    outputs[k] = withWarnings(outputs[k]!, found.warnings);
  }

  // A configuration that cannot be read is told once.
  const told = new Set(conflicts.flatMap(({ code, file }) => (code === 'E_CONFIG_UNREADABLE' || code === 'E_NOT_READABLE' ? [file] : [])));
  conflicts.push(...besideConflicts.filter(({ file }) => file === undefined || !told.has(file)));

  conflicts.push(...planned.conflicts);
  if (adopted === undefined && !conflicts.some((c) => ERROR_CODES[c.code].exit === 3)) {
    conflicts.push(...(await unequalTensors(planned.equal, signal)));
    const order = await expertOrder(planned, members, signal);
    const inOrder = members.filter((m) => m.participates).map((m) => m.checkpoint);
    const misplaced = [...(await swappedLayers(layout, planned.roles, inOrder, signal)), ...order.conflicts];
    const orderWarnings = request.allowPermuted ? misplaced.map(({ message }): Warning => ({ code: 'W_EXPERT_ORDER', message })) : [];
    if (!request.allowPermuted) conflicts.push(...misplaced);
    for (const [k, output] of outputs.entries()) {
      outputs[k] = withWarnings(output, [...order.warnings[k]!, ...orderWarnings]);
    }
  }
  const space = await spaceNeeded(outputs);
  // What is there of a merge that others work on counts as needed still.
  if (space.conflict !== undefined && adopted === undefined && !request.unplaced) conflicts.push(space.conflict);
  const explained = await withCopies(conflicts, checkpoints);
  const distinct = [...new Map(explained.map((conflict) => [conflict.message, conflict])).values()];
  refuse(distinct, { several: (count) => `${count} things stand in the way of this merge`, ...waysThrough(distinct) });

  if (adopted !== undefined) for (const [k, output] of outputs.entries()) outputs[k] = { ...output, warnings: adopted.warnings[k]! };

  const shards = targets.map(({ table }, s): PlanShard => {
    const inOutputs = outputs.map((o, k) => ({ entries: entriesOf[k]![s]!, dataStart: o.files[s]!.headerBytes }));
    const { spans } = planned.matched[s]!;
    const segments = buildSegments({ table, spans, of: planned.workOf[s]!, kinds: planned.works.kinds, outputs: inOutputs });
    return { shard: s, segments, quantised: quantisedOf(s, planned, inOutputs) };
  });
  const bytes = shards.map((s) => segmentBytes(s.segments, members.length, outputs.length));
  const memory = request.memory ?? DEFAULT_MEMORY;
  return {
    members,
    layout,
    ...options,
    outputs: await stripeHints(outputs),
    finished: [],
    files: planned.files.list,
    shards,
    tables,
    ...(dcp !== null && planned.padding.size > 0 && { padding: dcp.padding() }),
    weights: planned.works.weights,
    tensors: cut.planned.targets.reduce((sum, { table }) => sum + table.count, 0),
    ...form,
    bytesRead: bytes.reduce((sum, b) => sum + b.read, 0) + quantisedBytes(planned),
    bytesWritten: outputs.reduce((sum, o) => sum + o.bytes, 0),
    memory,
    peakMemoryBytes: Math.round(memory + BASE_MEMORY + MEMORY_PER_TENSOR * layout.tensorCount),
    freeBytesNeeded: space.needed,
    freeBytesAvailable: space.available,
    warnings: planWarnings(outputs),
    ...(request.unplaced && { unplaced: true }),
  };
}

function withWarnings(output: PlanOutput, found: readonly Warning[]): PlanOutput {
  return found.length === 0 ? output : { ...output, warnings: [...output.warnings, ...found] };
}

/**
 * What an output has beside the tensors of DCP: of its own newest member, where that is such a checkpoint.
 */
function companionsFor(
  { output, own }: DraftOutput,
  layout: Checkpoint,
  { policyTensors }: PlannedTensors,
  templates: DcpTemplates,
): Promise<Companions> {
  const optimizer = keptOptimizer(output, true);
  const newest = own.at(-1)!;
  return companionsOf(newest.form.kind === 'dcp' ? newest : layout, own[0]!, templates, {
    optimizer,
    extraState: output.extraState ?? null,
    zeroSteps: optimizer === 'drop' && !leavesOptimizer(policyTensors) ? stepsElsewhere(policyTensors) : null,
    withoutOptimizer: optimizer === 'drop' && leavesOptimizer(policyTensors),
  });
}

/**
 * The files of an output with what the headers of its own layout say, whatever else is made with it: of
 * another size they have what the first of them says.
 */
function shardsIn(layout: Checkpoint, planned: PlannedTensors['shards'], cut: boolean): Pick<Shard, 'name' | 'metadata'>[] {
  return planned.map(({ name }, s) => ({ name, metadata: layout.shards[cut ? 0 : s]!.metadata }));
}

/** Members that were named one by one are all that was asked for. */
function reportOf({ output: { report, selection }, members }: DraftOutput): MemberReport {
  const { asked, found, leftOut } = report ?? selection?.report ?? { asked: members.length, found: members.length, leftOut: [] };
  return { asked, found, leftOut };
}

/** The plan of a run that was resumed when all its outputs were there. */
function nothingToMake(
  known: Pick<Plan, 'members' | 'layout' | 'like' | 'format' | 'shardSize' | 'filesAsked' | 'names' | 'allowMixedDtypes' | 'allowUnknown'>,
  request: PlanRequest,
): Plan {
  return {
    ...known,
    outputs: [],
    finished: request.outputs.map(({ path }) => path),
    files: [],
    shards: [],
    tables: [],
    weights: new Float64Array(),
    tensors: 0,
    floats: true,
    dequantised: false,
    bytesRead: 0,
    bytesWritten: 0,
    memory: request.memory ?? DEFAULT_MEMORY,
    peakMemoryBytes: 0,
    freeBytesNeeded: 0,
    freeBytesAvailable: 0,
    warnings: [],
  };
}

function pick<T>(all: readonly T[], indices: readonly number[]): T[] {
  return indices.map((i) => all[i]!);
}

/** The plan of what is still to be made: each output has the same bytes whatever else is made with it. */
async function withoutFinished(request: PlanRequest, published: readonly boolean[], signal?: AbortSignal): Promise<Plan> {
  const outputs = request.outputs.filter((_, k) => !published[k]);
  const finished = request.outputs.flatMap((o, k) => (published[k] ? [o.path] : []));
  return { ...(await buildPlan({ ...request, outputs }, signal)), finished };
}
