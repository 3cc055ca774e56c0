// Loaded before the CLI with `--import`: counts what a process does to files and which commands it starts,
// and ends it with SIGKILL at one of them, so that the moment does not depend on how busy the machine is.
// CKPT_TEST_KILL is the number of the step (0: none); an added line is then written by half. With
// CKPT_TEST_STEPS the number of steps is written to that file when the process exits.
import childProcess from 'node:child_process';
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { loadBinding } from '../../dist/merge/native/load.js';

const at = Number(process.env.CKPT_TEST_KILL ?? 0);
const stepsFile = process.env.CKPT_TEST_STEPS;
let steps = 0;

/** @param half what is done where the process ends here */
function step(half = () => {}) {
  if (++steps !== at) return;
  half();
  process.kill(process.pid, 'SIGKILL');
  // The signal is delivered on the way back from the call; nothing may be done after it.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

function counted(holder, name, half) {
  const original = holder[name];
  holder[name] = function (...args) {
    step(half && (() => half.apply(this, args)));
    return original.apply(this, args);
  };
}

for (const name of ['mkdir', 'rename', 'rm', 'writeFile', 'truncate', 'unlink', 'link', 'rmdir']) counted(fsp, name);
const open = fsp.open;
fsp.open = function (path, flags, ...rest) {
  if (typeof flags === 'string' && /[wa+]/.test(flags)) step();
  return open.call(this, path, flags, ...rest);
};
const handle = await open(import.meta.filename, 'r');
const proto = Object.getPrototypeOf(handle);
await handle.close();
counted(proto, 'appendFile', function (text) {
  fs.writeSync(this.fd, String(text).slice(0, String(text).length >> 1));
});
counted(proto, 'sync');
counted(childProcess, 'spawn');
const spawn = childProcess.spawn;
childProcess.spawn = (...args) => {
  const child = spawn(...args);
  step();
  return child;
};
const binding = loadBinding();
counted(binding, 'rename');
const { createEngine } = binding;
binding.createEngine = (options) => {
  step();
  return createEngine(options);
};
syncBuiltinESMExports();
if (stepsFile !== undefined) process.on('exit', () => fs.writeFileSync(stepsFile, String(steps)));
