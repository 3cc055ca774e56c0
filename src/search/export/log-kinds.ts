import { join } from 'node:path';
import { didYouMean } from '../../base/did-you-mean.ts';
import { MergeError } from '../../base/errors.ts';
import { replaceFile } from '../study/report-files.ts';
import type { StoredTrials } from '../study/trials-file.ts';
import { appendEvents, checkEventFolder, eventFileName } from './event-file.ts';
import { checkTracker, RUN_VARIABLES, type Tracker, tellTracker } from './hook-log.ts';
import { scoreRows, studyId } from './rows.ts';
import { checkTableFile, csvText, jsonlText } from './table-files.ts';

export const LOG_KINDS = ['csv', 'jsonl', 'tensorboard', 'wandb', 'mlflow'] as const;
export type LogKind = (typeof LOG_KINDS)[number];

/** Where scores are logged. */
export interface LogTarget {
  readonly kind: LogKind;
  /** Null where the kind has a place of its own: beside the trials, or a tracker. */
  readonly path: string | null;
}

/** `csv`, `tensorboard=DIR`. @param option that it was given with @throws MergeError E_OPTION */
export function parseLogTarget(text: string, option: string): LogTarget {
  const at = text.indexOf('=');
  const [kind, path] = at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
  if (!(LOG_KINDS as readonly string[]).includes(kind)) {
    const near = didYouMean(kind, LOG_KINDS);
    throw new MergeError(
      'E_OPTION',
      `${option} takes ${LOG_KINDS.join(', ')}, each alone or with =PATH, and not '${text}'`,
      near === null ? {} : { help: `Did you mean ${near}?` },
    );
  }
  if (path === '')
    throw new MergeError('E_OPTION', `${option} ${kind}= names no path`, { help: `Write ${option} ${kind}, or ${option} ${kind}=PATH.` });
  if (path !== null && kind in RUN_VARIABLES) {
    throw new MergeError('E_OPTION', `${option} ${text}: ${kind} has no path`, {
      help: `The run is that of ${RUN_VARIABLES[kind as Tracker]}: write ${option} ${kind}.`,
    });
  }
  return { kind: kind as LogKind, path };
}

/** The place of a log that has a path. @param folder of the trials */
export function placeOfLog({ kind, path }: LogTarget, folder: string): string {
  return path ?? join(folder, kind === 'tensorboard' ? 'tensorboard' : `scores.${kind}`);
}

/** Refuses what could not be logged to, before anything is scored. @throws MergeError E_OPTION, E_OUTPUT_EXISTS */
export async function checkLog(target: LogTarget, folder: string, stored: StoredTrials | null): Promise<void> {
  const { kind } = target;
  const isBegun = stored !== null && stored.trials.length > 0;
  if (kind === 'wandb' || kind === 'mlflow') checkTracker(kind);
  else if (kind === 'tensorboard') await checkEventFolder(placeOfLog(target, folder), isBegun ? eventFileName(stored) : null);
  else await checkTableFile(placeOfLog(target, folder), isBegun ? studyId(stored) : null);
}

/**
 * Brings a log to where the trials are: whatever was logged before, nothing is doubled and nothing is missing.
 * @param folder of the trials @param page name of their page, seen from there
 * @throws MergeError E_OUTPUT_EXISTS, E_LOG; of the side of outputs
 */
export async function writeLog(target: LogTarget, folder: string, stored: StoredTrials, page: string, signal?: AbortSignal): Promise<void> {
  if (stored.trials.length === 0) return;
  const { kind } = target;
  const place = placeOfLog(target, folder);
  switch (kind) {
    case 'csv':
    case 'jsonl': {
      await checkTableFile(place, studyId(stored));
      const rows = scoreRows(stored);
      return replaceFile(place, kind === 'csv' ? csvText(rows) : jsonlText(rows));
    }
    case 'tensorboard':
      return appendEvents(place, stored, page);
    default:
      return tellTracker(kind, folder, scoreRows(stored), signal);
  }
}
