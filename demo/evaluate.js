// Held-out loss of one checkpoint of the demo runs, or of a merge of them, as an evaluator for `--eval`: prints one line of JSON with the mean loss in nats
// per byte, its standard error, and the loss of each block of 4 KB, by which two models can be compared block by block. The mean is over whole blocks, so that it is
// that of the items. Needs the package built, not Python.
//
//   node demo/evaluate.js MODEL [BYTES]      BYTES: use about so many of the text, spread over it (default: all 128,611)
import { readFile } from 'node:fs/promises';
import { heldOutLoss } from '../dist/demo/held-out-loss.js';

const [model, bytes] = process.argv.slice(2);
if (model === undefined) {
  console.error('usage: node demo/evaluate.js MODEL [BYTES]');
  process.exit(2);
}
const text = await readFile(new URL('held-out/validation.txt', import.meta.url));
const { loss, blockLosses } = await heldOutLoss(model, text, {
  windowsPerBlock: 32,
  ...(bytes === undefined ? {} : { maxBytes: Number(bytes) }),
});
const mean = blockLosses.reduce((sum, block) => sum + block, 0) / blockLosses.length;
const variance = blockLosses.reduce((sum, block) => sum + (block - mean) ** 2, 0) / (blockLosses.length - 1);
const stderr = Math.sqrt(variance / blockLosses.length);
console.log(JSON.stringify({ score: blockLosses.length > 0 ? mean : loss, ...(Number.isFinite(stderr) ? { stderr } : {}), items: blockLosses }));
