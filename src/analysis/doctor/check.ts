/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  /** `warn`: merges work, but slower or less safely; `fail`: they will not work. */
  readonly status: 'ok' | 'warn' | 'fail';
  /** What was found, in one line. */
  readonly found: string;
  /** What to do about it; null where nothing needs doing. */
  readonly help: string | null;
}

export function ok(name: string, found: string): Check {
  return { name, status: 'ok', found, help: null };
}

export function warn(name: string, found: string, help: string): Check {
  return { name, status: 'warn', found, help };
}

export function fail(name: string, found: string, help: string): Check {
  return { name, status: 'fail', found, help };
}
