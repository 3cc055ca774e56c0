import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mergeScript, type SlurmJob, submissionScript, type ThenJob, thenScript } from '../../../src/cli/submit/slurm-script.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const NAMES = [
  'nl\ntouch INJ; #',
  'cr\rtouch INJ',
  'nl"\n#SBATCH --wrap=x',
  '\u001b[2J\u202e',
  'ls\u2028touch INJ',
  "q'$(touch INJ)`touch INJ`",
];
const then = (name: string): ThenJob => ({
  ...{ name, partition: undefined, account: undefined, more: [], folder: folder.path, log: `${folder.path}/x.log` },
  ...{ command: 'printf "%s|%s" "$MERGE_MODEL" "$MERGE_NAME"', outputs: [`/out/${name}`, '/b'], names: [name, 'b'] },
});
const job = (name: string): SlurmJob => ({
  ...{ name, nodes: 1, cpus: null, time: undefined, partition: undefined, account: undefined, more: [], restarts: 0 },
  ...{ folder: folder.path, log: `${folder.path}/x.log`, words: ['true', name], madeBy: `merge submit -- average ${name}` },
});
/** Lines before the first that is run: sbatch reads its options there. */
const head = (script: string) => script.slice(0, script.search(/\n\n|\nunset/)).split('\n');

describe.each(NAMES)('a job called %j', (name) => {
  it('has one line for each option of sbatch, which a terminal can show', () => {
    for (const script of [mergeScript(job(name)), thenScript(then(name))]) {
      expect(head(script).every((line) => line.startsWith('#'))).toBe(true);
      expect(head(script).filter((line) => line.startsWith('#SBATCH --job-name='))).toHaveLength(1);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are exactly what must not reach a terminal
      expect(script).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/);
      // sbatch reads no options after the first line that is no comment.
      expect(head(script).filter((line) => line.startsWith('#SBATCH --wrap'))).toEqual([]);
    }
  });

  it('is scored under its own name, and nothing of the name is run', () => {
    const env = { ...process.env, SLURM_ARRAY_TASK_ID: '0' };
    const said = execFileSync('bash', ['-s'], { input: thenScript(then(name)), cwd: folder.path, env }).toString();
    expect(said).toBe(`/out/${name}|${name}`);
    const both = 'sbatch() { cat >/dev/null; echo 71; }; srun() { :; }; export -f sbatch srun\n';
    execFileSync('bash', ['-s'], { input: both + submissionScript(job(name), then(name)), cwd: folder.path });
    execFileSync('bash', ['-s'], { input: both + mergeScript(job(name)), cwd: folder.path });
    expect(readdirSync(folder.path)).toEqual([]);
  });
});
