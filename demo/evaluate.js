// Held-out loss of one checkpoint of the demo runs, or of a merge of them, as an evaluator for `--eval`:
// prints one line of JSON with the mean loss in nats per byte, its standard error, and the loss of each block
// of 4 KB, by which two models can be compared block by block. The mean is over whole blocks, so that it is
// that of the items. Needs the package built, not Python.
//
//   node demo/evaluate.js MODEL [BYTES] [SLICE]
//
//   BYTES: use so many of the text, spread over it, in whole blocks of 4,096 (default: all, 126,976)
//   SLICE: validation (default), or search: the slice to choose by, where the other one is to report
import { readFile } from 'node:fs/promises';
import { heldOutLoss, WINDOW_BYTES } from '../dist/cli/demo/held-out-loss.js';

const WINDOWS_PER_BLOCK = 32;
const BLOCK_BYTES = WINDOWS_PER_BLOCK * WINDOW_BYTES;

const [model, bytes, slice = 'validation'] = process.argv.slice(2);
if (model === undefined || !['search', 'validation'].includes(slice) || !(bytes === undefined || Number(bytes) >= BLOCK_BYTES)) {
  console.error(`usage: node demo/evaluate.js MODEL [BYTES, at least ${BLOCK_BYTES}] [search|validation]`);
  process.exit(2);
}
const text = await readFile(new URL(`held-out/${slice}.txt`, import.meta.url));
const blocks = Math.floor(Math.min(Number(bytes ?? text.length), text.length) / BLOCK_BYTES);
// Whole blocks, so that the loss is the mean of theirs.
const { loss, blockLosses } = await heldOutLoss(model, text, { windowsPerBlock: WINDOWS_PER_BLOCK, maxBytes: blocks * BLOCK_BYTES });
const variance = blockLosses.reduce((sum, block) => sum + (block - loss) ** 2, 0) / (blockLosses.length - 1);
const stderr = Math.sqrt(variance / blockLosses.length);
console.log(JSON.stringify({ score: loss, ...(Number.isFinite(stderr) ? { stderr } : {}), higher_is_better: false, items: blockLosses }));
