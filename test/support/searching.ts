import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BIN, type CliResult } from './run-cli.ts';
import { weightedRun } from './weighted-run.ts';

const KILL = new URL('./search-kill.js', import.meta.url).href;

/**
 * An evaluator of checkpoints of {@link weightedRun} with 4 members that starts in a few milliseconds: 1 - |w
 * - (0, 0, 0.3, 0.7)|^2, as score-weights.js has it. (The data of the one tensor is the end of the file.)
 */
export const FAST_SCORE =
  `tail -c 16 {model}/model.safetensors | od -An -w16 -t f4 | ` +
  `awk '{ printf "%.12f\\n", 1 - $1 * $1 - $2 * $2 - ($3 - 0.3) ^ 2 - ($4 - 0.7) ^ 2 }'`;

/** A folder with a run, and room for what searches make of it. */
export interface SearchPlace {
  readonly folder: string;
  readonly run: string;
  readonly out: string;
  /** `out.search`. */
  readonly dir: string;
  readonly trials: string;
}

const folders: string[] = [];

/** Removes what {@link searchPlace} made. */
export function removePlaces(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

export function searchPlace(parent = tmpdir()): SearchPlace {
  const folder = mkdtempSync(join(parent, 'ckpt-merge-test-'));
  folders.push(folder);
  const out = join(folder, 'best');
  const dir = `${out}.search`;
  return { folder, run: weightedRun(join(folder, 'run'), 4), out, dir, trials: join(dir, 'trials.jsonl') };
}

export interface SearchRun {
  readonly eval?: string;
  /** Of the merges; false for where the search itself would make them. */
  readonly work?: string | false;
  /** Default 6, which with the mean of the last 10 makes 7. */
  readonly trials?: number;
  /** Instead of `--goal maximize`. */
  readonly goal?: readonly string[];
  readonly options?: readonly string[];
}

/** Words of `merge search` in a place. */
export function searchWords(
  { folder, run, out }: SearchPlace,
  { eval: command = FAST_SCORE, work = folder, goal = ['--goal', 'maximize'], trials = 6, options = [] }: SearchRun = {},
): string[] {
  const place = work === false ? [] : ['--work', work];
  return ['search', run, '--last', '2', '--eval', command, ...goal, '-o', out, ...place, '--trials', String(trials), ...options];
}

export interface Disturbance {
  /** Of search-kill.js: the step at which the process is killed. */
  readonly kill?: number;
  /** File for the number of steps of an undisturbed search. */
  readonly steps?: string;
  /** Milliseconds after which the process is killed. */
  readonly killAfterMs?: number;
  /** A signal to the process, once what it said matches a pattern, or once a file is there. */
  readonly signal?: { readonly name: NodeJS.Signals; readonly when: RegExp | string };
}

/** Milliseconds after which a search hangs. */
const HANGS_MS = 300_000;
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

/** Runs the CLI to its end, or to a kill. @throws Error where it hangs */
export function runDisturbed(words: readonly string[], { kill, steps, killAfterMs, signal: sent }: Disturbance = {}): Promise<CliResult> {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1', CKPT_TEST_KILL: String(kill ?? 0) };
  for (const name of ['FORCE_COLOR', 'NODE_OPTIONS', 'npm_command', 'CKPT_TEST_STEPS']) delete env[name];
  if (steps !== undefined) env.CKPT_TEST_STEPS = steps;
  const preload = kill === undefined && steps === undefined ? [] : ['--import', KILL];
  const child = spawn(process.execPath, [...preload, BIN, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  let due = sent;
  const send = () => {
    if (due !== undefined) child.kill(due.name);
    due = undefined;
  };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      output[name] += chunk;
      if (due?.when instanceof RegExp && due.when.test(output.stdout + output.stderr)) send();
    });
  }
  return new Promise((resolve, reject) => {
    const hanging = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`it hangs: merge ${words.join(' ')}\n${output.stderr}`));
    }, HANGS_MS);
    const killing = killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMs);
    const looking = setInterval(() => typeof due?.when === 'string' && existsSync(due.when) && send(), 10);
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      clearTimeout(hanging);
      clearTimeout(killing);
      clearInterval(looking);
      // What an evaluator that outlives a kill holds open is not waited for.
      setImmediate(() => resolve({ code: code ?? 128 + (SIGNAL_NUMBERS[signal!] ?? 0), signal, ...output }));
    });
  });
}

/** Lines of a file of trials that are whole. */
export function wholeLines(file: string): string[] {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .slice(0, -1);
}

/** Trials that are kept, parsed. */
export const trialsOf = ({ trials }: SearchPlace) => wholeLines(trials).map((line) => JSON.parse(line));
/** Names of work folders beside the run. */
export const worksIn = ({ folder }: SearchPlace) => readdirSync(folder).filter((name) => name.startsWith('ckpt-merge-work'));

/**
 * Shell that waits with a child of its own, whose number it writes into the file `pid`, where `test` holds
 * and as long as the file `held` is there.
 */
export function held({ folder }: SearchPlace, test: string): string {
  writeFileSync(join(folder, 'held'), '');
  const pid = join(folder, 'pid');
  return `if ${test} && [ -e ${join(folder, 'held')} ]; then sleep 600 & echo $! > ${pid}.new; mv ${pid}.new ${pid}; wait; fi`;
}

/** Shell that holds in one trial. */
export const inTrial = (id: number) => `[ $MERGE_TRIAL = ${id} ]`;
