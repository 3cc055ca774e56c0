// Lays the package out in a folder so that it runs there with nothing but Node: what npm would pack, with the
// dependencies in the bundle instead of beside it. The wheel and the offline tarball carry this folder.
// node scripts/standalone.js FOLDER [ADDON]: FOLDER must not exist; ADDON is the addon of another platform, as
// linux-arm64.node, instead of the one that is built here.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));
const [folder, addon] = process.argv.slice(2).map((path) => resolve(path));
process.chdir(root);

if (folder === undefined) fail('node scripts/standalone.js FOLDER [ADDON]');
if (existsSync(folder)) fail(`${folder} is there already`);
const binary = addon ?? join(root, 'build/Release/ckpt_merge.node');
if (!existsSync(binary)) fail(`there is no ${binary}`);

const packed = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { encoding: 'utf8' });
if (packed.status !== 0) fail(packed.stderr);
const [{ files }] = JSON.parse(packed.stdout);
for (const { path } of files) {
  // Declarations are of a library that nobody imports from here; the bundle is made anew below.
  if (/^(dist|prebuilds)\//.test(path) || /^(CHANGELOG|CONTRIBUTING)\.md$/.test(path)) continue;
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  cpSync(path, join(folder, path));
}

const { output } = await build({
  input: { main: 'src/cli/main.ts' },
  platform: 'node',
  logLevel: 'warn',
  output: { dir: join(folder, 'dist/bundle'), format: 'esm', chunkFileNames: '[name].js' },
});
writeFileSync(join(folder, 'THIRD-PARTY.txt'), licences(output.flatMap(({ moduleIds = [] }) => moduleIds)));

mkdirSync(join(folder, 'prebuilds'));
cpSync(binary, join(folder, 'prebuilds', addon === undefined ? prebuildName() : basename(addon)));

// Nobody installs from this folder.
const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
const kept = ['name', 'version', 'description', 'license', 'type', 'engines', 'bin'];
writeFileSync(join(folder, 'package.json'), `${JSON.stringify(Object.fromEntries(kept.map((key) => [key, manifest[key]])), null, 2)}\n`);

function prebuildName() {
  const musl = process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime === undefined;
  return `${process.platform}-${process.arch}${musl ? '-musl' : ''}.node`;
}

/** The licences of the packages that a bundle holds. */
function licences(modules) {
  const packages = new Set(modules.map((id) => /^.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(id)?.[0]).filter((path) => path !== undefined));
  const texts = [...packages].sort().map((path) => {
    const { name, version, license } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
    const file = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'LICENCE'].map((name) => join(path, name)).find(existsSync);
    if (file === undefined) fail(`${name} has no licence that could come along`);
    return `${name} ${version} (${license})\n\n${readFileSync(file, 'utf8').trim()}\n`;
  });
  return texts.join(`\n${'-'.repeat(78)}\n\n`);
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
