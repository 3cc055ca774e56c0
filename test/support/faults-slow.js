// Loaded before the CLI with `--import`: slows down and holds native calls, so that a test can step into a
// merge of small files. Settings are JSON in CKPT_TEST_SLOW, as `Slow` in faults-merge.ts describes them.
// Each call is announced on stderr as `[call N]` before it is made.
import fs, { existsSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { setTimeout } from 'node:timers/promises';
import { loadBinding } from '../../dist/merge/native/load.js';

const { callMs = 0, hold, kill, withoutProc } = JSON.parse(process.env.CKPT_TEST_SLOW);
if (withoutProc) {
  // As where the system has no links to descriptors (macOS).
  const asked = fs.statSync;
  fs.statSync = (path, ...rest) => asked(String(path).replace('/proc/self/fd', '/nowhere'), ...rest);
  syncBuiltinESMExports();
}
const binding = loadBinding();
const { createEngine, rename } = binding;
let calls = 0;
let renames = 0;

binding.createEngine = (options) => {
  const engine = createEngine(options);
  return {
    shape: engine.shape,
    close: () => engine.close(),
    combine: async (job) => {
      const call = ++calls;
      process.stderr.write(`[call ${call}]\n`);
      if (kill?.call === call) setTimeout(kill.ms).then(() => process.kill(process.pid, 'SIGKILL'));
      await setTimeout(callMs);
      // As native code does at each tile.
      const cancelled = () => !hold.stuck && Atomics.load(job.cancel, 0) !== 0;
      while (hold?.call === call && !cancelled() && !(hold.until && existsSync(hold.until))) await setTimeout(5);
      return engine.combine(job);
    },
  };
};

// Each output is renamed into its place once.
binding.rename = (...args) => {
  if (++renames === kill?.beforeRename) process.kill(process.pid, 'SIGKILL');
  const result = rename(...args);
  if (renames === kill?.afterRename) process.kill(process.pid, 'SIGKILL');
  return result;
};
