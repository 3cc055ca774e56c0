import { basename, dirname } from 'node:path';
import { MergeError, type Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { unfinishedDownload } from '../../checkpoints/downloads.ts';
import { tensorOfSpot } from '../../checkpoints/fingerprint.ts';
import { positionFromName } from '../../checkpoints/names.ts';
import { checkpointName, foldersOfStep } from '../../checkpoints/position.ts';
import { abandonedBranch } from '../../checkpoints/run/branches.ts';
import { describe } from '../../checkpoints/run/examine.ts';
import { loggedAt, logOf } from '../../checkpoints/run/log.ts';
import { comparePositions, samePosition } from '../../checkpoints/run/position.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { memberWarnings, siblingWarnings } from '../../recipe/select/member-warnings.ts';
import { plural } from '../../render/format.ts';
import { membersOf } from '../plan/document.ts';
import type { Plan, PlanMember, PlanOutput } from '../plan/types.ts';
import { planWarnings } from '../plan/warnings.ts';

/**
 * Warnings that the members are not what they should be, rather than that another merge may be better. These
 * are what `strict` refuses.
 */
const UNSOUND: ReadonlySet<Warning['code']> = new Set([
  'W_LEFT_OUT_MEMBERS',
  'W_ONE_MEMBER',
  'W_ABANDONED_BRANCH',
  'W_LOSS_NAN',
  'W_DOWNLOADING',
  'W_ZEROS',
  'W_SAME_BYTES',
]);

/** Tensors that a warning names. */
const SHOWN = 3;

/**
 * A plan with what its members, now that they are open, show beside their tensors: of ones that were named one
 * by one what a selection says of those of a run, and of all whether they are still being downloaded, hold zeros
 * where the others do not, or are the same.
 */
export async function withMemberWarnings(plan: Plan): Promise<Plan> {
  const downloads = await downloadWarnings(plan.members.map(({ checkpoint }) => checkpoint));
  const outputs = await Promise.all(
    plan.outputs.map(async (output): Promise<PlanOutput> => {
      const members = membersOf(plan, output).filter((_, i) => output.used[i]);
      const warnings = [
        ...(output.selection === null ? await placeWarnings(members) : []),
        ...members.flatMap(({ checkpoint }) => downloads.get(checkpoint) ?? []),
        ...zeroWarnings(members),
        ...sameWarnings(members),
      ];
      return warnings.length === 0 ? output : { ...output, warnings: [...output.warnings, ...warnings] };
    }),
  );
  return { ...plan, outputs, warnings: planWarnings(outputs) };
}

/** Those warnings that are about members that are not what they should be. */
export function unsoundOf(warnings: readonly Warning[]): Warning[] {
  return warnings.filter(({ code }) => UNSOUND.has(code));
}

/** @throws MergeError E_STRICT for warnings that the members are not what they should be */
export function refuseUnsound(warnings: readonly Warning[]): void {
  const found = unsoundOf(warnings);
  if (found.length === 0) return;
  const head = found.length === 1 ? '' : `${found.length} warnings about the members:\n`;
  throw new MergeError('E_STRICT', `${head}${found.map(({ message }) => message).join('\n')}`, { details: { warnings: found } });
}

/** By checkpoint, where a download is in progress. */
export async function downloadWarnings(checkpoints: readonly Checkpoint[]): Promise<ReadonlyMap<Checkpoint, Warning>> {
  const found = await Promise.all(
    checkpoints.map(async (checkpoint): Promise<[Checkpoint, Warning][]> => {
      const file = await unfinishedDownload(checkpoint);
      if (file === null) return [];
      const message = `${checkpoint.path} is still being downloaded, or was not to its end (${basename(file)}): its weights may be incomplete; let the download end, or remove that file where it has`;
      return [[checkpoint, { code: 'W_DOWNLOADING', message }]];
    }),
  );
  return new Map(found.flat());
}

/** What a selection would say of the members' places in one training; of siblings, where they do not lie in one folder. */
async function placeWarnings(members: readonly PlanMember[]): Promise<readonly Warning[]> {
  const placed = members.map(({ checkpoint, step, tokens, stage }) => {
    const name = checkpointName(checkpoint.path);
    return { ...describe(checkpoint, name), step, tokens, stage, ingredient: positionFromName(name)?.ingredient ?? null };
  });
  const inOrder = placed.sort(comparePositions);
  const apart = inOrder.every(({ step }, i) => step !== null && (i === 0 || !samePosition(inOrder[i - 1]!, inOrder[i]!)));
  if (new Set(inOrder.map(({ path }) => dirname(foldersOfStep(path).at(-1)!))).size > 1) return besideEachOther(inOrder);
  if (!apart) return [];
  const [log, abandoned] = await Promise.all([logOf(inOrder), abandonedBranch(inOrder)]);
  return memberWarnings(inOrder, { log, abandoned });
}

/** Of members of several folders each is the sibling of the others. */
async function besideEachOther(members: readonly { readonly path: string; readonly step: number | null }[]): Promise<Warning[]> {
  const logs = await Promise.all(members.map((member) => logOf([member])));
  const rated = members.map(({ path, step }, i) => ({ path, learningRate: loggedAt(logs[i]!, step).learningRate }));
  return siblingWarnings(
    rated,
    logs.map((log) => ({ log })),
  );
}

/**
 * Places that are zero in some members and in none of the others: of files that were given their length and not their
 * content. Weights may begin at zero, and some of a tensor (rows of tokens that were not seen yet) for a while.
 */
function zeroWarnings(members: readonly PlanMember[]): Warning[] {
  /** By the members that are zero there, joined. */
  const found = new Map<string, { readonly which: readonly number[]; readonly tensors: Set<string> }>();
  const more = new Map<number, ReadonlySet<string>>();
  const moreIn = (m: number): ReadonlySet<string> => {
    const known = more.get(m) ?? tensorsSeen(members[m]!);
    more.set(m, known);
    return known;
  };
  for (const key of members[0]?.spots.keys() ?? []) {
    const seen = members.map(({ spots }) => spots.get(key));
    const which = seen.flatMap((zero, m) => (zero === true ? [m] : []));
    if (which.length === 0 || !seen.includes(false)) continue;
    const oldest = which.length === which.at(-1)! + 1;
    const partly = () => which.some((m) => moreIn(m).has(tensorOfSpot(key)));
    if (oldest && (members[0]!.step === 0 || (which.length > 1 && partly()))) continue;
    const group = found.get(which.join()) ?? { which, tensors: new Set() };
    found.set(which.join(), group);
    group.tensors.add(tensorOfSpot(key));
  }
  return [...found.values()].map(({ which, tensors }): Warning => {
    const paths = which.map((m) => members[m]!.path);
    const who = paths.length > SHOWN ? `${paths.slice(0, SHOWN).join(', ')} and ${paths.length - SHOWN} more` : paths.join(' and ');
    const names = [...tensors].slice(0, SHOWN).join(', ') + (tensors.size > SHOWN ? ' …' : '');
    const [verb, them] = paths.length === 1 ? ['holds', 'it'] : ['hold', 'them'];
    const message = `${who} ${verb} zeros where no other member does, in ${plural(tensors.size, 'tensor')} (${names}): a file that was not written or downloaded to its end looks like that; save or fetch ${them} again, or leave ${them} out`;
    return { code: 'W_ZEROS', message };
  });
}

/** Tensors of which something that was seen is not zero. */
function tensorsSeen({ spots }: PlanMember): ReadonlySet<string> {
  return new Set([...spots].flatMap(([key, zero]) => (zero ? [] : [tensorOfSpot(key)])));
}

/** Members that are one checkpoint under two names, by all that is read of them: it counts twice. */
function sameWarnings(members: readonly PlanMember[]): Warning[] {
  const groups = [...groupBy(members, ({ fingerprint }) => fingerprint).values()].filter(({ length }) => length > 1);
  const [first] = groups;
  if (first === undefined) return [];
  const more = groups.length > 1 ? `, and so have ${groups.length - 1} more groups` : '';
  const paths = first.map(({ path }) => path);
  const who = paths.length > SHOWN ? `${paths.slice(0, SHOWN).join(', ')} and ${paths.length - SHOWN} more` : paths.join(' and ');
  const message = `${who} have the same bytes wherever they were looked at${more}: one checkpoint counts ${paths.length === 2 ? 'twice' : 'several times'}; leave one out, or find out which step it is of`;
  return [{ code: 'W_SAME_BYTES', message }];
}
