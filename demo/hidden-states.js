// What goes into the routers of a model of demo/runs/moe, for `merge routers --hidden`. For other models
// there is docs/scripts/capture_hidden.py. Needs the package built, not Python.
//
//   node demo/hidden-states.js MODEL OUT.safetensors [BYTES]      BYTES of the held-out text, from its start (default 16384)
import { readFile } from 'node:fs/promises';
import { demoHiddenStates } from '../dist/cli/demo/hidden-states.js';
import { writeSafetensors } from '../dist/checkpoints/containers/safetensors/write-file.js';

const [model, out, bytes = '16384'] = process.argv.slice(2);
if (out === undefined) {
  console.error('usage: node demo/hidden-states.js MODEL OUT.safetensors [BYTES]');
  process.exit(2);
}
const text = await readFile(new URL('held-out/validation.txt', import.meta.url));
const tensors = await demoHiddenStates(model, text.subarray(0, Number(bytes)));
await writeSafetensors(out, tensors, { metadata: { model } });
console.log(`${tensors.length} routers, ${tensors[0].shape[0]} tokens: ${out}`);
