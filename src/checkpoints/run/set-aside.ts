import { basename, dirname, join } from 'node:path';
import type { Warning } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';

/** Where a save waits until its copy is in its place: hidden, so that no trainer takes it for a save. */
export function asideOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.full`);
}

/** Names of saves that a script which was cut short left set aside. @param names of everything in a run */
export function namesSetAside(names: readonly string[]): string[] {
  return names.flatMap((name) => /^\.(.+)\.full$/s.exec(name)?.[1] ?? []).sort();
}

/** What there is to say of them to whoever looks at the run: nothing is listed that is hidden. */
export function asideWarnings(run: string, names: readonly string[]): Warning[] {
  const aside = namesSetAside(names);
  if (aside.length === 0) return [];
  const others = aside.length === 1 ? '' : `, and so were ${aside.length - 1} others`;
  return [
    {
      code: 'W_SAVE_ASIDE',
      message: `${run}: ${aside[0]} was set aside as ${asideOf(aside[0]!)} by a script of stripped copies that was cut short${others}; run that script again, or one that ${optionName('strip')} makes anew`,
    },
  ];
}
