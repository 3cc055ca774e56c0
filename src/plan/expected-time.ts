import { expectedSeconds, measureDisk } from '../machine/disk-rate.ts';
import type { Plan } from './types.ts';

/** Estimate of the seconds that a plan takes, from a measurement of its disks that takes half a second; null where they cannot be measured. */
export async function expectedTime(plan: Plan): Promise<number | null> {
  const inputs = plan.files.map(({ path, member, shard }) => ({
    path,
    bytes: plan.members[member]!.checkpoint.shards[shard]!.stat.size,
  }));
  return expectedSeconds(plan, await measureDisk(inputs, plan.outputs[0]!.path));
}
