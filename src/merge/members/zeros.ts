import type { Warning } from '../../base/errors.ts';
import { type Spots, tensorOfSpot } from '../../checkpoints/spots.ts';
import { plural } from '../../render/format.ts';
import { spotsOf } from '../plan/inputs/spots.ts';
import type { PlanMember } from '../plan/types.ts';
import { severalPaths } from './paths.ts';

/** Tensors that a warning names. */
const SHOWN = 3;
/**
 * Tensors that lie one behind the other and are zero in the oldest members, from which on that is a hole in a
 * file: what a training begins with zeros (gates, rows of new tokens) has others between.
 */
const HOLE = 3;

/**
 * Places that are zero in some members and in none of the others: of files that were given their length and
 * not their content. In the oldest members that is how a training begins, unless it is more than it would
 * begin with.
 * @param members oldest first
 */
export function zeroWarnings(members: readonly PlanMember[]): Warning[] {
  /** By the members that are zero there, joined. */
  const found = new Map<string, { readonly which: readonly number[]; readonly tensors: Set<string> }>();
  const holes = new Map<number, ReadonlySet<string>>();
  const holesIn = (m: number): ReadonlySet<string> => {
    const known = holes.get(m) ?? holesOf(spots[m]!);
    holes.set(m, known);
    return known;
  };
  const spots = members.map(({ checkpoint }) => spotsOf(checkpoint));
  if (!spots.some(holdsZeros)) return [];
  for (const key of spots[0]?.keys() ?? []) {
    const seen = spots.map((of) => of.get(key));
    const which = seen.flatMap((zero, m) => (zero === true ? [m] : []));
    if (which.length === 0 || !seen.includes(false)) continue;
    const oldest = which.length === which.at(-1)! + 1;
    if (oldest && (members[0]!.step === 0 || which.some((m) => !holesIn(m).has(key)))) continue;
    const group = found.get(which.join()) ?? { which, tensors: new Set() };
    found.set(which.join(), group);
    group.tensors.add(tensorOfSpot(key));
  }
  return [...found.values()].map(({ which, tensors }): Warning => {
    const names = [...tensors].slice(0, SHOWN).join(', ') + (tensors.size > SHOWN ? ' …' : '');
    const [verb, them] = which.length === 1 ? ['holds', 'it'] : ['hold', 'them'];
    const message = `${severalPaths(which.map((m) => members[m]!.path))} ${verb} zeros where no other member does, in ${plural(tensors.size, 'tensor')} (${names}): a file that was not written or downloaded to its end looks like that; save or fetch ${them} again, or leave ${them} out`;
    return { code: 'W_ZEROS', message };
  });
}

/** Of members, whose spots do not change: one is in many outputs of a grid. */
const ZEROS = new WeakMap<Spots, boolean>();

function holdsZeros(spots: Spots): boolean {
  const known = ZEROS.get(spots);
  if (known !== undefined) return known;
  const holds = [...spots.values()].includes(true);
  ZEROS.set(spots, holds);
  return holds;
}

/** Places that are zero together with others behind or before them, over several tensors. */
function holesOf(spots: ReadonlyMap<string, boolean>): ReadonlySet<string> {
  const holes = new Set<string>();
  let together: string[] = [];
  const end = (): void => {
    if (new Set(together.map(tensorOfSpot)).size >= HOLE) for (const key of together) holes.add(key);
    together = [];
  };
  // In the order of the files' bytes.
  for (const [key, zero] of spots) {
    if (zero) together.push(key);
    else end();
  }
  end();
  return holes;
}
