// Argument: JSON of { inputs, output }. Starts the same merge in a worker, ends the worker while it merges,
// and says what became of this process and of OUT.
import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';

const { inputs, output } = JSON.parse(process.argv[2]);
const source = `
  const { parentPort, workerData } = await import('node:worker_threads');
  const { average } = await import(workerData.library);
  const tuning = { readDelayMicros: 100000, requestBytes: 65536, requestsInFlight: 1 };
  await average({ ...workerData.options, threads: 1, io: 'read', tuning }, { onProgress: (event) => parentPort.postMessage(event.type) });`;
const library = import.meta.resolve('ckpt-merge');
const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
  workerData: { library, options: { inputs, output } },
});
const ended = new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject));
await new Promise((resolve, reject) =>
  worker.on('message', (type) => type === 'plan' && resolve()).on('exit', () => reject(new Error('ended early'))),
);
// The plan is out; once its unfinished folder says whose it is the files are opened, and their reads take
// seconds. (Before that it may be of a program that is about to say so, and nobody removes it at once.)
const begun = () =>
  readdirSync(dirname(output))
    .filter((name) => name.startsWith(`.${basename(output)}.partial-`))
    .some((name) => readdirSync(join(dirname(output), name)).some((part) => part.startsWith('owner')));
while (!begun()) await new Promise((resolve) => setTimeout(resolve, 5));
await worker.terminate();
const exit = await ended;
const published = existsSync(output);
const { average } = await import(library);
await average({ inputs, output: `${output}-after` });
process.stdout.write(JSON.stringify({ exit, published, after: existsSync(`${output}-after`) }));
