#!/usr/bin/env node
import { existsSync } from 'node:fs';
import module from 'node:module';

// Node 22 and newer keep compiled code between runs, which makes `merge --help` faster.
module.enableCompileCache?.();

const main = new URL('../dist/bundle/main.js', import.meta.url);
if (existsSync(main)) {
  const { main: run } = await import(main.href);
  const code = await run(process.argv.slice(2));
  // Node's own way out takes the handlers of signals away first: a Ctrl-C that comes then would make a failure of
  // a merge that is there. This way they stay to the end; what is printed is waited for, as nobody else does.
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((printed) => stream.write('', printed))));
  module.flushCompileCache?.();
  process.exit(code);
} else {
  process.stderr.write(
    'error: this copy of ckpt-merge is not built yet: dist/ is missing\n  help: in a clone run `npm ci`, or `npm run build` after a change\n',
  );
  process.exitCode = 1;
}
