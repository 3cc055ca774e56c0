import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { RESULT_FILE } from '../optimise/files.ts';
import { readStudy, type StoredStudy } from '../study/read.ts';
import type { BranchScore } from './calibrate.ts';
import { forecastDocument } from './document.ts';
import type { ForecastDocument } from './types.ts';

/**
 * What the trials of a forecast say: the document that it would end with now, calibrated as it was.
 *
 * @param path `trials.jsonl`, or the folder that it lies in
 * @throws MergeError E_NOT_FOUND, E_TRIALS (also where the trials are of a search), E_NOT_READABLE
 */
export async function readForecast(path: string): Promise<ForecastDocument> {
  const stored = await readStudy(path);
  if (stored.identity.kind !== 'forecast') {
    throw new MergeError('E_TRIALS', `${path}: these are trials of a ${stored.identity.kind}, not of a forecast`, {
      details: { file: path },
    });
  }
  return storedForecast(stored);
}

export async function storedForecast({ folder, identity, trials, goal }: StoredStudy): Promise<ForecastDocument> {
  return forecastDocument({ identity, goal, trials, branches: await branchesIn(folder), reads: 0, warnings: [] });
}

/** Real decays are no trials: the result keeps them. */
async function branchesIn(folder: string): Promise<readonly BranchScore[]> {
  const text = await readFile(join(folder, RESULT_FILE), 'utf8').catch(() => '{}');
  try {
    const { branches } = JSON.parse(text) as { branches?: unknown };
    return Array.isArray(branches) && branches.every(isBranch) ? branches : [];
  } catch {
    return [];
  }
}

function isBranch(value: unknown): value is BranchScore {
  if (typeof value !== 'object' || value === null) return false;
  const { step, score } = value as Partial<BranchScore>;
  return Number.isSafeInteger(step) && Number.isFinite(score);
}
