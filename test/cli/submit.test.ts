import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { buildProgram } from '../../src/cli/options/program.ts';
import { readSubmitted } from '../../src/cli/submit/submitted.ts';
import { temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';
import { runHere } from '../support/fake-terminal.ts';
import { BIN, type CliResult } from '../support/run-cli.ts';

const folder = temporaryFolder();
const cwd = folder.path;
/** Programs that stand for Slurm's, each of which writes down what it was called with. */
const bin = join(cwd, 'bin');
const MERGE = ['average', 'run', '-o', 'merged'];

beforeAll(() => {
  for (const step of [100, 200, 300])
    writeCheckpoint(join(cwd, 'run', `checkpoint-${step}`), [[{ name: 'lm_head.weight', dtype: 'BF16', shape: [64, 8] }]], step);
  writeFileSync(
    join(cwd, 'recipe.yaml'),
    'inputs: [run]\noutputs:\n  - {path: one, select: {last: 2}}\n  - {path: "the other\'s $HOME", select: {last: 3}}\n',
  );
});
beforeEach(() => {
  rmSync(bin, { recursive: true, force: true });
  mkdirSync(bin);
});
afterAll(() => folder.remove());

/** A program on PATH. @param body of a shell script; its words are in the file NAME.calls, a line a call */
function program(name: string, body: string): void {
  writeFileSync(join(bin, name), `#!/bin/bash\nprintf '%s\\n' "$*" >>${join(bin, name)}.calls\n${body}\n`);
  chmodSync(join(bin, name), 0o755);
}

function calls(name: string): string[] {
  const file = join(bin, `${name}.calls`);
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
}

/** sbatch that takes a job and keeps its script: the first is 71, the next 72. */
function takingSbatch(): void {
  program('sbatch', `n=$(wc -l <"$0.calls"); cp "\${!#}" "${bin}/script-$n"; echo "7$n"`);
}

const USUAL_PATH = process.env.PATH;
const PATH = `${bin}:${USUAL_PATH}`;
/** In this process, which finds the programs above before any others. */
async function submit(words: readonly string[], job: readonly string[] = MERGE, path = PATH): Promise<CliResult> {
  process.env.PATH = path;
  try {
    return await runHere(['submit', ...words, '--', ...job], cwd);
  } finally {
    process.env.PATH = USUAL_PATH;
  }
}

describe('what is submitted to Slurm', () => {
  it('is a script that runs this installation on each node, and where to look is said', async () => {
    takingSbatch();
    const { code, stdout, stderr } = await submit([
      'slurm',
      '--nodes',
      '8',
      '--time',
      '2:00:00',
      '--partition',
      'cpu',
      '--account',
      'x',
      '--sbatch=--qos=high',
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('planned: 3.07 kB to read, 1.43 kB to write\n') });
    expect(stdout).toMatch(/^job 71: 8 nodes\n/);
    expect(stdout).toContain(`log    ${cwd}/merge-merged-71.log\n`);
    expect(stdout).toContain('squeue -j 71\n');
    expect(stdout).toContain('scancel 71 ');
    expect(stdout).toContain(
      'merge submit slurm --nodes 8 --time 2:00:00 --partition cpu --account x --sbatch=--qos=high -- average run -o merged\n',
    );
    const script = readFileSync(join(bin, 'script-1'), 'utf8');
    const options = [...script.matchAll(/^#SBATCH (.*)$/gm)].map(([, option]) => option);
    expect(options).toEqual([
      '--job-name=merge-merged',
      '--nodes=8',
      '--ntasks-per-node=1',
      '--time=2:00:00',
      '--partition=cpu',
      '--account=x',
      `--chdir=${cwd}`,
      `--output=${cwd}/merge-merged-%j.log`,
      '--open-mode=append',
      '--requeue',
      '--no-kill',
      '--signal=TERM@60',
      '--exclusive',
      '--mem=0',
      '--qos=high',
    ]);
    // What SBATCH_PARTITION and the like would change stands on the command line as well.
    expect(calls('sbatch')[0]).toMatch(/^--parsable --job-name=merge-merged --nodes=8 .*--partition=cpu --account=x /);
    expect(script).toContain(`merge=(${process.execPath} ${BIN} average run -o merged --resume)\n`);
    expect(existsSync(calls('sbatch')[0]!.split(' ').at(-1)!)).toBe(false);
  });

  it('has a document', async () => {
    takingSbatch();
    const { stdout } = await submit(['slurm', '--json', '--then', 'score'], ['run', 'recipe.yaml']);
    expect(JSON.parse(stdout)).toMatchObject({
      schema: 'ckpt-merge/submit',
      scheduler: 'slurm',
      job: '71',
      cluster: null,
      nodes: 1,
      log: `${cwd}/merge-recipe-71.log`,
      outputs: [join(cwd, 'one'), join(cwd, "the other's $HOME")],
      after: { job: '72', tasks: 2 },
      look: 'squeue -j 71,72',
      cancel: 'scancel 71',
    });
  });

  it('of another cluster is looked for there', async () => {
    program('sbatch', 'echo a site says good morning; echo "71;far"');
    const { stdout } = await submit(['slurm', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ job: '71', cluster: 'far', look: 'squeue -M far -j 71', cancel: 'scancel -M far 71' });
    expect((await submit(['slurm', '-q'])).stdout).toBe('71\n');
  });

  it('needs no Slurm to be printed, and is then not submitted', async () => {
    takingSbatch();
    const { code, stdout, stderr } = await submit(['slurm', '--print', '--cpus', '16']);
    expect(code).toBe(0);
    expect(stderr).toContain('submit it with: sbatch FILE\n');
    expect(stdout).toMatch(/^#!\/usr\/bin\/env bash\n#SBATCH /);
    expect(stdout).toContain('#SBATCH --cpus-per-task=16\n');
    expect(stdout).toMatch(/^step=\(.*--cpus-per-task=16 /m);
    expect(stdout).not.toContain('--exclusive');
    expect(calls('sbatch')).toEqual([]);
  });

  it('is refused where Slurm would take the name of the folder for something else', async () => {
    takingSbatch();
    const odd = join(cwd, 'back\\slash');
    mkdirSync(odd);
    process.env.PATH = PATH;
    const { code, stderr } = await runHere(['submit', 'slurm', '--', 'average', '../run', '-o', 'x'], odd).finally(() => {
      process.env.PATH = USUAL_PATH;
    });
    expect(code).toBe(2);
    expect(stderr).toContain('cannot write a log into this folder');
    expect(calls('sbatch')).toEqual([]);
  });

  it('is planned first, so that what forbids the merge is an error here', async () => {
    takingSbatch();
    expect(await submit(['slurm'], ['average', 'nowhere', '-o', 'x'])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('nowhere'),
    });
    mkdirSync(join(cwd, 'other'), { recursive: true });
    writeFileSync(join(cwd, 'other', 'notes.txt'), 'kept');
    expect((await submit(['slurm'], ['average', 'run', '-o', 'other'])).code).toBe(4);
    expect(await submit(['slurm'], ['verify', 'nowhere', '--full'])).toMatchObject({ code: 3 });
    expect((await submit(['slurm'], ['convert', 'run/nowhere', '-o', 'x'])).code).toBe(3);
    expect(calls('sbatch')).toEqual([]);
    expect((await submit(['slurm', '-q'], ['convert', 'run/checkpoint-100', '-o', 'converted'])).stdout).toBe('71\n');
    expect(readFileSync(join(bin, 'script-1'), 'utf8')).toContain('convert run/checkpoint-100 -o converted --resume)');
    rmSync(join(bin, 'sbatch.calls'));
    expect(await submit(['slurm', '--no-check'], ['average', 'nowhere', '-o', 'x'])).toMatchObject({ code: 0, stderr: '' });
    expect(calls('sbatch')).toHaveLength(1);
  });
});

describe('what comes after a merge', () => {
  it('waits for it, as a task for each output, which is one word whatever its name', async () => {
    takingSbatch();
    const { code, stdout } = await submit(
      ['slurm', '--then', 'printf "<%s>" {model}', '--then-sbatch=--gres=gpu:1'],
      ['run', 'recipe.yaml'],
    );
    expect(code).toBe(0);
    expect(stdout).toContain('job 72, an array of 2, when the merge is there');
    expect(calls('sbatch')[1]).toContain('--dependency=afterok:71');
    const script = readFileSync(join(bin, 'script-2'), 'utf8');
    expect(script).toContain('#SBATCH --array=0-1\n');
    expect(script).toMatch(/#SBATCH --kill-on-invalid-dep=yes\n#SBATCH --gres=gpu:1\n/);
    expect(task(script, '0')).toBe(`<${cwd}/one>`);
    expect(task(script, '1')).toBe(`<${cwd}/the other's $HOME>`);
  });

  it('of one output is no array, and gets the output where its command does not name it', async () => {
    takingSbatch();
    await submit(['slurm', '--then', "echo it's \"$MERGE_MODEL\"'!'"].map((word) => word.replace("it's", 'its')));
    expect(readFileSync(join(bin, 'script-2'), 'utf8')).not.toContain('--array');
    expect(task(readFileSync(join(bin, 'script-2'), 'utf8'), undefined)).toBe(`its ${cwd}/merged!\n`);
    rmSync(join(bin, 'sbatch.calls'));
    await submit(['slurm', '--then', 'echo']);
    expect(task(readFileSync(join(bin, 'script-2'), 'utf8'), undefined)).toBe(`${cwd}/merged\n`);
  });

  it('that cannot be submitted says which job the merge is', async () => {
    program('sbatch', '[ "$(wc -l <"$0.calls")" = 1 ] && { echo 71; exit; }; echo "sbatch: error: invalid partition" >&2; exit 1');
    const { code, stderr, stdout } = await submit(['slurm', '--json', '--then', 'echo']);
    expect(code).toBe(1);
    expect(stderr).toContain('the merge is job 71, and what comes after it is not submitted');
    expect(stderr).toContain('scancel 71');
    expect(JSON.parse(stdout)).toMatchObject({ code: 'E_SCHEDULER', details: { job: '71' } });
  });

  it('is an array over the windows of a run, too', async () => {
    takingSbatch();
    const { code } = await submit(['slurm', '--then', 'echo'], ['average', 'run', '--sliding', '--last', '2', '-o', 'windows/m-{step}']);
    expect(code).toBe(0);
    expect([0, 1].map((index) => task(readFileSync(join(bin, 'script-2'), 'utf8'), `${index}`))).toEqual([
      `${cwd}/windows/m-200\n`,
      `${cwd}/windows/m-300\n`,
    ]);
    expect((await submit(['slurm', '--no-check', '--then', 'echo'], ['average', 'run', '--sliding', '-o', 'm-{step}'])).code).toBe(2);
  });

  it('is submitted with the merge by the script that is printed, whatever its lines are', async () => {
    takingSbatch();
    const { stdout } = await submit(
      ['slurm', '--print', '--then', 'cat <<SCRIPT >/dev/null\nSCRIPT\necho "$MERGE_MODEL"'],
      ['run', 'recipe.yaml'],
    );
    program('sbatch', 'cat >"$0.$(wc -l <"$0.calls")"; echo "81;far"');
    const { status } = spawnSync('bash', { input: stdout, env: { ...process.env, PATH } });
    expect(status).toBe(0);
    expect(calls('sbatch')).toEqual(['--parsable', '--parsable --dependency=afterok:81']);
    expect(readFileSync(join(bin, 'sbatch.1'), 'utf8')).toContain('run recipe.yaml --resume');
    expect(task(readFileSync(join(bin, 'sbatch.2'), 'utf8'), '0')).toBe(`${cwd}/one\n`);
  });
});

describe('the script of a merge', () => {
  /** Runs it where srun ends so one time after the other. */
  async function ended(codes: readonly number[], { left = '1:00:00', env = {} as Record<string, string>, words = [] as string[] } = {}) {
    const { stdout } = await submit(['slurm', '--print', ...words]);
    program('srun', `codes=(${codes.join(' ')}); exit "\${codes[$(wc -l <"$0.calls") - 1]}"`);
    for (const name of ['sleep', 'scontrol']) program(name, 'true');
    program('squeue', `echo ${left}`);
    const { status } = spawnSync('bash', { input: stdout, env: { ...process.env, PATH, SLURM_JOB_ID: '71', RANK: '3', ...env } });
    return { status, starts: calls('srun').length, requeued: calls('scontrol') };
  }

  it('starts a process on each node, whatever launcher it was submitted by', async () => {
    const { status } = await ended([0], { words: ['--nodes', '4'] });
    expect(status).toBe(0);
    expect(calls('srun')[0]).toMatch(
      /^--nodes=4 --ntasks=4 --ntasks-per-node=1 .*--kill-on-bad-exit=0 --wait=0 .*average run -o merged --resume$/,
    );
    program('srun', 'printenv RANK WORLD_SIZE MERGE_RANK >"$0.rank"');
    const { stdout } = await submit(['slurm', '--print']);
    spawnSync('bash', { input: stdout, env: { ...process.env, PATH, RANK: '3', WORLD_SIZE: '8', MERGE_RANK: '1' } });
    expect(readFileSync(join(bin, 'srun.rank'), 'utf8')).toBe('');
  });

  it('starts them again where one was killed or something was away for a moment, three times at most', async () => {
    expect(await ended([137, 0])).toMatchObject({ status: 0, starts: 2 });
    rmSync(bin, { recursive: true });
    mkdirSync(bin);
    expect(await ended([75, 75, 75, 0])).toMatchObject({ status: 75, starts: 3, requeued: [] });
  });

  it.each([2, 3, 4, 5, 6, 143])('does not try again what ends with %i', async (code) => {
    expect(await ended([code, 0])).toEqual({ status: code, starts: 1, requeued: [] });
  });

  it('queues anew when its time is over, as often as was asked for', async () => {
    expect(await ended([143], { left: '0:42' })).toEqual({ status: 143, starts: 1, requeued: ['requeue 71'] });
    rmSync(bin, { recursive: true });
    mkdirSync(bin);
    expect(await ended([143], { left: '0:42', env: { SLURM_RESTART_COUNT: '3' } })).toMatchObject({ status: 143, requeued: [] });
    expect(await ended([143], { left: '0:42', words: ['--restarts', '0'] })).toMatchObject({ requeued: [] });
  });
});

describe('sbatch', () => {
  it('that is not there is an error that says what to do', async () => {
    const { code, stderr } = await submit(['slurm'], MERGE, '/nowhere');
    expect(code).toBe(1);
    expect(stderr).toMatch(/error\[E_SCHEDULER\]: sbatch cannot be started here: .*ENOENT/);
    expect(stderr).toContain('--print');
  });

  it.each([
    [
      'refuses',
      'echo "sbatch: error: Batch job submission failed: Invalid account" >&2; exit 1',
      1,
      /E_SCHEDULER.*exit code 1\n.*Invalid account/,
    ],
    ['prints no id', 'echo queued', 1, /E_SCHEDULER.*names no job: it printed 'queued'/],
    ['prints nothing', 'true', 1, /E_SCHEDULER.*names no job: it printed nothing/],
    ['cannot reach its controller', 'echo "error: Unable to contact slurm controller (connect failure)" >&2; exit 1', 75, /E_TEMPORARY/],
    ['does not know whether', 'echo "error: Socket timed out on send/recv operation" >&2; exit 1', 75, /may have taken the job/],
  ])('that %s is an error', async (_, body, exit, message) => {
    program('sbatch', body);
    const { code, stdout, stderr } = await submit(['slurm', '-q']);
    expect({ code, stdout }).toEqual({ code: exit, stdout: '' });
    expect(stderr).toMatch(message);
  });
});

it('a signal while sbatch is at work does not say that nothing was left behind', async () => {
  program('sbatch', 'touch "$0.started"; sleep 60 & wait');
  const env = { ...process.env, PATH };
  const child = spawn(process.execPath, [BIN, 'submit', 'slurm', '--', ...MERGE], { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = once(child, 'close');
  while (!existsSync(join(bin, 'sbatch.started'))) await sleep(20);
  child.kill('SIGTERM');
  expect(await ended).toEqual([143, null]);
  expect(said).toContain('ended by SIGTERM; Slurm may have taken the job all the same: see with `squeue --me`');
});

describe('a Job of Kubernetes', () => {
  const K8S = ['k8s', '--print', '--image', 'registry/merge:1', '--pvc', 'checkpoints:/data/'];

  it('is an Indexed Job whose pods are told how many they are', async () => {
    const { code, stdout, stderr } = await submit(
      [...K8S, '--nodes', '8', '--cpus', '4'],
      ['average', 'runs/a', '--last', '10', '-o', 'out/Merged_1'],
    );
    expect(code).toBe(0);
    expect(stderr).toContain('kubectl apply -f FILE');
    const [job, ...others] = parseAllDocuments(stdout).map((document) => document.toJS());
    expect(others).toEqual([]);
    expect(job).toMatchObject({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'merge-merged-1' } });
    const { template, ...spec } = job.spec;
    expect(spec).toEqual({
      completionMode: 'Indexed',
      completions: 8,
      parallelism: 8,
      backoffLimitPerIndex: 3,
      maxFailedIndexes: 7,
      podFailurePolicy: {
        rules: [
          { action: 'FailJob', onExitCodes: { containerName: 'merge', operator: 'In', values: [2, 3, 4, 5, 6] } },
          { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        ],
      },
    });
    expect(template.spec).toMatchObject({
      restartPolicy: 'Never',
      volumes: [{ name: 'volume-0', persistentVolumeClaim: { claimName: 'checkpoints' } }],
    });
    expect(template.spec.containers).toEqual([
      {
        name: 'merge',
        image: 'registry/merge:1',
        command: ['ckpt-merge', 'average', 'runs/a', '--last', '10', '-o', 'out/Merged_1', '--resume'],
        env: [
          { name: 'MERGE_WORLD_SIZE', value: '8' },
          { name: 'MERGE_LAUNCH', valueFrom: { fieldRef: { fieldPath: "metadata.labels['batch.kubernetes.io/controller-uid']" } } },
        ],
        resources: { requests: { cpu: '4', memory: '2Gi' }, limits: { cpu: '4' } },
        workingDir: '/data',
        volumeMounts: [{ name: 'volume-0', mountPath: '/data' }],
      },
    ]);
  });

  it('has words that Kubernetes would expand as they are', async () => {
    const { stdout } = await submit(K8S, ['average', 'run', '-o', 'out/$(HOME)$$x', '--policy', 'name=a$(B):use=newest']);
    const [job] = parseAllDocuments(stdout).map((document) => document.toJS());
    expect(job.spec.template.spec.containers[0].command.map(expanded)).toEqual([
      'ckpt-merge',
      'average',
      'run',
      '-o',
      'out/$(HOME)$$x',
      '--policy',
      'name=a$(B):use=newest',
      '--resume',
    ]);
  });

  it('is followed by one that somebody has to let begin, which is said', async () => {
    const { stdout, stderr } = await submit([...K8S, '--then', 'score {model}', '--then-image', 'eval:2'], ['run', 'recipe.yaml']);
    expect(stderr).toMatch(/then {3}kubectl wait .* job\/merge-recipe && kubectl patch job\/merge-recipe-then /);
    const then = parseAllDocuments(stdout)[1]!.toJS();
    expect(then).toMatchObject({
      metadata: { name: 'merge-recipe-then' },
      spec: { suspend: true, completionMode: 'Indexed', completions: 2 },
    });
    const { image, command } = then.spec.template.spec.containers[0];
    expect(image).toBe('eval:2');
    program('score', 'printf "<%s>" "$1"');
    const [sh, ...args] = command.map(expanded) as [string, ...string[]];
    const { stdout: scored } = spawnSync(sh, args, { encoding: 'utf8', env: { ...process.env, PATH, JOB_COMPLETION_INDEX: '1' } });
    expect(scored).toBe("<the other's $HOME>");
  });

  it.each([
    ['is not printed', ['k8s', '--image', 'i', '--pvc', 'a:/data'], MERGE, /--print is missing/],
    ['has no image', ['k8s', '--print', '--pvc', 'a:/data'], MERGE, /no image/],
    ['has no volume', ['k8s', '--print', '--image', 'i'], MERGE, /no volume/],
    ['has a volume without a folder', ['k8s', '--print', '--image', 'i', '--pvc', 'a'], MERGE, /--pvc takes/],
    ['has a volume with a name that is none', ['k8s', '--print', '--image', 'i', '--pvc', 'A_b:/data'], MERGE, /--pvc takes/],
    ['mounts two volumes at one place', ['k8s', '--print', '--image', 'i', '--pvc', 'a:/data', 'b:/data/'], MERGE, /two volumes at \/data/],
    ['has a name that is none', [...K8S, '--name', 'No_Good'], MERGE, /--name takes/],
    ['writes outside its volumes', K8S, ['average', 'run', '-o', '/tmp/merged'], /\/tmp\/merged lies in none of the volumes/],
    ['writes above its volume', K8S, ['average', 'run', '-o', '../merged'], /lies in none of the volumes/],
    [
      'has outputs that nobody knows yet',
      [...K8S, '--then', 'score'],
      ['average', 'run', '--sliding', '--last', '2', '-o', 'm-{step}'],
      /--then needs the paths/,
    ],
    ['has options of Slurm', [...K8S, '--time', '10', '--no-check'], MERGE, /--time, --no-check are options of `submit slurm`/],
  ])('that %s is refused', async (_, words, job, message) => {
    const { code, stdout, stderr } = await submit(words, job);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });
});

it('docs/clusters.md shows commands that are read', async () => {
  const page = readFileSync(new URL('../../docs/clusters.md', import.meta.url), 'utf8')
    .replaceAll('\\\n', '')
    .replace(/`[^`\n]+\n[^`]+`/g, (code) => code.replace('\n', ' '));
  const shown = [...page.matchAll(/\bmerge ((?:submit|average|run|verify|convert) [^`\n|]*)/g)].map(([, words]) => words!);
  expect(shown.length).toBeGreaterThan(8);
  for (const text of shown) {
    const { stdout } = spawnSync('sh', ['-c', `printf '%s\\0' ${text}`], { encoding: 'utf8' });
    const words = stdout.split('\0').slice(0, -1);
    const read: string[] = [];
    await buildProgram('', 'merge', async (command) => void read.push(command)).parseAsync(words, { from: 'user' });
    expect(read, text).toEqual([words[0]]);
    if (words[0] === 'submit') await readSubmitted(words.slice(words.indexOf('--') + 1), 'merge');
  }
});

describe('a command line that is no job', () => {
  it.each([
    ['no --', ['submit', 'slurm', 'average', 'run', '-o', 'x'], /behind --/],
    ['no -- and no options', ['submit', 'slurm', 'average', 'run'], /behind --/],
    ['no command', ['submit', 'slurm', '--'], /missing required argument 'command'/],
    ['an unknown scheduler', ['submit', 'pbs', '--', ...MERGE], /slurm, k8s/],
    ['an option that there is none of', ['submit', 'slurm', '--', ...MERGE, '--frob'], /the command to submit: unknown option '--frob'/],
    ['a value that an option does not take', ['submit', 'slurm', '--', ...MERGE, '--last', '0'], /--last takes/],
    ['weights that are none', ['submit', 'slurm', '--', ...MERGE, '--weights', '1,x'], /'x' is not a finite number/],
    ['no output', ['submit', 'slurm', '--', 'average', 'run'], /no output/],
    ['an unknown command', ['submit', 'slurm', '--', 'frob'], /unknown command 'frob'/],
    ['help', ['submit', 'slurm', '--', 'average', '--help'], /only prints its help/],
    ['a search', ['submit', 'slurm', '--', 'search', 'run', '--eval', 'x', '-o', 'y'], /search is one process/],
    ['a watch', ['submit', 'slurm', '--', 'watch', 'run', '-o', 'y'], /watch is one process/],
    ['what needs no cluster', ['submit', 'slurm', '--', 'ls', 'run'], /ls needs no scheduler/],
    ['a job in a job', ['submit', 'slurm', '--', 'submit', 'slurm', '--', ...MERGE], /submit needs no scheduler/],
    ['a plan', ['submit', 'slurm', '--', ...MERGE, '--dry-run'], /--dry-run needs no scheduler/],
    ['a sample', ['submit', 'slurm', '--', 'verify', 'run/checkpoint-100'], /verify without --full/],
    ['a rank', ['submit', 'slurm', '--', ...MERGE, '--ranks', '0/8'], /--ranks is for the job to say/],
    [
      'two conversions',
      ['submit', 'slurm', '--', 'convert', 'run/checkpoint-100', 'run/checkpoint-200', '-o', 'x'],
      /one checkpoint is converted/,
    ],
    ['two modes', ['submit', 'slurm', '--', ...MERGE, '--json', '-q'], /cannot be used together/],
    ['a recipe that is none', ['submit', 'slurm', '--', 'run', 'run/checkpoint-100/config.json'], /E_RECIPE/],
    ['no nodes', ['submit', 'slurm', '--nodes', '0', '--', ...MERGE], /--nodes takes/],
    ['a time that is none', ['submit', 'slurm', '--time', '2h', '--', ...MERGE], /--time takes.*\n.*2:00:00/],
    ['no time at all', ['submit', 'slurm', '--time', '0:00', '--', ...MERGE], /--time takes/],
    ['a partition of two lines', ['submit', 'slurm', '--partition', 'a\n#SBATCH --x', '--', ...MERGE], /--partition takes one line/],
    ['what is no option of sbatch', ['submit', 'slurm', '--sbatch', 'high', '--', ...MERGE], /--sbatch takes options of sbatch/],
    [
      'an option of sbatch that has one here',
      ['submit', 'slurm', '--sbatch', '--qos=a --time=1', '--', ...MERGE],
      /--time of sbatch.*\n.*Use --time/,
    ],
    ['one that would break the script', ['submit', 'slurm', '--sbatch', '-n4', '--', ...MERGE], /-n of sbatch is for this program/],
    ['options of Kubernetes', ['submit', 'slurm', '--image', 'x', '--', ...MERGE], /--image is an option of `submit k8s`/],
    ['options of nothing', ['submit', 'slurm', '--then-sbatch=--qos=x', '--', ...MERGE], /--then-sbatch is about the job of --then/],
    ['an empty command after it', ['submit', 'slurm', '--then', ' ', '--', ...MERGE], /--then is empty/],
    ['a placeholder that is none', ['submit', 'slurm', '--then', 'eval {modle}', '--', ...MERGE], /Did you mean \{model\}/],
    [
      'a placeholder that would be read again',
      ['submit', 'slurm', '--then', "ssh host 'eval {model}'", '--', ...MERGE],
      /E_OPTION.*\{model\}/,
    ],
    ['--print with -q', ['submit', 'slurm', '--print', '-q', '--', ...MERGE], /cannot be used together/],
  ])('%s is refused', async (_, words, message) => {
    const { code, stdout, stderr } = await runHere(words, cwd);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });
});

/** What a task of an array prints. */
function task(script: string, index: string | undefined): string {
  const env = { ...process.env, ...(index === undefined ? {} : { SLURM_ARRAY_TASK_ID: index }) };
  return spawnSync('bash', { input: script, encoding: 'utf8', env }).stdout;
}

/** A word of a container's command as Kubernetes hands it on where it knows none of the variables in it. */
function expanded(word: string): string {
  return word.replace(/\$\$|\$\(\w+\)/g, (found) => (found === '$$' ? '$' : `VARIABLE:${found}`));
}
