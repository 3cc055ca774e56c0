import fs from 'node:fs/promises';
import type { Warning } from '../errors.ts';
import type { ProcessIdentity } from './process-identity.ts';

export { constants } from 'node:fs';

/**
 * The calls of node:fs/promises by which this program looks at and changes its own side of a disk: all of
 * them are made through here, so that a test can fail or stop each. None of them follows a link at the end of
 * a path where it changes something, as `open` is called.
 */
export type PublishFs = Pick<
  typeof fs,
  | 'access'
  | 'link'
  | 'lstat'
  | 'mkdir'
  | 'open'
  | 'readdir'
  | 'readlink'
  | 'realpath'
  | 'rename'
  | 'rmdir'
  | 'stat'
  | 'statfs'
  | 'symlink'
  | 'unlink'
>;

/** rename(2) with a flag: fails where something is there, or exchanges the two. */
export type RenameWithFlag = (from: string, to: string, how: 'noreplace' | 'exchange') => void;

export interface PublishHooks {
  /** The native call. Without it the fallbacks for file systems without rename flags are used. */
  readonly rename?: RenameWithFlag;
  readonly onWarning?: (warning: Warning) => void;
  /** Tests only. */
  readonly fs?: PublishFs;
  /** Who this process says it is. Tests only. */
  readonly self?: ProcessIdentity;
}

/** Hooks with their defaults. */
export interface System {
  readonly fs: PublishFs;
  readonly rename: RenameWithFlag;
  readonly warn: (warning: Warning) => void;
}

export function systemOf(hooks: PublishHooks): System {
  return {
    fs: hooks.fs ?? fs,
    rename:
      hooks.rename ??
      (() => {
        throw Object.assign(new Error('no rename with flags here'), { errno: 'ENOSYS' });
      }),
    warn: hooks.onWarning ?? (() => {}),
  };
}

/** Of programs: tests have their own. */
export const SYSTEM: System = systemOf({});
