import { MergeError } from '../../base/errors.ts';
import { checkGiven, type Taken } from '../../recipe/given.ts';
import { readStudy } from '../study/read.ts';
import { REPORT_PAGE } from '../study/report-files.ts';
import { RUN_VARIABLES } from './hook-log.ts';
import { checkLog, placeOfLog, writeLog } from './log-kinds.ts';
import { logTargets } from './logs.ts';
import { scoreRows } from './rows.ts';

export interface ExportOptions {
  /** `trials.jsonl` of a search, a soup, a forecast, a scored grid or a watch; or the folder that it lies in. */
  readonly trials: string;
  /** `csv`, `jsonl`, `tensorboard`, each alone (beside the trials) or with `=PATH`; `wandb`, `mlflow`. */
  readonly to: readonly string[];
}

const OF_EXPORT = { trials: { kind: 'path', needed: true }, to: { kind: 'texts', needed: true } } as const satisfies Taken<ExportOptions>;

/** What was logged where. */
export interface ExportReport {
  readonly schema: 'ckpt-merge/export';
  readonly version: 1;
  readonly trials: number;
  readonly logs: readonly { readonly kind: string; readonly path: string | null; readonly run: string | null }[];
}

/**
 * Logs the scores of a study, whether it is under way or over: what was logged before is not doubled.
 * @throws MergeError E_OPTION, E_NOT_FOUND, E_TRIALS, E_OUTPUT_EXISTS where a place holds another study's; E_LOG; of the
 *   side of outputs
 */
export async function exportScores(options: ExportOptions): Promise<ExportReport> {
  checkGiven('exportScores', options, OF_EXPORT);
  const targets = logTargets(options.to);
  if (targets.length === 0) throw new MergeError('E_OPTION', 'nothing says what to export to');
  const { folder, written } = await readStudy(options.trials);
  for (const target of targets) await checkLog(target, folder, written);
  const page = written.identity.kind === 'watch' ? 'live.html' : REPORT_PAGE;
  for (const target of targets) await writeLog(target, folder, written, page);
  return {
    schema: 'ckpt-merge/export',
    version: 1,
    trials: scoreRows(written).length,
    logs: targets.map((target) => {
      const { kind } = target;
      const isTracker = kind === 'wandb' || kind === 'mlflow';
      return { kind, path: isTracker ? null : placeOfLog(target, folder), run: isTracker ? process.env[RUN_VARIABLES[kind]]! : null };
    }),
  };
}
