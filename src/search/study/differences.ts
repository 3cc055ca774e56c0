import { basename } from 'node:path';
import { pathRemover } from '../../merge/record/member-path.ts';
import type { StudyIdentity } from './trials-file.ts';

/** Of commands and files, which a file of trials of 0.1.0 names by absolute paths, too. */
const plain = pathRemover();

/**
 * In words, what of a stored study is other than what is asked for now; what changes neither scores nor
 * proposals may differ, and so may where things lie.
 */
export function differences(stored: StudyIdentity, now: StudyIdentity): string[] {
  const steps = ({ members, pool }: StudyIdentity) => pool.map((m) => members[m]!.step ?? ownName(members[m]!.path)).join(', ');
  const prints = ({ members, pool }: StudyIdentity) => pool.map((m) => members[m]!.fingerprint).join();
  const text = (value: unknown) => plain(JSON.stringify(value));
  const found: string[] = [];
  const compare = (what: string, of: (identity: StudyIdentity) => string) => {
    if (of(stored) !== of(now)) found.push(`${what}: ${of(stored)} then, ${of(now)} now`);
  };
  compare('kind', ({ kind }) => kind);
  if (now.scored !== undefined) found.push(...grownDifferences(stored, now));
  else {
    compare('checkpoints', steps);
    if (found.length === 0 && prints(stored) !== prints(now)) found.push('the content of the checkpoints');
    if (text(stored.legs.map(({ members, ...space }) => space)) !== text(now.legs.map(({ members, ...space }) => space)))
      found.push('the space');
  }
  compare('evaluator', ({ evaluator }) => plain(evaluator));
  compare('metrics', ({ metrics }) => metrics.join(' ') || 'none');
  if (stored.goal !== null && now.goal !== null) compare('goal', ({ goal }) => String(goal));
  compare('seed', ({ seed }) => String(seed));
  compare('policies', ({ policies }) => policies.map(plain).join(' ') || 'none');
  compare('dtype', ({ dtype }) => dtype ?? 'of the checkpoints');
  return found;
}

/** Of a study whose run may grow: checkpoints that were there are there, with the same content, or are gone. */
function grownDifferences(stored: StudyIdentity, now: StudyIdentity): string[] {
  const before = new Map(stored.members.map((member) => [member.step, member]));
  const changed = now.members.filter(({ step, fingerprint }) => before.has(step) && before.get(step)!.fingerprint !== fingerprint);
  return changed.length === 0 ? [] : [`the content of ${changed.map(({ path }) => ownName(path)).join(', ')}`];
}

/** A checkpoint's own name, without the number that tells it from another of that name. */
function ownName(path: string): string {
  return basename(path).replace(/ \(\d+\)$/, '');
}
