import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ErrorCode } from '../../src/base/errors.ts';
import { runHere } from './fake-terminal.ts';
import { runShell } from './faults-shell.ts';
import { asProperties, withoutDashes } from './option-spelling.ts';
import type { CliResult } from './run-cli.ts';

/** What a case made in its own folder, and the command line that must be refused there. */
export interface HostileSetup {
  /** Words after `merge`; paths are relative to the case's folder, which is the working folder. */
  readonly args: readonly string[];
  /** What the message must name. */
  readonly file?: string;
  readonly tensor?: string;
  /** Another piece of the message. */
  readonly says?: string;
  /** What bash runs in place of `exec "$@"`, where the fault is one of the machine. */
  readonly shell?: string;
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Where something may be left behind, by the beginning of its path: the log of an evaluation that failed is
   * what its user reads next.
   */
  readonly leaves?: string;
  /** A path outside the case's folder that must stay as it is. */
  readonly also?: string;
}

/**
 * A command line that must be refused. `place` tells file kind, command and position at fault; (code, place)
 * is unlike that of any other case.
 */
export interface HostileCase {
  readonly code: ErrorCode;
  /** Written out, not looked up: the table in src/base/errors.ts is what is tested. */
  readonly exit: number;
  readonly place: string;
  readonly what: string;
  readonly make: (folder: string) => HostileSetup | Promise<HostileSetup>;
  /** Why it cannot be tried on this machine, else null. */
  readonly skip?: string | null;
}

export interface HostileOutcome {
  readonly case: HostileCase;
  /** Everything that is not as it must be; empty when the case passed. */
  readonly problems: readonly string[];
}

/**
 * Runs a case with `--json`, which prints the error as text on stderr and as a document on stdout, and checks
 * both, the exit code, and that every file of the case is as it was and nothing was added. With `plain` the
 * same is run without `--json` by the bin, which must print nothing on stdout.
 */
export async function runCase(hostile: HostileCase, plain: boolean): Promise<HostileOutcome> {
  const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
  try {
    const setup = await hostile.make(folder);
    const roots = [folder, ...(setup.also === undefined ? [] : [setup.also])];
    const before = roots.map(treeOf);
    const run = (args: readonly string[]) =>
      runShell(setup.shell ?? 'exec "$@"', args, { cwd: folder, ...(setup.env && { env: setup.env }) });
    const words = setup.args.includes('--json') ? setup.args : [...setup.args, '--json'];
    // Where nothing of the environment is the fault this process can do it.
    const result = await (setup.shell === undefined && setup.env === undefined ? runHere(words, folder) : run(words));
    const problems = [...textProblems(result, hostile, setup), ...documentProblems(result.stdout, hostile, setup)];
    // What the first run left may be in the way of another.
    if (plain && setup.leaves === undefined && !setup.args.includes('--json')) {
      const again = await run(setup.args);
      problems.push(...textProblems(again, hostile, setup));
      if (again.stdout !== '') problems.push(`without --json stdout holds ${JSON.stringify(again.stdout)}`);
    }
    const after = roots.map(treeOf);
    for (const [i, tree] of after.entries()) problems.push(...treeChanges(before[i]!, tree, setup.leaves));
    if (problems.length > 0) problems.push(`${setup.args.join(' ')}\n${result.stderr}`);
    return { case: hostile, problems };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function textProblems({ code, signal, stderr }: CliResult, hostile: HostileCase, setup: HostileSetup): string[] {
  const problems: string[] = [];
  const must = (holds: boolean, what: string) => holds || problems.push(what);
  must(signal === null, `ended by ${signal}`);
  must(code === hostile.exit, `exit code ${code}, not ${hostile.exit}`);
  const codes = [...stderr.matchAll(/error\[(\w+)\]: /g)].map((match) => match[1]);
  must(codes.length === 1 && codes[0] === hostile.code, `error codes [${codes}], not ${hostile.code}`);
  must(/^ {2}help: \S/m.test(stderr), 'no help');
  must(!/\n\s+at /.test(stderr), 'a stack is shown');
  const misspelt = [...asProperties(stderr), ...(setup.args[0] === 'run' ? [] : withoutDashes(stderr))];
  must(misspelt.length === 0, `options are not spelled as on the command line: ${misspelt}`);
  for (const part of [setup.file, setup.tensor, setup.says]) {
    must(part === undefined || stderr.includes(part), `does not say ${JSON.stringify(part)}`);
  }
  return problems;
}

function documentProblems(stdout: string, hostile: HostileCase, setup: HostileSetup): string[] {
  let document: Record<string, unknown>;
  try {
    document = JSON.parse(stdout);
  } catch {
    return [`stdout under --json is not one document: ${JSON.stringify(stdout.slice(0, 200))}`];
  }
  const problems: string[] = [];
  const { schema, code, message, details, help } = document;
  if (schema !== 'ckpt-merge/error') problems.push(`schema ${schema}`);
  if (code !== hostile.code) problems.push(`code ${code} in the document`);
  for (const [name, value] of Object.entries({ message, help })) {
    if (typeof value !== 'string' || value === '') problems.push(`${name} in the document is ${JSON.stringify(value)}`);
  }
  const where = details as { file?: string; tensor?: string } | undefined;
  if (setup.file !== undefined && !where?.file?.includes(setup.file)) problems.push(`details.file is ${where?.file}, not ${setup.file}`);
  if (setup.tensor !== undefined && where?.tensor !== setup.tensor)
    problems.push(`details.tensor is ${where?.tensor}, not ${setup.tensor}`);
  return problems;
}

/**
 * Everything below a folder, hidden names too: kind, size, mtime and a digest of what regular files hold.
 * Folders have no time: a name may come and go.
 */
export function treeOf(root: string): ReadonlyMap<string, string> {
  const entries = existsSync(root) ? readdirSync(root, { recursive: true, encoding: 'utf8' }) : [];
  return new Map(entries.sort().map((name): [string, string] => [name, describe(join(root, name))]));
}

function describe(path: string): string {
  const stat = lstatSync(path, { bigint: true });
  if (stat.isDirectory()) return 'folder';
  if (stat.isSymbolicLink()) return `link to ${readlinkSync(path)}`;
  if (!stat.isFile()) return 'special';
  // Made-up giants are sparse: their size and times say enough.
  const digest = stat.size > 1e8 ? 'giant' : createHash('sha256').update(readFileSync(path)).digest('hex');
  return `${stat.size} ${stat.mtimeNs} ${digest}`;
}

/** @param allowed beginning of the names that may be there anew */
export function treeChanges(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>, allowed?: string): string[] {
  const isNew = (name: string) => !before.has(name) && (allowed === undefined || !name.startsWith(allowed));
  const added = [...after.keys()].filter(isNew).map((name) => `left behind: ${name}`);
  const changed = [...before].filter(([name, is]) => after.get(name) !== is).map(([name]) => `changed: ${name}`);
  return [...added, ...changed];
}

/** Runs work over items, a few at a time, and keeps the order of the results. */
export async function pooled<T, R>(items: readonly T[], width: number, work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = [...items.entries()];
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await work(next[1], next[0]);
  };
  await Promise.all(Array.from({ length: width }, worker));
  return results;
}
