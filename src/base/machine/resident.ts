import { readText } from './cgroup.ts';

/** Highest memory of this process seen at the moments it was looked at. */
export class MemoryWatch {
  rssBytes: number | null = null;
  anonBytes: number | null = null;

  look(): void {
    const now = residentMemory();
    if (now === null) return;
    this.rssBytes = Math.max(this.rssBytes ?? 0, now.rss);
    this.anonBytes = Math.max(this.anonBytes ?? 0, now.anon);
  }
}

/** Resident and anonymous bytes of this process; null where /proc does not tell (macOS). */
function residentMemory(): { rss: number; anon: number } | null {
  const status = readText('/proc/self/status');
  if (status === null) return null;
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return { rss: field('VmRSS'), anon: field('RssAnon') };
}
