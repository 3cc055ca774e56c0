import { type Conflict, MergeError, type Warning } from '../../base/errors.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { refuse } from '../../base/problems.ts';
import { OpenCache } from '../../checkpoints/containers/open-cache.ts';
import { assertUnchanged } from '../../checkpoints/fingerprint.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { isRunFolder } from '../../checkpoints/run/discover.ts';
import type { TokenSource } from '../../checkpoints/run/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { type GramOptions, gramOf } from '../../merge/engine/passes/gram.ts';
import type { Gram } from '../../merge/engine/passes/gram-matrix.ts';
import { membersOfRecipe } from '../../merge/members/of-recipe.ts';
import { MOST_GRAM_INPUTS } from '../../merge/native/gram.ts';
import { unequalTensors } from '../../merge/plan/tensors/equal.ts';
import { checkpointRoles } from '../../model/roles/checkpoint-roles.ts';
import { classifier } from '../../model/roles/classify.ts';
import { roleWords } from '../../model/roles/words.ts';
import { checkGiven, SELECTION, type Taken } from '../../recipe/given.ts';
import { MACHINE, TOKENS, TRUST } from '../../recipe/options.ts';
import type { MemberReport, Selection } from '../../recipe/select/types.ts';
import { plural } from '../../render/format.ts';
import { diffPairs, groupUnits } from './cells.ts';
import { findingsOf, short } from './findings.ts';
import type { Named } from './sources.ts';
import { swappedPlaces } from './swapped.ts';
import type { DiffDocument, DiffFinding, DiffPair } from './types.ts';
import { type DiffFilter, type DiffUnit, type Paired, pairUp } from './units.ts';

export interface DiffOptions extends DiffFilter, TokenSource, Pick<GramOptions, 'threads' | 'memory' | 'io'> {
  /** Two checkpoints or more, in the order in which they are compared; or a run folder. */
  readonly inputs: readonly string[];
  /** Which checkpoints of a run folder. */
  readonly select?: Selection | undefined;
  /** Refuse members of a run that are not all that were asked for, or seem damaged. */
  readonly strict?: boolean | undefined;
}

/** What a comparison takes, in the library. */
const OF_DIFF = {
  inputs: { kind: 'paths', needed: true },
  select: SELECTION,
  strict: TRUST.strict,
  roles: { kind: 'texts' },
  layers: { kind: 'maps', of: { from: { kind: 'integer', needed: true }, to: { kind: 'integer', needed: true } } },
  ...TOKENS,
  threads: MACHINE.threads,
  memory: MACHINE.memory,
  io: MACHINE.io,
} as const satisfies Taken<DiffOptions>;

export interface DiffRunOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of bytes read, and to be read in all. */
  readonly onProgress?: ((read: number, total: number) => void) | undefined;
}

/** Checkpoints opened at a time. */
const OPEN_AT_ONCE = 8;

/**
 * How far checkpoints are apart, by role, layer, expert and tensor, and what stands out. Reads every tensor
 * once, in the memory of the buffers; writes nothing.
 *
 * @throws MergeError E_OPTION for fewer than two checkpoints or more than 32, or a filter that leaves
 * nothing; the checkpoints' own errors; with every difference of names and shapes in `details.conflicts`
 * where they are not of one architecture; `signal.reason` on an abort
 */
export async function diff(options: DiffOptions, { signal, onProgress }: DiffRunOptions = {}): Promise<DiffDocument> {
  const started = performance.now();
  checkGiven('diff', options, OF_DIFF);
  const { threads, memory, io } = options;
  signal?.throwIfAborted();
  const { checkpoints, report, warnings } = await openAll(options, signal);
  const paths = checkpoints.map(({ path }) => path);
  if (checkpoints.length < 2 || checkpoints.length > MOST_GRAM_INPUTS) {
    const found = checkpoints.length === 1 ? `only ${paths[0]} is there` : `there are ${checkpoints.length}`;
    throw new MergeError('E_OPTION', `2 to ${MOST_GRAM_INPUTS} checkpoints can be compared, and ${found}`, {
      help: 'Name the checkpoints, or select some of the run, as with --last 4.',
    });
  }
  const named = await mapBounded(checkpoints, OPEN_AT_ONCE, async (checkpoint) => ({
    checkpoint,
    roles: await checkpointRoles(checkpoint),
  }));
  const paired = pairUp(named, options);
  refuseUnpaired(paired, named);
  const { units } = paired;
  const ranges = units.flatMap((unit) => unit.ranges);
  let bytesRead = 0;
  const onRead = (read: number, total: number) => {
    bytesRead = read;
    onProgress?.(read, total);
  };
  const machine = { threads, memory, io, signal };
  const grams = sumsOf(units, await gramOf(ranges, { ...machine, steps: true, onProgress: onRead }));
  const groups = groupUnits(units, grams, checkpoints.length);
  const evidence = { paths, units, grams, groups };
  const findings = findingsOf(evidence, await swappedPlaces(evidence, machine));
  const uncompared = await lookAtRest(paired, signal);
  for (const checkpoint of checkpoints) await assertUnchanged(checkpoint);
  const pairs = diffPairs(units, grams, groups, checkpoints.length);
  return {
    schema: 'ckpt-merge/diff',
    version: 1,
    checkpoints: checkpoints.map(({ path, step, tokens }) => ({ path, step, tokens })),
    ...{ asked: report.asked, found: report.found, leftOut: report.leftOut },
    pairs,
    tensors: paired.tensors,
    elements: groups.total.gram.elements,
    uncompared,
    findings,
    verdict: verdictOf(pairs, findings, uncompared),
    bytesRead,
    seconds: (performance.now() - started) / 1000,
    warnings: [...warnings, ...paired.warnings],
  };
}

/** The products of each unit. @param grams of all ranges of all units, in their order */
function sumsOf(units: readonly DiffUnit[], grams: readonly Gram[]): Gram[] {
  let at = 0;
  return units.map(({ ranges }) => {
    const sum = grams[at]!;
    for (let i = 1; i < ranges.length; i++) sum.add(grams[at + i]!);
    at += ranges.length;
    return sum;
  });
}

async function openAll(
  { inputs, select, strict, tokensPerStep, batchSchedule, tokensFile }: DiffOptions,
  signal: AbortSignal | undefined,
): Promise<{ checkpoints: readonly Checkpoint[]; report: MemberReport; warnings: readonly Warning[] }> {
  const runs = await Promise.all(inputs.map((path) => isRunFolder(path)));
  if (select === undefined && !runs.includes(true)) {
    const cache = new OpenCache();
    const checkpoints = await mapBounded(inputs, OPEN_AT_ONCE, (path) => openCheckpoint(path, { cache }));
    const report = { asked: inputs.length, found: inputs.length, leftOut: [] };
    return { checkpoints, report, warnings: checkpoints.flatMap(({ warnings }) => warnings) };
  }
  const outputs = [{ path: 'diff', select, method: 'sma' as const }];
  const recipe = { inputs, outputs, tokensPerStep, batchSchedule, tokensFile, allowStages: true, allowConfigs: true };
  return membersOfRecipe(recipe, { strict, signal });
}

function refuseUnpaired({ conflicts: found, units, uncompared }: Paired, named: readonly Named[]): void {
  const conflicts = withQuantisedTogether(found, named);
  const inForm = conflicts.every(({ code }) => code === 'E_LAYOUT_FORM');
  refuse(conflicts, {
    several: (count) =>
      inForm
        ? `the checkpoints hold ${count} tensors in forms that cannot be compared element by element`
        : `the checkpoints are not of one architecture: ${count} differences of names or shapes`,
    help: conflicts.some(({ help }) => help !== undefined)
      ? QUANTISED_HELP
      : inForm
        ? 'Convert them to one layout with the tool that wrote them, or leave these tensors out with --role and --layers.'
        : 'Compare checkpoints of one model; --role and --layers leave out the rest of them.',
  });
  if (units.length + uncompared.length === 0) {
    throw new MergeError('E_OPTION', 'no tensor has the roles and layers asked for', {
      help: '`merge inspect CKPT` shows roles and layers.',
    });
  }
}

const QUANTISED_HELP =
  'Compare their values: make plain floats of each (`merge average CKPT -o CKPT-bf16 --dtype BF16`), and compare these; they may lie in ' +
  'different layouts. Or leave the quantised weights out, as with --role norms routers.';

/** What belongs to the codes of a weight, behind the name of it. */
const OF_CODES =
  /(?:[._](?:weight|input|activation|output))?(?:_scale(?:_inv|_\d)?|_global_scale|[._]scales?|_zero_point|[._]qzeros|[._]blocks|_packed|\.qweight|\.weight)$/;

/** Quantised weights that one has in another form, or as plain floats, are one conflict with what can be done. */
function withQuantisedTogether(conflicts: readonly Conflict[], named: readonly Named[]): readonly Conflict[] {
  const classify = classifier({ ...named[0]!.roles.context, codes: named.some(({ roles }) => roles.context.codes === true) });
  const weightOf = (tensor: string) => tensor.replace(OF_CODES, '');
  const ofScales = conflicts.filter(({ tensor }) => tensor !== undefined && SCALES.has(classify(tensor).role));
  if (ofScales.length === 0) return conflicts;
  const weights = new Set(ofScales.map(({ tensor }) => weightOf(tensor!)));
  const [apart, together] = [false, true].map((own) => conflicts.filter(({ tensor }) => weights.has(weightOf(tensor ?? '')) === own));
  const { file, tensor } = ofScales[0]!;
  const count = plural(together!.length, 'tensor');
  const message = `${named[0]!.checkpoint.path} and ${file === named[0]!.checkpoint.path ? 'another' : file} hold quantised weights in different forms, or one of them holds plain floats (${count} of codes and scales in one alone, as ${tensor}), and codes are not compared but by their bytes`;
  return [
    { code: 'E_LAYOUT_FORM', message, help: QUANTISED_HELP, ...(file !== undefined && { file }), ...(tensor !== undefined && { tensor }) },
    ...apart!,
  ];
}

const SCALES: ReadonlySet<string | null> = new Set(['quant_scale', 'quant_meta']);

async function lookAtRest({ uncompared }: Paired, signal: AbortSignal | undefined): Promise<DiffDocument['uncompared']> {
  const conflicts = await unequalTensors(
    uncompared.flatMap(({ copies }) => copies ?? []),
    signal,
  );
  const unequal = new Set(conflicts.map(({ tensor }) => tensor));
  return uncompared.map(({ name, reason, copies }) => ({ name, reason, equal: copies !== null && !unequal.has(name) }));
}

function verdictOf(pairs: readonly DiffPair[], findings: readonly DiffFinding[], uncompared: DiffDocument['uncompared']): string {
  const neighbours = pairs.filter(({ consecutive }) => consecutive);
  const distances = neighbours.map(({ total }) => total.relativeL2 ?? Number.POSITIVE_INFINITY);
  const different = uncompared.filter(({ equal }) => equal === false);
  const rest = different.length === 0 ? '' : `; ${countsOf(different)}, compared by ${different.length === 1 ? 'its' : 'their'} bytes only`;
  const [first] = findings;
  if (first !== undefined)
    return `${findings.length === 1 ? 'One thing stands out' : `${findings.length} things stand out, first`}: ${first.message}${rest}`;
  const { roles } = pairs[0]!;
  if (different.length > 0 && roles.length === 0) return `Nothing is compared as numbers${rest}`;
  // Of a quantised checkpoint that is a small part: which one has to be said.
  const quantised = uncompared.some(({ reason }) => reason === 'quantised');
  const among =
    different.length > 0 || quantised ? ` in what is compared as numbers (${roles.map(({ role }) => roleWords(role)).join(', ')})` : '';
  if (distances.every((distance) => distance === 0))
    return different.length === 0 ? 'The checkpoints are the same' : `Nothing differs${among}${rest}`;
  const [least, most] = [Math.min(...distances), Math.max(...distances)];
  const range = least === most ? short(most) : `${short(least)} to ${short(most)} from one to the next`;
  return `Nothing stands out${among}: relative L2 ${range}${rest}`;
}

/** `1 integer tensor and 21 quantised tensors differ` */
function countsOf(tensors: DiffDocument['uncompared']): string {
  const counts = (['quantised', 'integer', 'complex'] as const)
    .map((reason) => [tensors.filter((tensor) => tensor.reason === reason).length, reason] as const)
    .filter(([count]) => count > 0)
    .map(([count, reason]) => plural(count, `${reason} tensor`));
  return `${counts.join(' and ')} differ${tensors.length === 1 ? 's' : ''}`;
}
