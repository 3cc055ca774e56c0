// Loaded before the CLI with `--import`: takes from Node what others that run this program lack. CKPT_TEST_RUNTIME
// names which: `pnp` for the file handles of Yarn's Plug'n'Play, `deno` for times in milliseconds and an unlink that
// removes empty folders, `sandbox` for a /proc that cannot be followed, `no-icu` for a Node without ICU.
import fs from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { fileURLToPath } from 'node:url';

const runtime = process.env.CKPT_TEST_RUNTIME;
const probe = await promises.open(fileURLToPath(import.meta.url));
const handles = Object.getPrototypeOf(probe);
await probe.close();

if (runtime === 'pnp') {
  for (const name of ['sync', 'datasync', 'readv', 'utimes']) {
    handles[name] = () => {
      throw new Error('Method not implemented.');
    };
  }
}
if (runtime === 'deno') {
  const coarse = (stats) => {
    for (const name of ['atime', 'mtime', 'ctime', 'birthtime']) {
      const ms = BigInt(Math.floor(Number(stats[`${name}Ms`])));
      if (typeof stats[`${name}Ns`] === 'bigint') stats[`${name}Ns`] = ms * 1_000_000n;
      else stats[`${name}Ms`] = Number(ms);
    }
    return stats;
  };
  for (const [where, name] of [
    [handles, 'stat'],
    [promises, 'stat'],
    [promises, 'lstat'],
  ]) {
    const asked = where[name];
    where[name] = async function (...args) {
      return coarse(await asked.apply(this, args));
    };
  }
  const unlink = promises.unlink;
  promises.unlink = (path) => unlink(path).catch((error) => (error.code === 'EISDIR' ? promises.rmdir(path) : Promise.reject(error)));
}
if (runtime === 'sandbox') {
  for (const [where, name] of [
    [fs, 'statSync'],
    [fs, 'readFileSync'],
    [promises, 'readFile'],
    [promises, 'readlink'],
  ]) {
    const asked = where[name];
    where[name] = (path, ...rest) => asked(typeof path === 'string' ? path.replace(/^\/proc\//, '/nowhere/') : path, ...rest);
  }
}
if (runtime === 'no-icu') {
  globalThis.TextDecoder = class {
    constructor(_, { fatal = false } = {}) {
      if (fatal)
        throw Object.assign(new TypeError('"fatal" option is not supported on Node.js compiled without ICU'), { code: 'ERR_NO_ICU' });
    }
    decode(bytes) {
      return Buffer.from(bytes).toString('utf8');
    }
  };
  delete globalThis.Intl;
}
syncBuiltinESMExports();
