import { join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { parseJson } from '../../base/json/parse.ts';
import { packageRoot } from '../../base/package-root.ts';
import { spawnGroup } from '../../base/process/process-group.ts';
import { readIfThere } from '../../base/store/store.ts';
import { replaceFile } from '../study/report-files.ts';
import type { ScoreRow } from './rows.ts';

/** Trackers that are reached through their own Python clients, and the variable that names the run. */
export const RUN_VARIABLES = { wandb: 'WANDB_RUN_ID', mlflow: 'MLFLOW_RUN_ID' } as const;
export type Tracker = keyof typeof RUN_VARIABLES;

/** Bytes of what a hook said last that a warning shows. */
const SHOWN = 600;
const MOST_BYTES = 2 ** 24;

/** In the folder of the trials: what a tracker has been told. */
const stateFile = (folder: string, tracker: Tracker): string => join(folder, `logged-${tracker}.json`);

/** @throws MergeError E_OPTION where nothing names the run of the tracker */
export function checkTracker(tracker: Tracker): void {
  const variable = RUN_VARIABLES[tracker];
  if ((process.env[variable] ?? '') !== '') return;
  throw new MergeError('E_OPTION', `scores go to a run of ${tracker} that exists, and ${variable} does not name one`, {
    help: `Set ${variable} to the id of the training's run, and CKPT_MERGE_PYTHON where python3 is not the Python that has ${tracker}; see docs/dashboards.md.`,
  });
}

/**
 * Tells a tracker of rows that it was not told of. Where this is killed between the telling and its noting, the same rows
 * are told again.
 * @throws MergeError E_LOG where the hook fails, with what it said last; `signal.reason` on an abort
 */
export async function tellTracker(tracker: Tracker, folder: string, rows: readonly ScoreRow[], signal?: AbortSignal): Promise<void> {
  const run = process.env[RUN_VARIABLES[tracker]]!;
  const file = stateFile(folder, tracker);
  const told = await toldBefore(file, run, rows[0]?.study ?? null);
  // A gain that came later makes a row another one.
  const fresh = rows.filter((row) => told[String(row.trial)] !== digestOf(row));
  if (fresh.length === 0) return;
  await runHook(tracker, fresh, signal);
  for (const row of fresh) told[String(row.trial)] = digestOf(row);
  await replaceFile(file, `${JSON.stringify({ study: fresh[0]!.study, run, told })}\n`);
}

const digestOf = ({ score, gain }: ScoreRow): string => `${score} ${gain}`;

async function toldBefore(file: string, run: string, study: string | null): Promise<Record<string, string>> {
  const bytes = await readIfThere(file, MOST_BYTES).catch(() => null);
  if (bytes === null) return {};
  try {
    const {
      told,
      run: before,
      study: own,
    } = parseJson(bytes.toString('utf8')) as { told: Record<string, string>; run: string; study: string };
    return before === run && own === study && typeof told === 'object' && told !== null ? { ...told } : {};
  } catch {
    return {};
  }
}

function runHook(tracker: Tracker, rows: readonly ScoreRow[], signal: AbortSignal | undefined): Promise<void> {
  const python = process.env.CKPT_MERGE_PYTHON ?? 'python3';
  const script = join(packageRoot, 'hooks', `log_to_${tracker}.py`);
  return new Promise((resolve, reject) => {
    const child = spawnGroup([python, script], ['pipe', 'pipe', 'pipe']);
    let said = '';
    const listen = (chunk: Buffer): void => {
      said = `${said}${chunk}`.slice(-SHOWN);
    };
    child.stdout!.on('data', listen);
    child.stderr!.on('data', listen);
    // What ends without reading says why by its exit code.
    child.stdin!.on('error', () => {});
    child.stdin!.end(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const stop = (): void => void child.kill('SIGTERM');
    signal?.addEventListener('abort', stop, { once: true });
    const ended = (why: string | null): void => {
      signal?.removeEventListener('abort', stop);
      if (signal?.aborted) reject(signal.reason);
      else if (why === null) resolve();
      else reject(failed(tracker, why, said));
    };
    child.on('error', (error) => ended(`${python} could not be started: ${error.message}`));
    child.on('close', (code, by) => ended(code === 0 ? null : `it ended with ${by ?? `exit code ${code}`}`));
  });
}

function failed(tracker: Tracker, why: string, said: string): MergeError {
  const last = said.trim().split('\n').at(-1) ?? '';
  return new MergeError('E_LOG', `scores were not logged to ${tracker}: ${why}${last === '' ? '' : `: ${last}`}`, {
    details: { tracker },
    help: `CKPT_MERGE_PYTHON names the Python that has ${tracker}; docs/dashboards.md says how to try the hook by hand.`,
  });
}
