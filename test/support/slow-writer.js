// A trainer as a watch meets it, in a process of its own. Reads orders from stdin, a JSON array a line with
// the run last, carries each out, then prints it.
//   ["shards", step]       two shards, index and state in place, in many small writes
//   ["rename", step]       the same under another name, then renamed
//   ["filled", step]       a file of its full size at once, filled afterwards
//   ["broken", step]       a file whose header is no header
//   ["infinite", step]     a whole checkpoint with an infinity in it
//   ["delete", step]
// Every tensor is float32 and holds the step (in a filled file -1 until its time comes).
import { appendFileSync, closeSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';

const [pause = '20'] = process.argv.slice(2);
let run = '';
const SIZE = 64;
const [FIRST, SECOND] = ['model.layers.0.input_layernorm.weight', 'model.norm.weight'];
const folder = (step) => join(run, `checkpoint-${step}`);

function header(name) {
  const json = JSON.stringify({ [name]: { dtype: 'F32', shape: [SIZE], data_offsets: [0, SIZE * 4] } });
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}

const data = (value) => Buffer.from(new Float32Array(SIZE).fill(value).buffer);

async function shards(path, step) {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'config.json'), '{"dtype":"float32"}\n');
  for (const [i, name] of [FIRST, SECOND].entries()) {
    const bytes = Buffer.concat([header(name), data(step)]);
    for (let at = 0; at < bytes.length; at += 100) {
      appendFileSync(join(path, `model-0000${i + 1}-of-00002.safetensors`), bytes.subarray(at, at + 100));
      await wait(Number(pause));
    }
  }
  const weights = { [FIRST]: 'model-00001-of-00002.safetensors', [SECOND]: 'model-00002-of-00002.safetensors' };
  writeFileSync(join(path, 'model.safetensors.index.json'), JSON.stringify({ metadata: { total_size: SIZE * 8 }, weight_map: weights }));
  writeFileSync(join(path, 'trainer_state.json'), JSON.stringify({ global_step: step, num_input_tokens_seen: step * 1000 }));
}

const ORDERS = {
  shards: (step) => shards(folder(step), step),
  async rename(step) {
    await shards(join(run, `tmp-checkpoint-${step}`), step);
    renameSync(join(run, `tmp-checkpoint-${step}`), folder(step));
  },
  async filled(step) {
    await shards(folder(step), -1);
    const head = header(SECOND).length;
    const file = openSync(join(folder(step), 'model-00002-of-00002.safetensors'), 'r+');
    // Pauses over which several looks see the same: only time tells.
    for (let at = 0; at < SIZE * 4; at += 32) {
      await wait(30 * Number(pause));
      writeSync(file, data(step), 0, 32, head + at);
    }
    closeSync(file);
    writeFileSync(join(folder(step), 'model-00001-of-00002.safetensors'), Buffer.concat([header(FIRST), data(step)]));
    writeFileSync(join(folder(step), 'trainer_state.json'), JSON.stringify({ global_step: step, num_input_tokens_seen: step * 1000 }));
  },
  async broken(step) {
    mkdirSync(folder(step));
    writeFileSync(join(folder(step), 'model.safetensors'), Buffer.alloc(1000, 7));
  },
  async infinite(step) {
    await shards(folder(step), step);
    const bytes = Buffer.concat([header(SECOND), data(step)]);
    bytes.writeFloatLE(Number.POSITIVE_INFINITY, bytes.length - 4);
    writeFileSync(join(folder(step), 'model-00002-of-00002.safetensors'), bytes);
  },
  async delete(step) {
    rmSync(folder(step), { recursive: true });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [order, step, folder] = JSON.parse(line);
  run = folder;
  await ORDERS[order](step);
  process.stdout.write(`${line}\n`);
}
