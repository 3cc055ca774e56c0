import { dirname, join, resolve } from 'node:path';
import { mapBounded } from '../../base/map-bounded.ts';
import { storeOf } from '../../base/store/store.ts';
import { positionFromName } from '../../checkpoints/names.ts';
import type { RecordedSave } from '../../recipe/grid/saves.ts';
import type { Provenance, ProvenanceMember } from '../record/provenance.ts';
import { readProvenance } from '../record/read-provenance.ts';

/** Records that are read at a time. */
const READ_AT_ONCE = 8;

/** The records of the merges in a folder, by their names; what has none, or none that can be read, is nobody's. */
export async function recordsIn(folder: string): Promise<ReadonlyMap<string, Provenance>> {
  const entries =
    (await storeOf(folder)
      .list(folder)
      .catch(() => null)) ?? [];
  const names = entries.flatMap(({ name, kind }) => (kind === 'folder' && !name.startsWith('.') ? [name] : []));
  const records = await mapBounded(names, READ_AT_ONCE, (name) => readProvenance(join(folder, name)).catch(() => null));
  return new Map(names.flatMap((name, i) => (records[i] == null ? [] : [[name, records[i]!] as const])));
}

/**
 * Saves of a run that records in a folder name as members: also those that the run has no more.
 * @param folder of the merges @param run folder of the run
 */
export function recordedSaves(
  records: ReadonlyMap<string, Provenance>,
  folder: string,
  { run, stage }: { readonly run: string; readonly stage: number | undefined },
): readonly RecordedSave[] {
  const found = new Map<number, RecordedSave>();
  for (const { recipe } of records.values()) {
    for (const member of recipe.members) {
      const { name, step, tokens } = member;
      if (step === null || !isOfRun(member, folder, run)) continue;
      if (stage !== undefined && positionFromName(name)?.stage !== stage) continue;
      found.set(step, { name, step, tokens: tokens ?? found.get(step)?.tokens ?? null });
    }
  }
  return [...found.values()];
}

/** By the path, where the record tells it: a folder may hold merges of several runs. */
function isOfRun({ path }: ProvenanceMember, folder: string, run: string): boolean {
  if (path === null) return true;
  const place = resolve(folder, path);
  const above = resolve(run);
  return place.startsWith(`${above}/`) || dirname(place) === above;
}
