import { stringify } from 'yaml';
import { EXIT } from '../../base/errors.ts';
import type { MountedClaim } from '../options/submit-options.ts';

/** A merge as a Job of Kubernetes. */
export interface IndexedJob {
  /** A DNS label. */
  readonly name: string;
  readonly nodes: number;
  /** CPUs of a pod; null: what its machine has. */
  readonly cpus: number | null;
  readonly image: string;
  /** At least one; the first is the working folder. */
  readonly claims: readonly MountedClaim[];
  /** The command line after the program's name. */
  readonly words: readonly string[];
  /** The command that made it, for people. */
  readonly madeBy: string;
}

/** What comes after a merge: a Job that is suspended until somebody lets it begin. */
export interface SuspendedJob {
  readonly name: string;
  readonly image: string;
  /** Text for `sh -c`, which finds its output in MERGE_MODEL. */
  readonly command: string;
  /** A pod of it for each, as the container finds them. */
  readonly outputs: readonly string[];
}

/** Name of the program in the image: the RCS tools have a `merge`, too. */
const PROGRAM = 'ckpt-merge';
/** Kept free for headers of checkpoints and what a merge holds of them (docs/performance.md). */
const MEMORY = '2Gi';
/** Seconds to hand a unit over. */
const GRACE = 60;
/** How often a pod is started anew; what ended others counts apart. */
const RETRIES = 3;
/** Where trying again does not help. */
const PERMANENT = [EXIT.usage, EXIT.input, EXIT.exists, EXIT.mismatch, EXIT.space];

/** The manifest, and that of what comes after it. */
export function manifest(job: IndexedJob, then: SuspendedJob | null): string {
  const heading = `# Made by: ${job.madeBy.replaceAll('\n', ' ')}\n`;
  const documents = [heading + yaml(mergeJob(job))];
  if (then !== null) {
    documents.push(
      `# Kubernetes starts no Job after another. When the merge is there, let this one begin:\n#   ${startCommand(job.name, then.name)}\n${yaml(thenJob(then, job.claims))}`,
    );
  }
  return documents.join('---\n');
}

/** Waits for a merge and lets what comes after it begin. */
export function startCommand(job: string, then: string): string {
  return `kubectl wait --for=condition=complete --timeout=-1s job/${job} && kubectl patch job/${then} -p '{"spec":{"suspend":false}}'`;
}

function yaml(document: object): string {
  // kubectl reads YAML 1.1, in which `no` and `on` are truth values, and repeats are for people to read.
  return stringify(document, { lineWidth: 0, version: '1.1', aliasDuplicateObjects: false });
}

function mergeJob({ name, nodes, cpus, image, claims, words }: IndexedJob): object {
  const labels = { 'app.kubernetes.io/name': 'ckpt-merge', 'app.kubernetes.io/instance': name };
  // A machine's file system is as fast as its network card: one pod on each, where there are enough.
  const spread = [
    { maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway', labelSelector: { matchLabels: labels } },
  ];
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, labels },
    spec: {
      completionMode: 'Indexed',
      completions: nodes,
      parallelism: nodes,
      backoffLimitPerIndex: RETRIES,
      // The others make the merge as long as one is left.
      maxFailedIndexes: nodes - 1,
      podFailurePolicy: {
        rules: [
          { action: 'FailJob', onExitCodes: { containerName: 'merge', operator: 'In', values: PERMANENT } },
          { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        ],
      },
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: 'Never',
          terminationGracePeriodSeconds: GRACE,
          ...(nodes > 1 ? { topologySpreadConstraints: spread } : {}),
          containers: [
            {
              name: 'merge',
              image,
              command: [PROGRAM, ...words].map(unexpanded),
              // Kubernetes says to a pod which it is, and not of how many; which Job it is of, in a label.
              env: [
                { name: 'MERGE_WORLD_SIZE', value: String(nodes) },
                { name: 'MERGE_LAUNCH', valueFrom: { fieldRef: { fieldPath: "metadata.labels['batch.kubernetes.io/controller-uid']" } } },
              ],
              resources: resources(cpus),
              ...mounts(claims),
            },
          ],
          volumes: volumes(claims),
        },
      },
    },
  };
}

function thenJob({ name, image, command, outputs }: SuspendedJob, claims: readonly MountedClaim[]): object {
  const several = outputs.length > 1;
  const choose = several ? 'shift "$JOB_COMPLETION_INDEX"; ' : '';
  const script = `command=$1; shift; ${choose}export MERGE_MODEL="$1"; exec sh -c "$command"`;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, labels: { 'app.kubernetes.io/instance': name } },
    spec: {
      suspend: true,
      ...(several ? { completionMode: 'Indexed', completions: outputs.length, parallelism: outputs.length } : {}),
      template: {
        spec: {
          restartPolicy: 'Never',
          containers: [
            { name: 'then', image, command: ['sh', '-c', script, 'sh', command, ...outputs].map(unexpanded), ...mounts(claims) },
          ],
          volumes: volumes(claims),
        },
      },
    },
  };
}

/** A word as it is: Kubernetes puts variables of the container in the place of `$(NAME)`, and `$` in that of `$$`. */
function unexpanded(word: string): string {
  return word.replace(/\$(?=[($])/g, '$$$$');
}

function resources(cpus: number | null): object {
  if (cpus === null) return { requests: { memory: MEMORY } };
  return { requests: { cpu: String(cpus), memory: MEMORY }, limits: { cpu: String(cpus) } };
}

function mounts(claims: readonly MountedClaim[]): object {
  return {
    workingDir: claims[0]!.mount,
    volumeMounts: claims.map(({ mount }, i) => ({ name: `volume-${i}`, mountPath: mount })),
  };
}

function volumes(claims: readonly MountedClaim[]): object {
  return claims.map(({ claim }, i) => ({ name: `volume-${i}`, persistentVolumeClaim: { claimName: claim } }));
}
