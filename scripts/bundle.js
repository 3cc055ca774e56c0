// Bundles dist/'s modules into the few files of dist/bundle/ that the package's exports and bins name: on a shared file system every module of a program
// is a round trip or two, and even on a local disk seventy of them take longer to load than a small merge takes. Dependencies stay outside.
import { build } from 'rolldown';

await build({
  input: { index: 'src/index.ts', safetensors: 'src/safetensors/index.ts', main: 'src/cli/main.ts' },
  platform: 'node',
  external: /^[^./]/,
  logLevel: 'warn',
  output: { dir: 'dist/bundle', format: 'esm', chunkFileNames: '[name].js' },
});
