import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { cgroupFolders } from '../../../src/base/machine/cgroup.ts';
import { availableMemory, memoryLimits } from '../../../src/base/machine/memory.ts';
import { cpuLimits, defaultThreads } from '../../../src/base/machine/threads.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

/** Lays out the system files of a machine in a folder. */
function machine(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'machine-'));
  roots.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const V2_MOUNT = '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n';
const V1_MOUNTS =
  '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n' +
  '35 31 0:32 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory\n';

describe('cgroup folders', () => {
  it('are the own group and all its parents, in the mounted tree', () => {
    const root = machine({ 'proc/self/cgroup': '0::/slice/job_7/step\n', 'proc/self/mountinfo': V2_MOUNT });
    const top = join(root, 'sys/fs/cgroup');
    expect(cgroupFolders('cpu', root)).toEqual([
      { version: 2, folders: [join(top, 'slice/job_7/step'), join(top, 'slice/job_7'), join(top, 'slice'), top] },
    ]);
  });

  it('are only the top of the mount where a container sees no more of its group', () => {
    const mount = '30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n';
    const root = machine({ 'proc/self/cgroup': '0::/system.slice/other\n', 'proc/self/mountinfo': mount });
    expect(cgroupFolders('memory', root)).toEqual([{ version: 2, folders: [join(root, 'sys/fs/cgroup')] }]);
  });

  it('undo the escapes of a mount point with a space', () => {
    const mount = '30 23 0:26 / /mnt/c\\040group rw - cgroup2 cgroup2 rw\n';
    const root = machine({ 'proc/self/cgroup': '0::/\n', 'proc/self/mountinfo': mount });
    expect(cgroupFolders('cpu', root)).toEqual([{ version: 2, folders: [join(root, 'mnt/c group')] }]);
  });
});

describe('threads', () => {
  const v2 = (quota: string, parent = 'max 100000') =>
    machine({
      'proc/self/cgroup': '0::/job/step\n',
      'proc/self/mountinfo': V2_MOUNT,
      'sys/fs/cgroup/job/step/cpu.max': `${quota}\n`,
      'sys/fs/cgroup/job/cpu.max': `${parent}\n`,
    });

  it.each([
    { name: 'affinity alone', root: () => v2('max 100000'), env: {}, threads: 64 },
    { name: 'a quota of 3.5 CPUs gives 4', root: () => v2('350000 100000'), env: {}, threads: 4 },
    { name: 'a quota of half a CPU gives 1', root: () => v2('50000 100000'), env: {}, threads: 1 },
    { name: 'the quota of a parent binds', root: () => v2('800000 100000', '200000 100000'), env: {}, threads: 2 },
    { name: 'Slurm', root: () => v2('max 100000'), env: { SLURM_CPUS_PER_TASK: '12' }, threads: 12 },
    { name: 'Slurm above the quota', root: () => v2('400000 100000'), env: { SLURM_CPUS_PER_TASK: '12' }, threads: 4 },
    { name: 'nonsense from Slurm counts as nothing', root: () => v2('max 100000'), env: { SLURM_CPUS_PER_TASK: 'all' }, threads: 64 },
    { name: 'no /proc at all', root: () => machine({}), env: {}, threads: 64 },
  ])('$name', ({ root, env, threads }) => {
    expect(defaultThreads({ root: root(), env, affinity: 64 })).toBe(threads);
  });

  it('reads a v1 quota, and -1 as none', () => {
    const v1 = (quota: string) =>
      machine({
        'proc/self/cgroup': '4:memory:/job\n1:cpu,cpuacct:/job\n0::/\n',
        'proc/self/mountinfo': V1_MOUNTS,
        'sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us': quota,
        'sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us': '100000\n',
      });
    expect(cpuLimits({ root: v1('250000\n'), env: {}, affinity: 8 }).cgroupQuota).toBe(2.5);
    expect(cpuLimits({ root: v1('-1\n'), env: {}, affinity: 8 }).cgroupQuota).toBeNull();
  });
});

describe('memory', () => {
  const MEMINFO = 'MemTotal:       32000000 kB\nMemFree:         1000000 kB\nMemAvailable:   20000000 kB\n';

  it('is what the system has where no cgroup limits it', () => {
    const root = machine({ 'proc/meminfo': MEMINFO, 'proc/self/cgroup': '0::/\n', 'proc/self/mountinfo': V2_MOUNT });
    expect(memoryLimits({ root })).toEqual({ system: 20_000_000 * 1024, cgroup: null });
  });

  it('is what a v2 limit leaves, page cache counted as free', () => {
    const root = machine({
      'proc/meminfo': MEMINFO,
      'proc/self/cgroup': '0::/job\n',
      'proc/self/mountinfo': V2_MOUNT,
      'sys/fs/cgroup/job/memory.max': '4000000000\n',
      'sys/fs/cgroup/job/memory.high': 'max\n',
      'sys/fs/cgroup/job/memory.current': '3000000000\n',
      'sys/fs/cgroup/job/memory.stat': 'anon 500000000\ninactive_file 1500000000\nactive_file 1000000000\n',
    });
    expect(availableMemory({ root })).toBe(3_500_000_000);
  });

  it('respects memory.high below memory.max', () => {
    const root = machine({
      'proc/meminfo': MEMINFO,
      'proc/self/cgroup': '0::/job\n',
      'proc/self/mountinfo': V2_MOUNT,
      'sys/fs/cgroup/job/memory.max': 'max\n',
      'sys/fs/cgroup/job/memory.high': '2000000000\n',
      'sys/fs/cgroup/job/memory.current': '500000000\n',
    });
    expect(availableMemory({ root })).toBe(1_500_000_000);
  });

  it('is what a v1 limit leaves, and the number near 2^63 is no limit', () => {
    const v1 = (limit: string) =>
      machine({
        'proc/meminfo': MEMINFO,
        'proc/self/cgroup': '4:memory:/job\n',
        'proc/self/mountinfo': V1_MOUNTS,
        'sys/fs/cgroup/memory/job/memory.limit_in_bytes': limit,
        'sys/fs/cgroup/memory/job/memory.usage_in_bytes': '1000000000',
        'sys/fs/cgroup/memory/job/memory.stat': 'cache 1\ntotal_inactive_file 100000000\ntotal_active_file 200000000\n',
      });
    expect(availableMemory({ root: v1('2000000000') })).toBe(1_300_000_000);
    expect(memoryLimits({ root: v1('9223372036854771712') }).cgroup).toBeNull();
  });

  it('is never negative in a group over its limit', () => {
    const root = machine({
      'proc/meminfo': MEMINFO,
      'proc/self/cgroup': '0::/job\n',
      'proc/self/mountinfo': V2_MOUNT,
      'sys/fs/cgroup/job/memory.max': '1000\n',
      'sys/fs/cgroup/job/memory.current': '4000\n',
    });
    expect(availableMemory({ root })).toBe(0);
  });
});
