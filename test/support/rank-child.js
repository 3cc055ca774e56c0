// Argument: JSON of { recipe, options, fault }. Makes the merge as a rank, and prints the result as JSON, or
// { code, message, exit } of what ended it. A fault is { call, match, nth, after, how, once }: at the nth call of
// that function of node:fs/promises (or of a file handle) whose arguments match, before or after it, the process
// kills or stops itself, or the call fails with an errno; with `once`, a path, only the first of several does.
import { mkdirSync } from 'node:fs';
import fs from 'node:fs/promises';
import { runRecipe } from '../../dist/index.js';

const { recipe, options, fault = null } = JSON.parse(process.argv[2]);

if (fault !== null) {
  const probe = await fs.open(process.argv[1]);
  const handle = Object.getPrototypeOf(probe);
  await probe.close();
  const owner = fault.call in handle && !(fault.call in fs && fault.match !== '') ? handle : fs;
  const original = owner[fault.call];
  let calls = 0;
  owner[fault.call] = async function (...args) {
    const isIt = new RegExp(fault.match).test(args.map(String).join(' ')) && ++calls === fault.nth;
    if (isIt && !fault.after) strike();
    if (isIt && fault.how.startsWith('E'))
      throw Object.assign(new Error(`${fault.how}: a fault`), { errno: fault.how, syscall: fault.call });
    const result = await original.apply(this, args);
    if (isIt && fault.after) strike();
    return result;
  };
}

function strike() {
  try {
    if (fault.once !== undefined) mkdirSync(fault.once);
  } catch {
    return;
  }
  if (fault.how === 'kill') process.kill(process.pid, 'SIGKILL');
  if (fault.how === 'term') process.kill(process.pid, 'SIGTERM');
  if (fault.how === 'stop') process.kill(process.pid, 'SIGSTOP');
}

const aborting = new AbortController();
process.on('SIGTERM', () => aborting.abort(new Error('ended by SIGTERM')));
try {
  const warnings = [];
  const result = await runRecipe(recipe, {
    ...options,
    signal: aborting.signal,
    onProgress: (event) => event.type === 'warning' && warnings.push(event.warning.code),
  });
  process.stdout.write(JSON.stringify({ ...result, said: warnings }));
} catch (error) {
  process.stdout.write(
    JSON.stringify({ code: error.code ?? 'ABORTED', message: error.message, help: error.help, exit: error.exitCode ?? 143 }),
  );
}
