import { join } from 'node:path';
import { worded } from '../../base/option-words.ts';
import { unitBytes } from '../../merge/output/journal.ts';
import { type Partial, partialsIn, whyForeign } from '../../merge/output/partial.ts';
import { type Check, ok, warn } from './check.ts';

const NAME = 'unfinished';
/** Of how many each is said: anybody may have put thousands there. */
const MOST_SAID = 10;

/** What interrupted merges left in a folder. */
export async function checkUnfinished(folder: string): Promise<Check[]> {
  let partials: readonly Partial[];
  try {
    partials = await partialsIn(folder);
  } catch {
    // Another check says that nothing can be written there.
    return [];
  }
  if (partials.length === 0) return [ok(NAME, 'no interrupted merge lies in the output folder')];
  const checks = partials.slice(0, MOST_SAID).map((partial) => describe(partial, folder));
  const more = partials.length - MOST_SAID;
  return more > 0 ? [...checks, ok(NAME, `and ${more} more`)] : checks;
}

function describe(partial: Partial, folder: string): Check {
  const { path, state, record, units } = partial;
  if (state === 'foreign') return ok(NAME, `${path} ${whyForeign(partial)}`);
  const to = record === null ? '' : ` to ${join(folder, record.owner.name)}`;
  if (state === 'live') return ok(NAME, `a merge${to} is running: ${path}`);
  if (state === 'unknown') return ok(NAME, `a merge${to} may be running, on another machine or in another container: ${path}`);
  const done = `${units.size} finished ${units.size === 1 ? 'part' : 'parts'}, ${(unitBytes(units.values()) / 1e9).toPrecision(3)} GB`;
  return warn(
    NAME,
    `an interrupted merge${to} (${done}): ${path}`,
    worded`The same merge with --resume goes on with it, and without it removes it. Where nobody will run that again, remove the folder.`,
  );
}
