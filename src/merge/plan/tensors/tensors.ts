import type { Conflict, Warning } from '../../../base/errors.ts';
import { groupBy } from '../../../base/group-by.ts';
import { worded } from '../../../base/option-words.ts';
import { wholeExtent } from '../../../checkpoints/tensors/extents.ts';
import { sectionOf, sectionOfName } from '../../../checkpoints/tensors/section.ts';
import { haveSameTensors } from '../../../checkpoints/tensors/table.ts';
import type { Shard } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { arrange } from '../../../model/layout/arrange.ts';
import { recogniseQuantised } from '../../../model/quantised/recognise.ts';
import { type CheckpointRoles, checkpointRoles, tensorName } from '../../../model/roles/checkpoint-roles.ts';
import { emptyWeights } from '../../../model/roles/emptied.ts';
import { missingParts } from '../../../model/roles/headless.ts';
import { stateTensor } from '../../../model/roles/optimizer-state.ts';
import { severalModels } from '../../../model/roles/several-models.ts';
import { structureConflicts } from '../../../model/roles/structure.ts';
import { TensorIndex } from '../../../model/roles/tensor-index.ts';
import { tiedPairs } from '../../../model/roles/tied.ts';
import { peftConflicts, wrappedNames } from '../../../model/roles/wrapped.ts';
import type { PolicyTensor } from '../../../recipe/policy/types.ts';
import { type FlatMasters, type FlatResult, masterBuffers, proveMasters } from '../flat/masters.ts';
import { paddingOf, withMasters } from '../flat/views.ts';
import type { DraftOutput } from '../inputs/drafts.ts';
import { holdsState } from '../inputs/merged-start.ts';
import { conflictsInParts } from '../quantised/in-parts.ts';
import { NOTHING_QUANTISED, nothingQuantised } from '../quantised/nothing.ts';
import { planQuantised } from '../quantised/plan.ts';
import type { QuantisedPlan } from '../quantised/types.ts';
import type { PlanRequest } from '../types.ts';
import { markedBuffers } from './buffers.ts';
import { doubtWarnings, isNamed, withoutDoubts } from './doubts.ts';
import type { EqualTensor } from './equal.ts';
import { extraTensors, InputFiles, type Matching, type MatchResult, matchShard } from './match.ts';
import { withMtpTogether, withoutEchoes } from './one-cause.ts';
import { withOtherNames } from './other-names.ts';
import { type PlaceInOutputs, placesIn, type TargetShard, targetShards } from './target.ts';
import { leavesBuffers, type Masters, mastersOf, stateConflicts } from './trainer-state.ts';
import { conversionOf, keptOptimizer, type OutputTreatments, outputDtypes, policyTensors, Treatments } from './treatments.ts';
import { unknownFloats } from './unknown.ts';
import { untied } from './untied.ts';
import { buildWorks, type Works } from './work.ts';

/** What every tensor of the outputs is made of, and how. */
export interface PlannedTensors {
  /** By tensor file of the outputs: those of the layout, unless a size is asked for. */
  readonly targets: readonly TargetShard[];
  readonly shards: readonly Pick<Shard, 'name'>[];
  readonly placeOf: PlaceInOutputs;
  readonly works: Works;
  /** By shard, [rows of the target] index into `works.kinds`. */
  readonly workOf: readonly Int32Array[];
  /** [K] */
  readonly treatments: readonly OutputTreatments[];
  /** By output and shard, [rows of the target] index into the output's treatments. */
  readonly treatmentOf: readonly (readonly Int32Array[])[];
  readonly policyTensors: readonly PolicyTensor[];
  /** Float32 weights in the optimizer's state, and whether weights are made from them. */
  readonly masters: Masters & { readonly used: boolean };
  /** Where in tensors of the layout, by name, there are elements that nobody wrote, as `[from, to]`. */
  readonly padding: ReadonlyMap<string, readonly (readonly [number, number])[]>;
  readonly participates: readonly boolean[];
  readonly quantised: QuantisedPlan;
  readonly files: InputFiles;
  readonly matched: readonly MatchResult[];
  readonly equal: readonly EqualTensor[];
  readonly roles: CheckpointRoles;
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly Warning[];
}

/** A tensor of a member that the layout has no name for. */
interface Extra {
  readonly member: number;
  readonly shard: number;
  readonly row: number;
}

/**
 * Decides for every tensor of a layout what becomes of it in every output, and finds it in every member that
 * it needs.
 * @param checkpoints members of the plan, oldest first
 */
export async function planTensors(
  layout: Checkpoint,
  checkpoints: readonly Checkpoint[],
  drafts: readonly DraftOutput[],
  request: Pick<PlanRequest, 'allowMixedDtypes' | 'allowUnknown' | 'format' | 'adopted'>,
  signal?: AbortSignal,
): Promise<PlannedTensors> {
  const { allowMixedDtypes = false, allowUnknown = false, format = 'safetensors' } = request;
  const conflicts: Conflict[] = [];
  const roles = await checkpointRoles(layout);
  const memberRoles = await Promise.all(checkpoints.map((c) => (c === layout ? roles : checkpointRoles(c))));

  // A conversion that asks for no dtype copies whatever is there, known or not.
  const copying = drafts.every(({ output }) => conversionOf(output)?.dtype === null);
  const recognised = copying ? NOTHING_QUANTISED : recogniseQuantised(layout, roles.config);
  const codes = placesOf(
    layout,
    recognised.weights.map((w) => w.codes),
  );
  const scales = placesOf(layout, [...recognised.weights.map((w) => w.scales), ...recognised.activationScales]);
  const readable = recognised.conflicts.every(({ code }) => code === 'E_SCALE_ORPHAN');
  const isStray = (shard: number, row: number) => readable && !scales[shard]!.has(row);
  const givers = checkpoints.filter((_, m) => drafts.some((d) => d.members.some((own, i) => own === m && d.schedule.weights[i] !== 0)));
  const unknown = allowUnknown || copying ? [] : await unknownFloats(layout, roles, givers, signal);
  const extras = checkpoints.flatMap((checkpoint, member) => extrasOf(layout, checkpoint, member));
  const seen = [
    ...policyTensors(layout, roles, { isCodes: (shard, row) => codes[shard]!.has(row), isStray, unknown }),
    ...extras.map(({ member, shard, row }) => extraTensor(checkpoints[member]!, memberRoles[member]!, shard, row)),
  ];
  const tensors = copying ? seen : await markedBuffers(seen, { layout, roles, members: givers }, signal);
  const assigner = new Treatments(tensors, { allowUnknown, holdsState: holdsState(format, layout) });
  const treatments = await Promise.all(drafts.map((draft) => assigner.of(draft, checkpoints.length)));
  const alike = groupBy(drafts.keys(), (k) => treatments[k]!.conflicts);
  for (const [own, of] of alike)
    conflicts.push(
      ...(alike.size > 1
        ? ofOutputs(
            own,
            of.map((k) => drafts[k]!.output.path),
          )
        : own),
    );
  const participates = checkpoints.map((_, m) => treatments.some((t) => t.uses[m]));

  const sources = new Set(drafts.map(({ output }) => output.weightsFrom ?? 'model'));
  if (sources.size > 1) conflicts.push(otherSources(drafts));
  const fromMasters = sources.has('master');
  const kindsOf = (number: number) => treatments.map((own) => own.treatments[own.of[number]!]!.kind);
  const needsMasters = drafts.some(({ output }) => !leavesBuffers(keptOptimizer(output, holdsState(format, layout)), layout));
  const inBuffers =
    fromMasters && needsMasters && masterBuffers(layout).length > 0
      ? await proveMasters(
          layout,
          checkpoints.filter((checkpoint, m) => participates[m] && checkpoint !== layout),
          { thorough: request.adopted === undefined, moments: drafts.some(({ output }) => output.for === 'resume'), signal },
        )
      : null;
  const views = inBuffers !== null && 'masters' in inBuffers ? inBuffers.masters : null;
  const viewed = views === null ? undefined : viewedBy(layout, checkpoints, participates, views);
  const masters = mastersOf(layout, tensors, fromMasters ? kindsOf : () => [], viewed?.layout);
  const ofState = stateConflicts({ layout, members: checkpoints, drafts, format, tensors, treatments, fromMasters, masters, inBuffers });
  conflicts.push(...ofState.conflicts);

  const arrangements = new Map<number, ReturnType<typeof arrange>>();
  const arrangement: Matching['arrangement'] = (m) => {
    let made = arrangements.get(m);
    if (made === undefined) {
      made = arrange(layout, roles, checkpoints[m]!, memberRoles[m]!);
      arrangements.set(m, made);
    }
    return made;
  };
  const index = new TensorIndex(layout);
  const quantised = (copying ? nothingQuantised : planQuantised)({
    layout,
    layoutConfig: roles.config,
    members: checkpoints,
    memberConfigs: memberRoles.map((r) => r.config),
    participates,
    outputs: drafts.map(({ output, members }, k) => ({
      path: output.path,
      dtype: output.dtype ?? null,
      newest: members.findLast((m) => treatments[k]!.uses[m]) ?? members.at(-1)!,
    })),
    allowMixedDtypes,
    treatmentOf: (k, shard, row) => treatments[k]!.treatments[treatments[k]!.of[index.of(shard, row)]!]!,
    roleOf: (shard, row) => roles.of(shard, row).role,
    arrangement,
  });
  const { kept: ofCodes, doubts } = withoutDoubts(quantised.conflicts, (tensor) => allowUnknown || isNamed(tensor, drafts));
  const isDropped = (t: OutputTreatments, number: number): boolean => t.treatments[t.of[number]!]!.kind === 'drop';
  conflicts.push(...dropConflicts(drafts, treatments, tensors));

  const dropped = layout.shards.map(({ tensors: table }, s) => {
    const rows = new Set(quantised.changes.dropped[s]);
    for (let row = 0; row < table.count; row++) if (isDropped(treatments[0]!, index.of(s, row))) rows.add(row);
    return rows;
  });
  const targets = targetShards(layout, { dropped, replaced: quantised.changes.replaced });
  const copied = new Map(quantised.copies.map(({ place, member }) => [`${place.shard} ${place.row}`, member]));
  const works = buildWorks(
    layout,
    treatments,
    participates,
    {
      isApart: (shard, row) => quantised.handled[shard]!.has(row) && !copied.has(`${shard} ${row}`),
      copiedFrom: copied.size === 0 ? () => undefined : (shard, row) => copied.get(`${shard} ${row}`),
    },
    conflicts,
  );
  const converting = drafts.every(({ output }) => output.convert);
  if (!allowUnknown && !converting) conflicts.push(...tiedApart(layout, roles, index, works, treatments, drafts));
  const workOf = targets.map(({ origin }, s) => origin.map((row) => works.of[s]![row]!));
  const treatmentOf = treatments.map(({ of }) => targets.map(({ origin }, s) => origin.map((row) => of[index.of(s, row)]!)));

  const files = new InputFiles();
  const doubt = (shard: number, row: number) => tensors[index.of(shard, row)]!.unknown?.doubt ?? null;
  const source = fromMasters ? masters.of : undefined;
  const matching = { layout, members: checkpoints, participates, files, allowMixedDtypes, arrangement, doubt, source, viewed };
  const matched = targets.map((target, s) => matchShard(s, target, { kinds: works.kinds, of: workOf[s]! }, matching, conflicts));
  const inParts = conflictsInParts(quantised.works, checkpoints);
  conflicts.push(...inParts);
  for (const { sources } of inParts.length === 0 ? quantised.works : []) {
    for (const [m, source] of sources.entries()) {
      for (const place of [source?.codes, source?.scales]) {
        if (place != null) files.indexOf(checkpoints, m, wholeExtent(checkpoints[m]!, place).file);
      }
    }
  }
  const wrapped = peftConflicts(checkpoints);
  const emptied = emptyWeights(checkpoints, memberRoles);
  const structural: Conflict[] = [];
  /** Roles in which the layout's tensors have no fault: of a run all members have the same. */
  const sound = new Set<CheckpointRoles>();
  const droppedExtras = new Set(extras.filter((_, i) => isDropped(treatments[0]!, index.count + i)).map(extraKey));
  for (const [member, checkpoint] of checkpoints.entries()) {
    if (!participates[member]) continue;
    const known = (shard: number, row: number): boolean =>
      droppedExtras.has(extraKey({ member, shard, row })) ||
      quantised.accounted[member]?.[shard]?.has(row) === true ||
      arrangement(member).uses(shard, row);
    conflicts.push(...extraTensors(layout, checkpoint, known));
    const shared = checkpoint !== layout && checkpoint.shards.every((s, i) => s.tensors === layout.shards[i]?.tensors);
    const own = memberRoles[member]!;
    if (!shared && !(sound.has(own) && isLike(checkpoint, layout))) {
      const found = structureConflicts(checkpoint, own);
      if (found.length === 0 && isLike(checkpoint, layout)) sound.add(own);
      structural.push(...found);
    }
  }
  if (allowUnknown || converting) {
    if (!converting) doubts.push(...wrapped, ...emptied, ...structural);
    wrapped.length = 0;
    emptied.length = 0;
    structural.length = 0;
  }
  const causes = { experts: structural.length > 0, wrapped: wrapped.length > 0, emptied: emptied.length > 0 };
  const told = [
    ...withoutEchoes(ofCodes, { ...causes, quantised: false }, roles),
    ...withoutEchoes(
      withOtherNames(withoutExplained(conflicts, ofState.explained, layout, isUnlike(inBuffers, layout)), layout, checkpoints),
      { ...causes, quantised: ofCodes.length > 0 },
      roles,
    ),
  ];
  const tied = await untied(
    checkpoints.flatMap((c, m) => (participates[m] ? [{ checkpoint: c, roles: memberRoles[m]! }] : [])),
    converting ? 'copied' : 'averaged',
    signal,
  );
  return {
    targets,
    shards: layout.shards,
    placeOf: placesIn(targets),
    works,
    workOf,
    treatments,
    treatmentOf,
    policyTensors: tensors.slice(0, index.count),
    masters: { used: fromMasters, ...masters },
    padding: views === null ? new Map() : paddingOf(layout, views),
    participates,
    quantised,
    files,
    matched,
    equal: matched.flatMap((m) => m.equal),
    roles,
    conflicts: withMtpTogether([...wrapped, ...emptied, ...structural, ...told], roles),
    warnings: [
      ...quantised.warnings,
      ...layoutWarnings(checkpoints, matched, quantised),
      ...severalModels(layout, (shard, row) => !treatments.every((one) => isDropped(one, index.of(shard, row)))),
      ...tied,
      ...(converting ? [] : [...wrappedNames(layout), ...(await missingParts(layout, roles))]),
      ...otherwiseWarnings(layout, masters),
      ...doubtWarnings(doubts),
    ],
  };
}

function placesOf(layout: Checkpoint, places: readonly { readonly shard: number; readonly row: number }[]): ReadonlySet<number>[] {
  const rows = layout.shards.map(() => new Set<number>());
  for (const { shard, row } of places) rows[shard]!.add(row);
  return rows;
}

function isLike({ shards }: Checkpoint, layout: Checkpoint): boolean {
  return shards.length === layout.shards.length && shards.every((s, i) => haveSameTensors(s.tensors, layout.shards[i]!.tensors));
}

const extraKey = ({ member, shard, row }: Extra): string => `${member} ${shard} ${row}`;

function extrasOf(layout: Checkpoint, checkpoint: Checkpoint, member: number): Extra[] {
  if (checkpoint === layout) return [];
  return checkpoint.shards.flatMap(({ tensors, name: file }, shard) =>
    haveSameTensors(tensors, layout.shards[shard]?.tensors)
      ? []
      : tensors.names.flatMap((name, row) => (layout.locate(name, file) === undefined ? [{ member, shard, row }] : [])),
  );
}

function extraTensor(checkpoint: Checkpoint, roles: CheckpointRoles, shard: number, row: number): PolicyTensor {
  const { tensors } = checkpoint.shards[shard]!;
  const { dtype } = tensors.info(row);
  const apart = sectionOf(tensors, row) !== 'model' && { apart: true };
  return { name: tensorName(checkpoint, shard, row), dtype, bytes: 0, role: roles.of(shard, row), ...apart, extra: true };
}

function layoutWarnings(checkpoints: readonly Checkpoint[], matched: readonly MatchResult[], quantised: QuantisedPlan): Warning[] {
  return checkpoints.flatMap(({ path }, m): Warning[] => {
    const count = matched.reduce((sum, { arranged }) => sum + arranged[m]!, quantised.arranged[m]!);
    if (count === 0) return [];
    const message = `${path} holds ${count} tensor${count === 1 ? '' : 's'} of the layout under other names or as parts of others (experts fused or one by one, gate and up together or apart, a tied head once, by either name); the same elements were found there`;
    return [{ code: 'W_OTHER_LAYOUT', message }];
  });
}

function outputDtype({ treatments, of }: OutputTreatments, number: number, stored: number, { output }: DraftOutput): number {
  return outputDtypes(Uint8Array.of(stored), of.subarray(number, number + 1), treatments, output.dtype)[0]!;
}

/** Embedding and head of a model whose config.json says that they are one must be treated as one. */
function tiedApart(
  layout: Checkpoint,
  roles: CheckpointRoles,
  index: TensorIndex,
  works: Works,
  treatments: readonly OutputTreatments[],
  drafts: readonly DraftOutput[],
): Conflict[] {
  const treatmentOf = ({ shard, row }: { readonly shard: number; readonly row: number }): string => {
    const stored = layout.shards[shard]!.tensors.dtypes[row]!;
    const dtypes = treatments.map((own, k) => outputDtype(own, index.of(shard, row), stored, drafts[k]!));
    return [works.kinds[works.of[shard]![row]!]?.table, ...dtypes].join();
  };
  return tiedPairs(layout, roles).flatMap(({ embedding, head, configured }): Conflict[] => {
    if (configured !== true || treatmentOf(embedding) === treatmentOf(head)) return [];
    const message = `${embedding.name} and ${head.name} are one matrix (tie_word_embeddings), and the policies treat them differently: name both, as role=embedding|lm_head`;
    return [{ code: 'E_TIED', message, file: layout.path, tensor: head.name }];
  });
}

/** Weights that are not made from their masters though all others are. */
function otherwiseWarnings({ path }: Checkpoint, { otherwise }: Masters): Warning[] {
  if (otherwise.length === 0) return [];
  const which = otherwise.length === 1 ? `tensor ${otherwise[0]} is` : `${otherwise.length} tensors (the first is ${otherwise[0]}) are`;
  const message = `${which} averaged from the model's own values, because ${path} has their float32 masters in pieces of another order: those are averaged too, and a trainer that resumes takes the weights from them`;
  return [{ code: 'W_OTHER_LAYOUT', message }];
}

/** The layout and the members with the masters that lie in their buffers; a member that is not read stays as it is. */
function viewedBy(
  layout: Checkpoint,
  members: readonly Checkpoint[],
  participates: readonly boolean[],
  masters: FlatMasters,
): { layout: Checkpoint; members: readonly Checkpoint[] } {
  return {
    layout: withMasters(layout, layout, masters),
    members: members.map((member, m) => (participates[m] ? withMasters(member, layout, masters) : member)),
  };
}

/** What is wrong with the policies of some outputs says of which. */
function ofOutputs(conflicts: readonly Conflict[], paths: readonly string[]): Conflict[] {
  const which = paths.length > 2 ? `${paths[0]} and ${paths.length - 1} more outputs` : paths.join(' and ');
  return conflicts.map((conflict) => ({ ...conflict, message: `${conflict.message} (${which})` }));
}

/** Weights of one read come from one place. */
function otherSources(drafts: readonly DraftOutput[]): Conflict {
  const [a, b] = (['model', 'master'] as const).map(
    (from) => drafts.find(({ output }) => (output.weightsFrom ?? 'model') === from)!.output.path,
  );
  const message = `${a} is made from the model's tensors and ${b} from the float32 masters, so one read cannot serve both: make them one by one`;
  return { code: 'E_LAYOUTS_DIFFER', message };
}

/** What is said of state that is not alike in all members. */
const UNLIKE_STATE: ReadonlySet<Conflict['code']> = new Set(['E_TENSOR_MISSING', 'E_SHAPE', 'E_UNSUPPORTED_DTYPE']);

/** What follows where the ranks of members are not alike. */
const OF_OTHER_RANKS: ReadonlySet<string> = new Set([...UNLIKE_STATE, 'E_TENSOR_EXTRA']);

/** Whether it is told already that the parts of ranks are not alike in all members, or not what they should be. */
function isUnlike(inBuffers: FlatResult | null, { fragments }: Checkpoint): boolean {
  return fragments !== undefined && inBuffers !== null && 'conflict' in inBuffers;
}

/**
 * Without what is missing from members of which it is told already that they lack the optimizer's state; and
 * with what to do where a part of that is not alike in all.
 */
function withoutExplained(
  conflicts: readonly Conflict[],
  explained: ReadonlySet<string>,
  layout: Checkpoint,
  unlike: boolean,
): readonly Conflict[] {
  return conflicts.flatMap((conflict): Conflict[] => {
    const { code, file = '', tensor } = conflict;
    if (unlike && OF_OTHER_RANKS.has(code) && tensor !== undefined && sectionOfName(tensor) === 'optimizer') return [];
    const place = tensor === undefined || !UNLIKE_STATE.has(code) ? undefined : layout.locate(tensor);
    if (place === undefined || sectionOf(layout.shards[place.shard]!.tensors, place.row) === 'model') return [conflict];
    if (code === 'E_TENSOR_MISSING' && explained.has(file)) return [];
    const help =
      stateTensor(tensor!).kind === 'master'
        ? 'Leave that member out, or merge the model alone and start the optimizer anew.'
        : worded`Use --optimizer newest, or leave that member out.`;
    return [{ help, ...conflict }];
  });
}

/** Outputs of one read have the same tensors. */
function dropConflicts(
  drafts: readonly DraftOutput[],
  treatments: readonly OutputTreatments[],
  tensors: readonly PolicyTensor[],
): Conflict[] {
  const first = treatments[0]!;
  return treatments.flatMap((other, k): Conflict[] => {
    if (other.of === first.of) return [];
    const row = tensors.findIndex(
      (_, i) => (first.treatments[first.of[i]!]!.kind === 'drop') !== (other.treatments[other.of[i]!]!.kind === 'drop'),
    );
    if (row < 0) return [];
    const [a, b] = [drafts[0]!.output.path, drafts[k]!.output.path];
    const message = `one of ${a} and ${b} drops ${tensors[row]!.name} and the other does not, so one read cannot serve both: make them one by one`;
    return [{ code: 'E_LAYOUTS_DIFFER', message, tensor: tensors[row]!.name }];
  });
}
