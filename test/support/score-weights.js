// An evaluator for tests: the checkpoints of `weightedRun` hold unit vectors, so that a merge holds its own
// weights. Prints 1 - |w - target|^2 with the target from argv.
//
//   node score-weights.js MODEL TARGET[,TARGET...] [--json EXTRA]
import { appendFileSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const [model, targets] = process.argv.slice(2);
const file = statSync(model).isDirectory() ? join(model, 'model.safetensors') : model;
const bytes = readFileSync(file);
const headerBytes = Number(bytes.readBigUInt64LE(0));
const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString('utf8'));
const { data_offsets: offsets } = header['model.norm.weight'];
const data = bytes.subarray(8 + headerBytes + offsets[0], 8 + headerBytes + offsets[1]);
const weights = Array.from({ length: data.length / 4 }, (_, i) => data.readFloatLE(4 * i));
const target = targets.split(',').map(Number);
// The target is of the newest members.
const distance = weights.reduce((sum, w, i) => sum + (w - (target[i - (weights.length - target.length)] ?? 0)) ** 2, 0);
if (process.env.SCORED_LOG) appendFileSync(process.env.SCORED_LOG, `${weights.map((w) => w.toFixed(4)).join(' ')}\n`);
console.log(1 - distance);
