/** Milliseconds between two looks. */
const LOOK_MS = 500;

/**
 * Ends this process as SIGTERM does when the process that MERGE_PARENT names is gone: a Python program may be
 * killed in a way that leaves it no time to end what it started. The variable is taken out of the environment,
 * since what this process starts has another parent.
 */
export function endWithParent(env: NodeJS.ProcessEnv): void {
  const parent = Number(env.MERGE_PARENT ?? 0);
  delete env.MERGE_PARENT;
  if (!Number.isSafeInteger(parent) || parent < 1) return;
  // Between the two there may be one more: a `node` of version managers that starts the real one.
  const isChild = process.ppid === parent;
  const looking = setInterval(() => {
    if (isChild ? process.ppid === parent : isThere(parent)) return;
    clearInterval(looking);
    process.kill(process.pid, 'SIGTERM');
  }, LOOK_MS);
  looking.unref();
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
