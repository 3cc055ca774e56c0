import { dirname } from 'node:path';
import { askAnew } from '../../base/disk/fresh-look.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { worded } from '../../base/option-words.ts';
import { storeOf } from '../../base/store/store.ts';
import { PROVENANCE_FILE } from '../../checkpoints/our-files.ts';
import type { MergeResult } from '../engine/events.ts';
import { loadBinding } from '../native/load.ts';
import { type AskedMerge, requestDigest } from '../plan/request-digest.ts';
import { readProvenance } from '../record/read-provenance.ts';
import { isOpen } from './board-place.ts';

/**
 * Outputs that this very command has made, in this start of it or before; null where one of them is not there
 * as it was published, or cannot be told.
 * @param job digest of what the launcher calls the job (`ProvenanceTimings.job`); undefined where it has no
 *   name for it
 */
export async function madeBefore(asked: AskedMerge, job: string | undefined): Promise<readonly string[] | null> {
  const paths = asked.outputs.map(({ path }) => path);
  for (const path of paths) {
    if (isOpen(path)) return null;
    await askAnew(SYSTEM, dirname(path));
    const record = await readProvenance(path).catch(() => null);
    if (record?.request !== requestDigest(asked, path)) return null;
    // Of another job it may be that the run has grown since, or that its checkpoints are others: the plan says.
    if (job !== undefined && record.timings?.job !== job) return null;
    const isFolder = (await sizeOf(`${path}/${PROVENANCE_FILE}`)) !== null;
    for (const { name, bytes } of [...record.files, ...(record.sideFiles ?? [])]) {
      if ((await sizeOf(isFolder ? `${path}/${name}` : path)) !== bytes) return null;
    }
  }
  return paths;
}

function sizeOf(path: string): Promise<number | null> {
  return storeOf(path)
    .stat(path)
    .then(
      (stat) => stat.size,
      () => null,
    );
}

/** The result of a rank that comes when all is done. */
export function resultOfMade(finished: readonly string[]): MergeResult {
  const since = worded`checkpoints that were saved since take no part, and --force makes it anew with them`;
  const message = `${finished.join(', ')}: made before by this very command; ${since}`;
  const phases = { readSeconds: 0, computeSeconds: 0, writeSeconds: 0, syncSeconds: 0 };
  return {
    ...{ schema: 'ckpt-merge/average', version: 1, outputs: [], finished, bytesRead: 0, seconds: 0, phases },
    ...{ peakRssBytes: null, peakAnonBytes: null, threads: 0, isa: loadBinding().cpuInfo().active, io: 'map', resumedBytes: 0 },
    warnings: [{ code: 'W_MADE_BEFORE', message }],
  };
}
