import { join, relative } from 'node:path';
import { verify } from '../../analysis/verify/verify.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { systemTemporaryFolder } from '../../base/disk/temporary-folder.ts';
import { packageRoot } from '../../base/package-root.ts';
import { readWhole } from '../../base/store/store.ts';
import { average } from '../../merge/average.ts';
import { pairedDifference } from '../../search/conclusion/difference.ts';
import { heldOutLoss, MAX_DEMO_BYTES } from './held-out-loss.ts';

export interface DemoOptions {
  /** Where the merged checkpoint stays; a temporary folder that is removed when absent. */
  readonly output?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onLine: (line: string) => void;
}

/** Steps of the run in `demo/runs/dense` that the npm package carries. */
const STEPS = [5000, 5200, 5400, 5600, 5800, 6000];
/** Enough for a standard error of about 0.01 nats a byte between two checkpoints, and read in a second. */
const TEXT_BYTES = 16 * 1024;

/**
 * Merges the end of the real training run in `demo/`, measures the held-out loss of every member and of the
 * merge, and verifies the merge.
 *
 * @throws whatever `average` and `verify` throw
 */
export async function runDemo({ output, signal, onLine }: DemoOptions): Promise<void> {
  const demo = join(packageRoot, 'demo');
  const members = STEPS.map((step) => join(demo, 'runs', 'dense', `checkpoint-${step}`));
  const scratch = output === undefined ? await systemTemporaryFolder('ckpt-merge-demo-') : null;
  const merged = output ?? join(scratch!, 'merged');
  try {
    const shown = members.map((m) => relative('.', m)).map((m) => (m.startsWith('..') ? join('demo', relative(demo, m)) : m));
    onLine('A byte-level Llama of 155,072 parameters, trained on the King James Bible at a constant learning rate (demo/README.md).');
    onLine('');
    onLine(`$ merge average ${shown.join(' ')} -o merged`);
    const result = await average({ inputs: members, output: merged }, { signal });
    const { bytesRead, seconds, threads, isa, io } = result;
    const written = result.outputs[0]!.bytesWritten;
    onLine(
      `merged ${result.outputs[0]!.tensors} tensors of ${members.length} checkpoints: ${megabytes(bytesRead)} read, ${megabytes(written)} written in ` +
        `${seconds.toFixed(3)} s, ${megabytes((bytesRead + written) / seconds)}/s with fsync (${threads} threads, ${isa}, io ${io})`,
    );
    onLine('');

    const text = await readWhole(join(demo, 'held-out', 'validation.txt'), MAX_DEMO_BYTES);
    onLine(`held-out loss on ${TEXT_BYTES / 1024} KB of text that no checkpoint saw, in nats per byte (lower is better):`);
    onLine('   step    weight    loss');
    const loss = (path: string) => heldOutLoss(path, text, { maxBytes: TEXT_BYTES, ...(signal === undefined ? {} : { signal }) });
    let newest = await loss(members[0]!);
    for (const [i, { path, step, weight }] of result.outputs[0]!.members.entries()) {
      if (i > 0) newest = await loss(path);
      onLine(`${String(step).padStart(7)}  ${weight.toFixed(6)}  ${newest.loss.toFixed(4)}`);
    }
    const after = await loss(merged);
    const gain = pairedDifference(after.blockLosses, newest.blockLosses);
    onLine(` merged            ${after.loss.toFixed(4)}`);
    onLine('');
    onLine(
      `before (newest checkpoint) ${newest.loss.toFixed(4)}, after (merged) ${after.loss.toFixed(4)}: ` +
        `${gain.mean.toFixed(4)} ± ${gain.standardError.toFixed(4)} nats per byte better`,
    );

    const report = await verify(merged, { full: true, inputs: members, signal });
    onLine('');
    onLine(
      `verify agrees: ${report.files.length} file(s) match their CRC32C, and all ${report.recomputed.elements.toLocaleString('en')} elements recomputed ` +
        'one by one in TypeScript are bit-identical',
    );
    if (output !== undefined) onLine(`the merged checkpoint is in ${output}`);
  } finally {
    if (scratch !== null) await removeTree(SYSTEM, scratch);
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
