import { systemLines } from './cgroup.ts';

/**
 * The soft limit of a row of /proc/self/limits (`ulimit`); undefined where it has none, or where the system does not
 * say without a child process.
 */
export function softLimit(name: string, lines: readonly string[] = systemLines('/proc/self/limits')): number | undefined {
  const line = lines.find((l) => l.startsWith(name));
  const [soft] = line?.slice(name.length).trim().split(/\s+/) ?? [];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}
