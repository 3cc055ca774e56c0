import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exportScores, watch } from '../../src/index.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { steadyEntries, writeRun } from '../support/run-trees.ts';
import { scoreOfBytes } from '../support/scored-watch.ts';

/** A Python with tensorboard, wandb and mlflow: `npm run test:dashboards` makes one. */
const PYTHON = process.env.CKPT_TEST_DASHBOARDS ?? '';
if (PYTHON === '') console.log('skipped: what dashboards read back; CKPT_TEST_DASHBOARDS names no Python that has their packages');

let folder: ReturnType<typeof temporaryFolder>;
const at = (...parts: string[]) => join(folder.path, ...parts);
const before = { ...process.env };
beforeEach(async () => {
  folder = temporaryFolder();
  const entries = steadyEntries(12);
  for (const last of [3, 4, 5]) {
    const first = last === 3 ? 1 : last;
    writeRun(
      at('run'),
      entries.slice(first - 1, last).map((entry, i) => ({ ...entry, seed: first + i })),
    );
    await watch({
      ...{ run: at('run'), output: at('merges'), once: true, settle: 0.01, threads: 1, windows: [2, 3] },
      eval: async (model) => ({ ...scoreOfBytes(model), stderr: 0.25, higherIsBetter: false }),
    });
  }
}, 60_000);
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
  Object.assign(process.env, before);
  folder.remove();
});

interface Row {
  readonly series: string;
  readonly step: number;
  readonly tokens: number;
  readonly score: number;
  readonly stderr: number;
  readonly gain: number | null;
}
async function rows(): Promise<readonly Row[]> {
  await exportScores({ trials: at('merges', 'scores'), to: ['jsonl'] });
  return readFileSync(at('merges', 'scores', 'scores.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}
/** What a program of Python prints as JSON. */
function python<T>(program: string, ...args: string[]): T {
  const { status, stdout, stderr } = spawnSync(PYTHON, ['-c', program, ...args], { encoding: 'utf8', cwd: folder.path });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout.trim().split('\n').at(-1)!);
}
const sorted = (values: readonly unknown[]) => values.map((value) => JSON.stringify(value)).sort();

describe.skipIf(PYTHON === '')('what dashboards read back', () => {
  it('tensorboard: scalars by step and by tokens, and text', async () => {
    await exportScores({ trials: at('merges', 'scores'), to: [`tensorboard=${at('tb')}`] });
    const read = python<{ scalars: Record<string, [number, number][]>; texts: Record<string, string> }>(
      `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
a = EventAccumulator(sys.argv[1])
a.Reload()
scalars = {t: [(e.step, e.value) for e in a.Scalars(t)] for t in a.Tags()["scalars"]}
texts = {t: a.Tensors(t)[0].tensor_proto.string_val[0].decode() for t in a.Tags()["tensors"]}
print(json.dumps({"scalars": scalars, "texts": texts}))`,
      at('tb'),
    );
    const all = await rows();
    for (const series of ['single', 'w2ckpt-sma', 'w3ckpt-sma']) {
      const own = all.filter((row) => row.series === series);
      expect(read.scalars[`score/${series}`]).toEqual(own.map(({ step, score }) => [step, Math.fround(score)]));
      expect(read.scalars[`by_tokens/score/${series}`]).toEqual(own.map(({ tokens, score }) => [tokens, Math.fround(score)]));
      if (series !== 'single') expect(read.scalars[`gain/${series}`]).toEqual(own.map(({ step, gain }) => [step, Math.fround(gain!)]));
    }
    expect(read.texts['recipe/w3ckpt-sma']).toContain('| checkpoint-100 | 0.333333 |');
  });

  it('wandb, offline: each row under its step, in the run of the training', async () => {
    Object.assign(process.env, { CKPT_MERGE_PYTHON: PYTHON, WANDB_RUN_ID: 'train1', WANDB_MODE: 'offline', WANDB_DIR: at('wb') });
    mkdirSync(at('wb'));
    await exportScores({ trials: at('merges', 'scores'), to: ['wandb'] });
    const read = python<{ id: string; rows: Record<string, number>[] }>(
      `
import glob, json, sys
from wandb.proto import wandb_internal_pb2
data = open(glob.glob(sys.argv[1] + "/wandb/offline-run-*/*.wandb")[0], "rb").read()
assert data[:4] == b":W&B"
# LevelDB's log format: blocks of 32 KiB, of records with a checksum, a length and a kind (1 whole, 2 first, 3 middle, 4 last).
rows, id, at, part = [], "", 7, b""
while at + 7 <= len(data):
    room = 32768 - at % 32768
    if room < 7:
        at += room
        continue
    length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
    if kind == 0:
        at += room
        continue
    part, at = part + data[at + 7 : at + 7 + length], at + 7 + length
    if kind not in (1, 4):
        continue
    record = wandb_internal_pb2.Record()
    record.ParseFromString(part)
    part = b""
    if record.WhichOneof("record_type") == "run":
        id = record.run.run_id
    if record.WhichOneof("record_type") == "history":
        rows.append({(i.key or "/".join(i.nested_key)): json.loads(i.value_json) for i in record.history.item})
print(json.dumps({"id": id, "rows": rows}))`,
      at('wb'),
    );
    expect(read.id).toBe('train1');
    const logged = read.rows.map((row) => Object.fromEntries(Object.entries(row).filter(([name]) => name.startsWith('ckpt_merge/'))));
    const all = await rows();
    expect(logged.map((row) => row['ckpt_merge/step'])).toEqual(all.map(({ step }) => step));
    all.forEach(({ series, score, gain, tokens }, i) => {
      expect(logged[i]![`ckpt_merge/${series}/score`]).toBe(score);
      expect(logged[i]!['ckpt_merge/tokens']).toBe(tokens);
      expect(logged[i]![`ckpt_merge/${series}/gain`]).toBe(gain ?? undefined);
    });
  });

  it('mlflow, in a file store: each metric under its step, in the run of the training', async () => {
    const uri = `file://${at('mlruns')}`;
    Object.assign(process.env, { CKPT_MERGE_PYTHON: PYTHON, MLFLOW_TRACKING_URI: uri, MLFLOW_ALLOW_FILE_STORE: 'true' });
    const id = python<string>(`
import json
from mlflow.tracking import MlflowClient
print(json.dumps(MlflowClient().create_run("0").info.run_id))`);
    process.env.MLFLOW_RUN_ID = id;
    await exportScores({ trials: at('merges', 'scores'), to: ['mlflow'] });
    const all = await rows();
    for (const series of ['single', 'w2ckpt-sma', 'w3ckpt-sma']) {
      const read = python<[number, number][]>(
        `
import json, sys
from mlflow.tracking import MlflowClient
print(json.dumps([(m.step, m.value) for m in MlflowClient().get_metric_history(sys.argv[1], sys.argv[2])]))`,
        id,
        `ckpt_merge/${series}/score`,
      );
      expect(sorted(read)).toEqual(sorted(all.filter((row) => row.series === series).map(({ step, score }) => [step, score])));
    }
  });
});
