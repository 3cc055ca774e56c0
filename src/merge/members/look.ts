import { basename, dirname } from 'node:path';
import { MergeError, type Warning } from '../../base/errors.ts';
import { unfinishedDownload } from '../../checkpoints/downloads.ts';
import { positionFromName } from '../../checkpoints/names.ts';
import { checkpointName, foldersOfStep } from '../../checkpoints/position.ts';
import { abandonedBranch } from '../../checkpoints/run/branches.ts';
import { savedAt } from '../../checkpoints/run/examine.ts';
import { loggedAt, logOf } from '../../checkpoints/run/log.ts';
import { comparePositions, samePosition } from '../../checkpoints/run/position.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { memberWarnings, siblingWarnings } from '../../recipe/select/member-warnings.ts';
import { membersOf } from '../plan/document.ts';
import type { Plan, PlanMember, PlanOutput } from '../plan/types.ts';
import { planWarnings } from '../plan/warnings.ts';
import { SameMembers } from './same.ts';
import { zeroWarnings } from './zeros.ts';

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

/**
 * A plan with what its members, now that they are open, show beside their tensors: of ones that were named
 * one by one what a selection says of those of a run, and of all whether they are still being downloaded,
 * hold zeros where the others do not, or are the same.
 * @throws `signal.reason` when aborted
 */
export async function withMemberWarnings(plan: Plan, signal?: AbortSignal): Promise<Plan> {
  const downloads = await downloadWarnings(plan.members.map(({ checkpoint }) => checkpoint));
  const same = new SameMembers(signal);
  const outputs = await Promise.all(
    plan.outputs.map(async (output): Promise<PlanOutput> => {
      const members = membersOf(plan, output).filter((_, i) => output.used[i]);
      const merged = output.schedule.method !== 'convert';
      const warnings = [
        ...(merged && output.selection === null ? await placeWarnings(members) : []),
        ...members.flatMap(({ checkpoint }) => downloads.get(checkpoint) ?? []),
        ...zeroWarnings(members),
        ...(await same.warnings(members)),
      ];
      return warnings.length === 0 ? output : { ...output, warnings: [...output.warnings, ...warnings] };
    }),
  );
  return { ...plan, outputs, warnings: [...planWarnings(outputs), ...(plan.together ?? [])] };
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

/**
 * What a selection would say of the members' places in one training; of siblings, where they do not lie in
 * one folder.
 */
async function placeWarnings(members: readonly PlanMember[]): Promise<readonly Warning[]> {
  const placed = members.map(({ checkpoint, bytes, step, tokens, stage, epoch }) => {
    const { path } = checkpoint;
    const name = checkpointName(path);
    const ingredient = positionFromName(name)?.ingredient ?? null;
    return { path, name, bytes, savedAt: savedAt(checkpoint), step, tokens, stage, epoch, ingredient };
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
  return siblingWarnings(
    members.map(({ path, step }, i) => ({ path, learningRate: loggedAt(logs[i]!, step).learningRate, log: logs[i]! })),
  );
}
