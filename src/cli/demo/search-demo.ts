import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { systemTemporaryFolder } from '../../base/disk/temporary-folder.ts';
import { packageRoot } from '../../base/package-root.ts';
import { readWhole } from '../../base/store/store.ts';
import { average } from '../../merge/average.ts';
import { pairedDifference } from '../../search/conclusion/difference.ts';
import { search } from '../../search/optimise/search.ts';
import type { SearchDocument } from '../../search/optimise/types.ts';
import type { SpaceRequest } from '../../search/space/request.ts';
import type { ScoreGiven } from '../../search/study/scorer.ts';
import type { StudyEvent } from '../../search/study/types.ts';
import { heldOutLoss, MAX_DEMO_BYTES } from './held-out-loss.ts';

export interface SearchDemoOptions {
  /**
   * Where the best merge stays, with the folder of the search beside it; a temporary folder that is removed
   * when absent.
   */
  readonly output?: string | undefined;
  readonly signal: AbortSignal;
  readonly onEvent: (event: StudyEvent) => void;
}

/** A model on the slice of text that the search never saw. */
export interface DemoScore {
  readonly name: string;
  readonly loss: number;
  /**
   * By how much the newest checkpoint's loss is higher, block by block, with its standard error; null for the
   * newest itself.
   */
  readonly gain: { readonly mean: number; readonly standardError: number } | null;
}

export interface SearchDemoResult {
  readonly document: SearchDocument;
  readonly scores: readonly DemoScore[];
}

/** Window × shape × α over the last ten checkpoints of the demo run. */
const DEMO_SPACE: SpaceRequest = {
  space: 'schedule',
  parameters: { window: { from: 2, to: 10 }, method: ['sma', 'wma', 'ema-normalized'], alpha: { from: 0.05, to: 0.5, log: true } },
};
const DEMO_TRIALS = 12;

/** Bytes of each slice: two or three seconds a model on the one, four on the other. */
const SEARCH_BYTES = 24 * 1024;
const VALIDATION_BYTES = 36 * 1024;
const WINDOWS_PER_BLOCK = 32;
const STEPS = Array.from({ length: 10 }, (_, i) => 4200 + 200 * i);

/**
 * Searches the schedule of a merge of the demo run by its held-out loss, and shows what came of it on a
 * second slice of text: beside the newest checkpoint, the mean of the last ten, and the same run annealed.
 * Needs neither Python nor a network.
 *
 * @throws whatever `search` throws
 */
export async function runSearchDemo({ output, signal, onEvent }: SearchDemoOptions): Promise<SearchDemoResult> {
  const runs = join(packageRoot, 'demo', 'runs');
  const scratch = output === undefined ? await systemTemporaryFolder('ckpt-merge-demo-') : null;
  const best = output ?? join(scratch!, 'best');
  try {
    const validate = await lossOn('validation', VALIDATION_BYTES);
    const inputs = STEPS.map((step) => join(runs, 'dense', `checkpoint-${step}`));
    const document = await search(
      {
        inputs,
        output: best,
        space: DEMO_SPACE,
        trials: DEMO_TRIALS,
        eval: await lossOn('search', SEARCH_BYTES),
        validate,
      },
      { signal, onEvent },
    );
    const newest = inputs.at(-1)!;
    const sma = `${best}.search/sma`;
    await average({ inputs, output: sma, force: true }, { signal });
    const annealed = join(runs, 'dense-annealed', `checkpoint-${STEPS.at(-1)}`);
    const scores: DemoScore[] = [];
    let first: ScoreGiven | undefined;
    for (const [name, model] of [
      ['newest checkpoint', newest],
      ['mean of the last ten', sma],
      ['best of the search', best],
      ['the same run, annealed', annealed],
    ] as const) {
      const score = await validate(model, { trial: 0, signal });
      first ??= score;
      scores.push({ name, loss: score.score, gain: first === score ? null : pairedDifference(score.items!, first.items!) });
    }
    return { document, scores };
  } finally {
    if (scratch !== null) await removeTree(SYSTEM, scratch);
  }
}

type LossFunction = (
  model: string,
  context: { readonly signal: AbortSignal; readonly trial: number },
) => Promise<ScoreGiven & { readonly items: readonly number[] }>;

/** Held-out loss on a slice of the demo's text, as `demo/evaluate.js` gives it. */
async function lossOn(slice: 'search' | 'validation', maxBytes: number): Promise<LossFunction> {
  const text = await readWhole(join(packageRoot, 'demo', 'held-out', `${slice}.txt`), MAX_DEMO_BYTES);
  const known = new Map<string, ScoreGiven & { readonly items: readonly number[] }>();
  const heldOut: LossFunction = async (model, { signal }) => {
    const weights = await weightsDigest(model);
    const before = known.get(weights);
    if (before !== undefined) return before;
    const { loss, blockLosses } = await heldOutLoss(model, text, { maxBytes, windowsPerBlock: WINDOWS_PER_BLOCK, signal });
    const found = { score: loss, items: blockLosses, higherIsBetter: false };
    known.set(weights, found);
    return found;
  };
  return Object.defineProperty(heldOut, 'name', { value: `held-out loss, ${slice} slice` });
}

/** Of the data alone: merges of one recipe differ in what their headers say of it. */
async function weightsDigest(model: string): Promise<string> {
  const bytes = await readWhole(join(model, 'model.safetensors'), MAX_DEMO_BYTES);
  return createHash('sha256')
    .update(bytes.subarray(8 + Number(bytes.readBigUInt64LE(0))))
    .digest('hex');
}
