import { expectedSeconds, measureDisk } from '../../base/machine/disk-rate.ts';
import type { Plan } from './types.ts';

/**
 * Seconds that carrying out a plan may take, from a look at its disks of about half a second; null where that
 * could not be measured.
 * @param maxRead bytes a second, where reading is to be bounded
 */
export async function expectedTime(plan: Plan, maxRead = Number.POSITIVE_INFINITY): Promise<number | null> {
  if (plan.outputs.length === 0) return 0;
  const inputs = plan.files.map(({ path, member, file }) => ({ path, bytes: plan.members[member]!.checkpoint.files[file]!.stat.size }));
  const seconds = expectedSeconds(plan, await measureDisk(inputs, plan.outputs[0]!.path));
  return seconds === null ? null : Math.max(seconds, plan.bytesRead / maxRead);
}
