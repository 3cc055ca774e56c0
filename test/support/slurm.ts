import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { hostname, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** What Debian's packages slurmctld, slurmd, slurm-client and munge bring. */
const PROGRAMS = ['munged', 'slurmctld', 'slurmd', 'sbatch', 'srun', 'sinfo', 'squeue', 'scancel', 'scontrol'];
/** Where daemons lie that a user's PATH leaves out. */
const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
const START_MS = 30_000;
/** The longest that a job of a test takes: Slurm gives a machine up that says nothing for half a minute. */
const JOB_MS = 200_000;
const END_MS = 5_000;

/** Why there can be no Slurm here; null where there can. */
export function withoutSlurm(): string | null {
  if (process.platform !== 'linux') return `Slurm runs on Linux, and this is ${process.platform}`;
  const missing = PROGRAMS.filter((name) => !PATH.split(':').some((folder) => folder !== '' && existsSync(join(folder, name))));
  return missing.length === 0 ? null : `there is no ${missing.join(', ')}: apt-get install slurmctld slurmd slurm-client munge`;
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A cluster of several nodes on this machine, with all that it writes in a folder of its own. */
export interface Slurm {
  readonly folder: string;
  /** What its commands need in their environment, and a job's shell must not have of this process. */
  readonly env: Readonly<Record<string, string>>;
  run(program: string, args: readonly string[], options?: { readonly cwd?: string; readonly input?: string }): Promise<Ended>;
  start(program: string, args: readonly string[], cwd: string): ChildProcess;
  /** Waits until a job has ended, for minutes. @returns what `scontrol show job` says of it @throws Error with what Slurm knows of it */
  ended(job: string): Promise<string>;
  /** Ends all at once that runs on a node, as when a machine loses its power. */
  fail(node: string): void;
  /** Starts a node again that failed, and waits until it is idle. */
  repair(node: string): Promise<void>;
  /** Ends it, with all of its jobs. */
  stop(): Promise<void>;
}

/**
 * Starts munged, slurmctld and a slurmd for each node as this user, and waits until all nodes are idle.
 * @throws Error with the ends of their logs where they do not become idle
 */
export async function startSlurm({ nodes = 4, cpus = 2 } = {}): Promise<Slurm> {
  const folder = mkdtempSync(join(tmpdir(), 'merge-slurm-'));
  for (const name of ['state', 'spool', 'run']) mkdirSync(join(folder, name), { mode: 0o755 });
  mkdirSync(join(folder, 'log'), { mode: 0o700 });
  // The path of a socket has room for 108 bytes, and munged wants folders that others may enter.
  spawnSync('chmod', ['755', folder]);
  writeFileSync(join(folder, 'munge.key'), Buffer.from(Array.from({ length: 1024 }, () => Math.floor(Math.random() * 256))), {
    mode: 0o600,
  });
  writeFileSync(join(folder, 'slurm.conf'), configuration(folder, await freePorts(nodes + 1), nodes, cpus));
  const env = { SLURM_CONF: join(folder, 'slurm.conf'), PATH };
  const options = (cwd: string) => ({ cwd, env: { ...plain(process.env), ...env } });
  const run: Slurm['run'] = (program, args, { cwd = folder, input = '' } = {}) =>
    new Promise((resolve, reject) => {
      const child = spawn(program, args, options(cwd));
      const said = { stdout: '', stderr: '' };
      child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
      child.stdin.on('error', () => {}).end(input);
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, ...said }));
    });
  const stop = async (): Promise<void> => {
    await run('scancel', ['--user', userInfo().username]).catch(() => {});
    for (let waited = 0; waited < END_MS; waited += 100) {
      const { stdout } = await run('squeue', ['--noheader']).catch(() => ({ stdout: '' }));
      if (stdout.trim() === '') break;
      await sleep(100);
    }
    const daemons = [...Array.from({ length: nodes }, (_, i) => `slurmd.n${i + 1}`), 'slurmctld', 'munged'];
    await Promise.all(daemons.map((name) => endByFile(join(folder, 'run', `${name}.pid`))));
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };
  const daemon = async (program: string, args: readonly string[]): Promise<void> => {
    // They leave a process behind that keeps pipes open.
    const log = join(folder, 'log', 'start.log');
    const { code } = await run('sh', ['-c', '"$@" </dev/null >>"$0" 2>&1', log, program, ...args]);
    if (code !== 0) throw new Error(`${program} ended with ${code}: ${readFileSync(log, 'utf8')}`);
  };
  const idle = async (): Promise<void> => {
    for (let waited = 0; ; waited += 100) {
      const { stdout } = await run('sinfo', ['-h', '-N', '-o', '%t']);
      if (stdout.split('\n').filter((state) => state === 'idle').length === nodes) return;
      if (waited > START_MS) throw new Error(`not all nodes became idle: ${(await run('sinfo', ['-N', '-l'])).stdout}`);
      await sleep(100);
    }
  };
  try {
    const munge = [
      'key-file',
      'munge.key',
      'socket',
      'run/munge.sock',
      'pid-file',
      'run/munged.pid',
      'log-file',
      'log/munged.log',
      'seed-file',
      'run/munge.seed',
    ];
    await daemon('munged', ['--force', ...munge.flatMap((word, i) => (i % 2 === 0 ? [`--${word}=${join(folder, munge[i + 1]!)}`] : []))]);
    await daemon('slurmctld', ['-i']);
    for (let i = 1; i <= nodes; i++) {
      mkdirSync(join(folder, 'spool', `n${i}`));
      await daemon('slurmd', ['-N', `n${i}`]);
    }
    await idle();
  } catch (error) {
    await stop();
    throw error;
  }
  const ended = async (job: string): Promise<string> => {
    const until = performance.now() + JOB_MS;
    for (;;) {
      const { stdout } = await run('scontrol', ['show', 'job', job]);
      if (/JobState=(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY)/.test(stdout)) return stdout;
      if (performance.now() > until) {
        const [nodes, steps] = [await run('sinfo', ['-N', '-l']), await run('squeue', ['--steps'])];
        const said = readFileSync(join(folder, 'log', 'slurmctld.log'), 'utf8')
          .split('\n')
          .slice(-20);
        throw new Error([`job ${job} has not ended`, stdout, nodes.stdout, steps.stdout, ...said].join('\n'));
      }
      await sleep(200);
    }
  };
  const fail = (node: string): void => {
    const tasks = processes().filter(
      ({ variables }) => variables.has(`SLURM_CONF=${env.SLURM_CONF}`) && variables.has(`SLURMD_NODENAME=${node}`),
    );
    const ours = new Set([Number(readFileSync(join(folder, 'run', `slurmd.${node}.pid`), 'utf8')), ...tasks.map(({ pid }) => pid)]);
    // Each step has a daemon, which is the parent of its tasks.
    for (const { parent } of tasks) if (nameOf(parent) === 'slurmstepd') ours.add(parent);
    for (const pid of ours) process.kill(pid, 'SIGKILL');
  };
  const repair = async (node: string): Promise<void> => {
    await daemon('slurmd', ['-N', node]);
    await idle();
  };
  return {
    folder,
    env,
    fail,
    repair,
    run,
    start: (program, args, cwd) => spawn(program, args, { ...options(cwd), stdio: 'ignore' }),
    ended,
    stop,
  };
}

function configuration(folder: string, [controller, ...ports]: readonly number[], nodes: number, cpus: number): string {
  const [host, user] = [hostname().split('.')[0], userInfo().username];
  const each = Array.from(
    { length: nodes },
    (_, i) => `NodeName=n${i + 1} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${ports[i]} CPUs=${cpus} RealMemory=1000 State=UNKNOWN`,
  );
  // A credential is good for five seconds: a job that is queued again waits for it to be over.
  return `ClusterName=one
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${controller}
SlurmUser=${user}
SlurmdUser=${user}
AuthType=auth/munge
AuthInfo=socket=${folder}/run/munge.sock,cred_expire=5
SlurmctldPidFile=${folder}/run/slurmctld.pid
SlurmctldLogFile=${folder}/log/slurmctld.log
SlurmdPidFile=${folder}/run/slurmd.%n.pid
SlurmdLogFile=${folder}/log/slurmd.%n.log
SlurmdSpoolDir=${folder}/spool/%n
StateSaveLocation=${folder}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=6
SlurmctldTimeout=6
KillWait=5
JobRequeue=1
${each.join('\n')}
PartitionName=debug Nodes=n[1-${nodes}] Default=YES MaxTime=INFINITE State=UP
`;
}

/** The environment without what belongs to a job around this test, or changes what it prints. */
function plain(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^(SLURM_|SLURMD_|SBATCH_|MERGE_|PMI_|OMPI_|VITEST|NODE_OPTIONS|FORCE_COLOR|CI$)/.test(name)),
  );
}

/** This user's processes with their environments, as far as they can be seen. */
function processes(): { readonly pid: number; readonly parent: number; readonly variables: ReadonlySet<string> }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const parent = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${name}/status`, 'utf8'))![1]);
      return [{ pid: Number(name), parent, variables: new Set(readFileSync(`/proc/${name}/environ`, 'utf8').split('\0')) }];
    } catch {
      // It has ended meanwhile, or is somebody else's.
      return [];
    }
  });
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

/** Ports that nothing listens on now; they are asked for all at once, so that no two are one. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer();
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

/** Ends the process that a file names. */
async function endByFile(file: string): Promise<void> {
  const pid = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
  if (!(pid > 1)) return;
  const signal = (name: NodeJS.Signals | 0): boolean => {
    try {
      return process.kill(pid, name);
    } catch {
      return false;
    }
  };
  signal('SIGTERM');
  for (let waited = 0; waited < END_MS && signal(0); waited += 50) await sleep(50);
  signal('SIGKILL');
}
