import type { Checkpoint } from '../../checkpoints/types.ts';
import type { RecordedNames } from '../../merge/record/provenance.ts';
import { fitOf, renamed } from '../../model/names/apply.ts';
import { NO_FACTS } from '../../model/names/facts.ts';
import { parseNames } from '../../recipe/names/parse.ts';

/**
 * Members of a merge under the names that it has, by the rules that its record holds: a table of another version
 * of this program, or a file that was changed since, would be other rules.
 * @throws MergeError E_NAMES, E_NAMES_UNFIT for a record that does not fit its members
 */
export async function underNames(members: readonly Checkpoint[], { table, sizes, model }: RecordedNames): Promise<Checkpoint[]> {
  if (table === null) return [...members];
  const rules = parseNames(table.name, JSON.stringify(table.content), table.name);
  const facts = { ...NO_FACTS, sizes: new Map(Object.entries(sizes)), model, said: 'its provenance' };
  return members.map((member) => (fitOf(member, rules).kind === 'targets' ? member : renamed(member, rules, facts)));
}
