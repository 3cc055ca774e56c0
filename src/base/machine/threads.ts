import os from 'node:os';
import { join } from 'node:path';
import { cgroupFolders, readText } from './cgroup.ts';

/** What bounds the CPU time of this process; null where nothing does. All in CPUs. */
export interface CpuLimits {
  /** CPUs this process may be scheduled on (affinity mask, cpuset). */
  readonly affinity: number;
  /** CPU quota of the tightest cgroup, possibly a fraction. */
  readonly cgroupQuota: number | null;
  /** SLURM_CPUS_PER_TASK. */
  readonly slurm: number | null;
}

export interface MachineSource {
  /** Prefix of the system paths that are read. */
  readonly root?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly affinity?: number;
}

/** Reads the CPU limits of this process. Never throws. */
export function cpuLimits({ root = '/', env = process.env, affinity = os.availableParallelism() }: MachineSource = {}): CpuLimits {
  const slurm = env.SLURM_CPUS_PER_TASK ?? '';
  return { affinity, cgroupQuota: cgroupQuota(root), slurm: /^[1-9]\d{0,5}$/.test(slurm) ? Number(slurm) : null };
}

/**
 * How many compute threads a merge uses unless told: the smallest of the CPU affinity, the cgroup's CPU quota
 * rounded up, and SLURM_CPUS_PER_TASK. At least 1.
 */
export function defaultThreads(source?: MachineSource): number {
  const { affinity, cgroupQuota, slurm } = cpuLimits(source);
  return Math.max(1, Math.min(affinity, Math.ceil(cgroupQuota ?? Number.POSITIVE_INFINITY), slurm ?? Number.POSITIVE_INFINITY));
}

function cgroupQuota(root: string): number | null {
  let tightest: number | null = null;
  for (const { version, folders } of cgroupFolders('cpu', root)) {
    for (const folder of folders) {
      const cpus = version === 2 ? quotaV2(folder) : quotaV1(folder);
      if (cpus !== null && (tightest === null || cpus < tightest)) tightest = cpus;
    }
  }
  return tightest;
}

/** `cpu.max` holds `QUOTA PERIOD` in microseconds, or `max PERIOD`. */
function quotaV2(folder: string): number | null {
  const [quota = '', period = ''] = (readText(join(folder, 'cpu.max')) ?? '').split(' ');
  return ratio(quota, period);
}

/** A quota of -1 means none. */
function quotaV1(folder: string): number | null {
  return ratio(readText(join(folder, 'cpu.cfs_quota_us')) ?? '', readText(join(folder, 'cpu.cfs_period_us')) ?? '');
}

function ratio(quota: string, period: string): number | null {
  const cpus = Number(quota) / Number(period);
  return quota !== '' && Number.isFinite(cpus) && cpus > 0 ? cpus : null;
}
