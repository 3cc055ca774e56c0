import { SYSTEM } from './system.ts';

/** Where Linux keeps files in memory. A system may lack it, and a container may have it small or closed. */
export const SHARED_MEMORY = '/dev/shm';

/** Bytes that are free in it; 0 where there is none. Whether it can be written only trying tells. */
export async function sharedMemoryBytes(): Promise<number> {
  return SYSTEM.fs.statfs(SHARED_MEMORY).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => 0,
  );
}
