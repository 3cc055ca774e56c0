// Argument: JSON of { recipe, options, fault, ready, awaits, nfs }, or with `watched` in the place of `recipe`. Makes the
// merge, or what a watch with `once` has due, as a rank, and prints the result as JSON, or
// { code, message, exit } of what ended it. A fault is { call, match, nth, after, how, once, always }: at the nth
// call of that function of node:fs/promises (or of a file handle; `native.NAME`: of the addon, its engine or one of
// its outputs) whose arguments match, before or after it, the process kills or stops itself, or the call fails with
// an errno; with `once`, a path, only the first of several does; with `always` all calls from the nth on.
// With `nfs` looks are answered as an NFS client does: a name that was not there is not asked for again until
// its folder is opened, or this process makes something of that name.
// `ready` is a file that is made when the process is about to begin, `awaits` one that it waits for before it
// computes anything: on a busy machine a process takes seconds to start, in which others would do all the work.
import { existsSync, constants as flags, mkdirSync, readlinkSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { runRecipe, watch } from '../../dist/index.js';
import { loadBinding } from '../../dist/merge/native/load.js';

const { recipe, watched, options, fault = null, ready, awaits, nfs = false } = JSON.parse(process.argv[2]);
let calls = 0;

if (awaits !== undefined) {
  const binding = loadBinding();
  const { createEngine } = binding;
  binding.createEngine = (how) => {
    const engine = createEngine(how);
    const combine = async (job) => {
      while (!existsSync(awaits)) await pause(20);
      return engine.combine(job);
    };
    return new Proxy(engine, {
      get: (of, key) => (key === 'combine' ? combine : typeof of[key] === 'function' ? of[key].bind(of) : of[key]),
    });
  };
}

if (nfs) lookAsNfsDoes();

function lookAsNfsDoes() {
  const absent = new Set();
  const place = (path) =>
    String(path).replace(/^\/proc\/self\/fd\/\d+/, (fd) => {
      try {
        return readlinkSync(fd);
      } catch {
        return fd;
      }
    });
  /** What is below a name is known with it. */
  const forget = (at) => {
    for (const path of absent) if (path === at || path.startsWith(`${at}/`)) absent.delete(path);
  };
  const opened = (folder) => {
    for (const path of absent) if (dirname(path) === folder) forget(path);
  };
  const makes = (how) => (typeof how === 'number' ? (how & flags.O_CREAT) !== 0 : /[wa]/.test(how ?? 'r'));
  for (const name of ['lstat', 'stat', 'open', 'access', 'realpath']) {
    const original = fs[name];
    fs[name] = async (path, ...more) => {
      const at = place(path);
      if (absent.has(at) && !(name === 'open' && makes(more[0])))
        throw Object.assign(new Error(`ENOENT: as it was, ${name} '${at}'`), { code: 'ENOENT', errno: -2, syscall: name });
      try {
        const result = await original.call(fs, path, ...more);
        forget(at);
        if (name === 'open') opened(at);
        return result;
      } catch (error) {
        if (error.code === 'ENOENT') absent.add(at);
        throw error;
      }
    };
  }
  for (const [name, of] of [
    ['readdir', (path) => opened(place(path))],
    ['mkdir', (path) => forget(place(path))],
    ['link', (_, to) => forget(place(to))],
    ['rename', (_, to) => forget(place(to))],
  ]) {
    const original = fs[name];
    fs[name] = async (...args) => {
      const result = await original.apply(fs, args);
      of(...args);
      return result;
    };
  }
  const binding = loadBinding();
  const { rename } = binding;
  binding.rename = (from, to, how) => {
    rename.call(binding, from, to, how);
    forget(place(to));
  };
  syncBuiltinESMExports();
}

/** What a fault makes of a call, and of what comes after it. */
function meets(args) {
  const isCall = new RegExp(fault.match).test(args.map(String).join(' '));
  const isIt = isCall && (++calls === fault.nth || (fault.always && calls > fault.nth)) && isFirst();
  if (isIt && !fault.after) strike();
  return isIt;
}

/** Whether no other process has met the fault before. */
function isFirst() {
  try {
    if (fault.once !== undefined) mkdirSync(fault.once);
    return true;
  } catch {
    return false;
  }
}

if (fault?.how === 'clock') {
  const { now } = Date;
  Date.now = () => now() + 3_600_000;
} else if (fault?.call.startsWith('native.')) {
  const name = fault.call.slice('native.'.length);
  const binding = loadBinding();
  const failed = () => Object.assign(new Error(`${fault.how}: a fault`), { code: 'E_IO', errno: fault.how, syscall: name, outputIndex: 0 });
  const replace = (owner, rejects) => {
    const original = owner[name].bind(owner);
    const faulty = (...args) => {
      const isIt = meets(args);
      if (isIt && fault.how.startsWith('E')) {
        if (rejects) return Promise.reject(failed());
        throw failed();
      }
      const result = original(...args);
      if (isIt && fault.after) strike();
      return result;
    };
    return Object.defineProperty(owner, name, { value: faulty });
  };
  const { createEngine, openOutput } = binding;
  if (name in binding) replace(binding, name === 'crc32cFile');
  else if (name === 'combine') {
    binding.createEngine = (how) => {
      const engine = createEngine(how);
      const combine = (job) => (meets([]) ? Promise.reject(failed()) : engine.combine(job));
      return new Proxy(engine, {
        get: (of, key) => (key === 'combine' ? combine : typeof of[key] === 'function' ? of[key].bind(of) : of[key]),
      });
    };
  } else binding.openOutput = (...args) => replace(openOutput(...args), name === 'sync');
} else if (fault !== null) {
  const probe = await fs.open(process.argv[1]);
  const handle = Object.getPrototypeOf(probe);
  await probe.close();
  const owner = fault.call in handle && !(fault.call in fs && fault.match !== '') ? handle : fs;
  const original = owner[fault.call];
  owner[fault.call] = async function (...args) {
    const isIt = meets(args);
    if (isIt && fault.how.startsWith('E')) {
      const about = { code: fault.how, errno: -constants.errno[fault.how], syscall: fault.call };
      throw Object.assign(new Error(`${fault.how}: a fault`), about);
    }
    const result = await original.apply(this, args);
    if (isIt && fault.after) strike();
    return result;
  };
}

function strike() {
  if (fault.how === 'kill') process.kill(process.pid, 'SIGKILL');
  if (fault.how === 'term') process.kill(process.pid, 'SIGTERM');
  if (fault.how === 'stop') process.kill(process.pid, 'SIGSTOP');
}

const aborting = new AbortController();
process.on('SIGTERM', () => aborting.abort(new Error('ended by SIGTERM')));
const said = [];
const { signal } = aborting;
/** Types of a watch's events, codes of warnings. */
const say = (event) => event.type === 'warning' && said.push(event.warning.code);
const sayOfWatch = (event) => (event.type === 'merge' ? say(event.event) : said.push(event.type));
if (ready !== undefined) writeFileSync(ready, '');
try {
  const result =
    watched === undefined
      ? await runRecipe(recipe, { ...options, signal, onProgress: say })
      : await watch({ ...watched, ...options, once: true }, { signal, onEvent: sayOfWatch });
  const failed = result.failed?.map(({ checkpoint, error: { code, exitCode } }) => ({ checkpoint, code, exit: exitCode }));
  process.stdout.write(JSON.stringify({ ...result, ...(failed && { failed }), said, met: calls }));
} catch (error) {
  const { code = 'ABORTED', message, help, exitCode: exit = 143, details } = error;
  const stack = exit === 143 ? error.stack : undefined;
  process.stdout.write(JSON.stringify({ code, message, help, exit, details, said, met: calls, stack }));
}
