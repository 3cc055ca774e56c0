// Bundles dist/'s modules into the few files of dist/bundle/ that the package's exports and bins name: on a
// shared file system every module of a program is a round trip or two, and even on a local disk seventy of
// them take longer to load than a small merge takes. Dependencies stay outside.
import { readdirSync, rmSync } from 'node:fs';
import { build } from 'rolldown';

const { output } = await build({
  input: { index: 'src/index.ts', safetensors: 'src/safetensors.ts', main: 'src/cli/main.ts' },
  platform: 'node',
  external: /^[^./]/,
  logLevel: 'warn',
  output: { dir: 'dist/bundle', format: 'esm', chunkFileNames: '[name].js' },
});

// Chunks of an earlier build that nothing imports any more would be packed.
const made = new Set(output.map(({ fileName }) => fileName));
for (const name of readdirSync('dist/bundle')) if (!made.has(name)) rmSync(`dist/bundle/${name}`, { recursive: true });
