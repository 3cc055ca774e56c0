#!/usr/bin/env node
import { existsSync } from 'node:fs';
import module from 'node:module';

// Node 22 and newer keep compiled code between runs, which makes `merge --help` faster.
module.enableCompileCache?.();

const main = new URL('../dist/bundle/main.js', import.meta.url);
if (existsSync(main)) {
  const { main: run } = await import(main.href);
  process.exitCode = await run(process.argv.slice(2));
} else {
  process.stderr.write(
    'error: this copy of ckpt-merge is not built yet: dist/ is missing\n  help: in a clone run `npm ci`, or `npm run build` after a change\n',
  );
  process.exitCode = 1;
}
