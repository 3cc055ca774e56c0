import os from 'node:os';
import { join } from 'node:path';
import { cgroupFolders, readText, systemLines } from './cgroup.ts';

/** Memory that this process could still take, in bytes. */
export interface MemoryLimits {
  /**
   * What the system as a whole could hand out without swapping: free memory and page cache that can be
   * dropped.
   */
  readonly system: number;
  /** What is left under the tightest cgroup limit, page cache counted as free; null without a limit. */
  readonly cgroup: number | null;
}

/** Reads how much memory is left, by the system and by cgroup v1 and v2 limits. Never throws. */
export function memoryLimits({ root = '/' }: { readonly root?: string } = {}): MemoryLimits {
  return { system: systemMemory(root), cgroup: cgroupMemory(root) };
}

/** Bytes of memory available to this process: the smaller of what the system and what the cgroup has left. */
export function availableMemory(source?: { readonly root?: string }): number {
  const { system, cgroup } = memoryLimits(source);
  return Math.min(system, cgroup ?? Number.POSITIVE_INFINITY);
}

function systemMemory(root: string): number {
  const line = systemLines(join(root, 'proc/meminfo')).find((l) => l.startsWith('MemAvailable:'));
  const kib = Number(line?.match(/\d+/)?.[0]);
  return Number.isFinite(kib) ? kib * 1024 : os.freemem();
}

function cgroupMemory(root: string): number | null {
  let least: number | null = null;
  for (const { version, folders } of cgroupFolders('memory', root)) {
    for (const folder of folders) {
      const left = version === 2 ? leftV2(folder) : leftV1(folder);
      if (left !== null && (least === null || left < least)) least = left;
    }
  }
  return least;
}

/** `memory.high` throttles before `memory.max` kills, so the lower of the two is the limit to stay under. */
function leftV2(folder: string): number | null {
  const limit = Math.min(...['memory.max', 'memory.high'].map((name) => bytesIn(folder, name) ?? Number.POSITIVE_INFINITY));
  return left(limit, bytesIn(folder, 'memory.current'), statBytes(folder, ['inactive_file', 'active_file']));
}

/** Without a limit the v1 file holds a number just under 2^63. */
function leftV1(folder: string): number | null {
  const limit = bytesIn(folder, 'memory.limit_in_bytes') ?? Number.POSITIVE_INFINITY;
  return left(
    limit >= 2 ** 62 ? Number.POSITIVE_INFINITY : limit,
    bytesIn(folder, 'memory.usage_in_bytes'),
    statBytes(folder, ['total_inactive_file', 'total_active_file']),
  );
}

/** Page cache is charged to a group but given up under pressure, so it does not count as used. */
function left(limit: number, used: number | null, pageCache: number): number | null {
  if (!Number.isFinite(limit) || used === null) return null;
  return Math.max(0, limit - Math.max(0, used - pageCache));
}

function bytesIn(folder: string, name: string): number | null {
  const text = readText(join(folder, name));
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}

function statBytes(folder: string, keys: readonly string[]): number {
  let sum = 0;
  for (const line of systemLines(join(folder, 'memory.stat'))) {
    const [key = '', value] = line.split(' ');
    if (keys.includes(key)) sum += Number(value);
  }
  return sum;
}
