// Packs the package (or takes the tarball it is given), looks at what is in it, installs it in an empty
// folder where there is Node and npm but no compiler, no CMake and no Python, and uses it there: the command
// line, both entry points, reports, and the loader's message where the binary is missing or damaged. node
// scripts/test-pack.js [TARBALL]
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join, posix, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const MOST_BYTES = 6_000_000;
/** All that may be in the tarball. */
const EXPECTED = [
  /^(package\.json|(README|CHANGELOG|CONTRIBUTING|SECURITY)\.md|LICENSE)$/,
  /^docs\/[\w-]+\.(md|ipynb)$/,
  /^docs\/images\/[\w.-]+\.(svg|png|csv)$/,
  /^docs\/scripts\/[\w./-]+\.(py|sh|jsonl|md|txt)$/,
  /^demo\/merging\.svg$/,
  /^bin\/merge\.js$/,
  /^dist\/bundle\/[\w-]+\.js$/,
  /^dist\/[\w/-]+\.d\.ts$/,
  /^src\/render\/html\/assets\/report\.(css|js)$/,
  /^prebuilds\/(linux|darwin)-(x64|arm64)(-musl)?\.node$/,
  /^names\/[\w-]+\.yaml$/,
  /^hooks\/log_to_(wandb|mlflow)\.py$/,
  /^demo\/README\.md$/,
  /^demo\/held-out\/(search|validation)\.txt$/,
  /^demo\/runs\/dense\/checkpoint-(4[2468]00|5[02468]00|6000)\/(config|generation_config|trainer_state)\.json$/,
  /^demo\/runs\/dense\/checkpoint-(4[2468]00|5[02468]00|6000)\/model\.safetensors$/,
  /^demo\/runs\/dense-annealed\/checkpoint-6000\/((config|generation_config|trainer_state)\.json|model\.safetensors)$/,
];

const root = fileURLToPath(new URL('..', import.meta.url));
const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'ckpt-merge-pack-')));
let failed = 0;
try {
  main();
} catch (error) {
  check('the test itself', false, error.message);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = failed === 0 ? 0 : 1;

function main() {
  const tarball = process.argv[2] === undefined ? pack() : resolve(process.argv[2]);
  const contents = readTarball(tarball);
  checkContents(tarball, contents);
  const manifest = JSON.parse(contents.get('package.json') ?? '{}');
  checkManifest(manifest, contents);

  const project = install(tarball);
  if (project === null) return;
  checkCommandLine(project, manifest.version);
  checkLibrary(project, manifest.version);
  checkReports(project);
  checkWithoutBinary(project);
}

/** One line a check; the rest of the checks go on. */
function check(what, good, detail = '') {
  if (!good) failed++;
  console.log(`${good ? 'ok  ' : 'FAIL'} ${what}${good || detail === '' ? '' : `\n${detail.trim().replace(/^/gm, '       ')}`}`);
  return good;
}

function pack() {
  // prepack builds the addon and its prebuild, prepare the TypeScript. What they print goes to stderr here.
  const { status } = spawnSync('npm', ['pack', '--loglevel', 'error', '--pack-destination', scratch], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  const name = readdirSync(scratch).find((file) => file.endsWith('.tgz'));
  if (status !== 0 || name === undefined) throw new Error(`npm pack ended with ${status}`);
  return join(scratch, name);
}

/** Regular files of a tarball as npm writes it: text by path, without the leading `package/`. */
function readTarball(path) {
  const tar = gunzipSync(readFileSync(path));
  const text = (start, length) => tar.toString('utf8', start, start + length).replace(/\0.*$/s, '');
  const files = new Map();
  let longPath;
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12), 8);
    const type = String.fromCharCode(tar[at + 156]);
    const body = tar.subarray(at + 512, at + 512 + size);
    if (type === 'x') {
      longPath = /\d+ path=(.*)\n/.exec(body.toString())?.[1];
    } else {
      const prefix = text(at + 345, 155);
      const name = longPath ?? (prefix === '' ? text(at, 100) : `${prefix}/${text(at, 100)}`);
      longPath = undefined;
      if (type === '0' || type === '\0') files.set(name.replace(/^package\//, ''), body.toString('latin1'));
      else if (type !== '5') check(`${name} is a file or folder`, false, `tar type ${type}`);
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

function checkContents(tarball, contents) {
  const bytes = readFileSync(tarball).length;
  check(`the tarball has ${(bytes / 1e6).toFixed(2)} MB, at most ${MOST_BYTES / 1e6}`, bytes <= MOST_BYTES);
  const names = [...contents.keys()];
  const strange = names.filter((name) => !EXPECTED.some((pattern) => pattern.test(name)));
  check(`nothing unexpected among its ${names.length} files`, strange.length === 0, strange.join('\n'));
  const absent = EXPECTED.filter((pattern) => !names.some((name) => pattern.test(name)));
  check('something of each kind that is expected', absent.length === 0, absent.join('\n'));
  // dist/ is never emptied, so a source that was removed could live on there.
  const stale = names.filter((name) => name.endsWith('.d.ts') && !existsSync(join(root, sourceOf(name))));
  check('every type declaration has its source', stale.length === 0, `${stale.join('\n')}\nRemove dist/ and build again.`);
  checkLinks(contents);
  const dated = names.filter((name) => name.startsWith('dist/') && !existsSync(join(root, name)));
  check(
    'and is the one built here',
    dated.length === 0 && names.every((n) => !n.startsWith('dist/') || same(n, contents.get(n))),
    dated.join('\n'),
  );
}

/** Pages that are read from node_modules link to pages that are there; the registry's page finds the others. */
function checkLinks(contents) {
  const broken = [...contents].flatMap(([page, text]) => {
    if (!page.endsWith('.md')) return [];
    const prose = text.replace(/```.*?```/gs, '');
    const links = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link).filter((link) => !/^([a-z]+:|#)/.test(link));
    const paths = links.map((link) => posix.join(posix.dirname(page), link.replace(/#.*$/, '')));
    return paths.filter((path) => !contents.has(path)).map((path) => `${page}: ${path}`);
  });
  check('links between its pages lead somewhere', broken.length === 0, broken.join('\n'));
  // What the program names in its help and its messages.
  const programs = [...contents].filter(([name]) => name.startsWith('dist/bundle/')).map(([, text]) => text);
  const named = new Set(programs.flatMap((text) => [...text.matchAll(/\bdocs\/[\w/-]+\.(?:md|py)\b/g)].map(([path]) => path)));
  const absent = [...named].filter((path) => !contents.has(path));
  check(`the ${named.size} pages and scripts that the program names are there`, absent.length === 0 && named.size > 0, absent.join('\n'));
}

function sourceOf(name) {
  return name.replace(/^dist\//, 'src/').replace(/\.d\.ts$/, '.ts');
}

function same(name, content) {
  return readFileSync(join(root, name), 'latin1') === content;
}

function checkManifest(manifest, contents) {
  const scripts = Object.keys(manifest.scripts ?? {}).filter((name) => ['preinstall', 'install', 'postinstall'].includes(name));
  check('no install script', scripts.length === 0, scripts.join(', '));
  check('gypfile is false and there is no binding.gyp, so npm adds none', manifest.gypfile === false && !contents.has('binding.gyp'));
  const named = [
    ...Object.values(manifest.bin),
    ...Object.values(manifest.exports).flatMap((e) => (typeof e === 'string' ? [e] : Object.values(e))),
  ];
  const missing = named.filter((path) => !contents.has(path.replace(/^\.\//, '')));
  check('bin and exports name files that are there', missing.length === 0, missing.join('\n'));
}

/**
 * Installs into an empty project whose PATH holds nothing but Node, npm and what a shell needs. Null where
 * that fails.
 */
function install(tarball) {
  const tools = join(scratch, 'tools');
  const folder = join(scratch, 'project');
  const home = join(scratch, 'home');
  for (const path of [tools, folder, home]) mkdirSync(path);
  for (const name of ['node', 'npm', 'npx', 'sh', 'env']) symlinkSync(name === 'node' ? process.execPath : which(name), join(tools, name));
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  // The registry and the cache are the user's; nothing else of the environment is.
  const env = { HOME: home, PATH: tools, LANG: 'C.UTF-8', TMPDIR: scratch };
  for (const [name, value] of Object.entries(process.env)) {
    if (/^(npm_config_(registry|userconfig|cache)|https?_proxy|no_proxy|node_extra_ca_certs)$/i.test(name)) env[name] = value;
  }
  env.npm_config_userconfig ??= join(homedir(), '.npmrc');
  env.npm_config_cache ??= join(homedir(), '.npm');
  const project = {
    folder,
    installed: join(folder, 'node_modules/ckpt-merge'),
    run(command, ...args) {
      const { status, stdout, stderr, error } = spawnSync(join(tools, command), args, {
        cwd: folder,
        env,
        encoding: 'utf8',
        timeout: 300_000,
      });
      return { status, stdout, stderr: `${stderr}${error === undefined ? '' : error.message}` };
    },
  };
  const compilers = ['cc', 'c++', 'gcc', 'g++', 'clang', 'cmake', 'make', 'python3'].filter((name) => existsSync(join(tools, name)));
  check('no compiler, no CMake and no Python on PATH', compilers.length === 0);
  const { status, stderr } = project.run('npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', tarball);
  return check('npm install', status === 0, stderr) ? project : null;
}

function which(name) {
  const folder = (process.env.PATH ?? '').split(delimiter).find((path) => existsSync(join(path, name)));
  if (folder === undefined) throw new Error(`${name} is not on PATH`);
  return join(folder, name);
}

/** `--` ends npx's own options: after `--no NAME` alone it would take `--version` for itself. */
function npx(project, ...args) {
  return project.run('npx', '--no', '--', 'ckpt-merge', ...args);
}

function checkCommandLine(project, version) {
  const printed = npx(project, '--version');
  check(
    `npx ckpt-merge --version says ${version}`,
    printed.status === 0 && printed.stdout.trim() === version,
    printed.stdout + printed.stderr,
  );
  const demo = npx(project, 'demo');
  check('npx ckpt-merge demo', demo.status === 0 && demo.stdout.includes('verify agrees'), demo.stdout + demo.stderr);
  if (demo.status === 0) console.log(demo.stdout.trim().replace(/^/gm, '     | '));
}

function checkLibrary(project, version) {
  const script = `
    import assert from 'node:assert/strict';
    import * as library from 'ckpt-merge';
    const { average, averageEvents, inspect, MergeError, plan, verify, version } = library;
    import { openCheckpoint, readHeader, writeSafetensors } from 'ckpt-merge/safetensors';
    import manifest from 'ckpt-merge/package.json' with { type: 'json' };

    assert.equal(version, manifest.version);
    assert.equal(version, ${JSON.stringify(version)});
    for (const f of [average, averageEvents, inspect, plan, verify, openCheckpoint, readHeader]) assert.equal(typeof f, 'function');
    const { classifier, diff, diffPage, namingContext, parsePolicy, policyText, route, routers, routersPage, routingFunction, watch } = library;
    for (const f of [diff, diffPage, route, routers, routersPage, routingFunction, watch]) assert.equal(typeof f, 'function');
    assert.equal(policyText(parsePolicy('role=router:use=newest')), 'role=router:use=newest');
    assert.equal(classifier(namingContext(null))('model.embed_tokens.weight').role, 'embedding');

    const data = (...values) => new Uint8Array(Float32Array.from(values).buffer);
    await writeSafetensors('a.safetensors', [{ name: 'x', dtype: 'F32', shape: [2], data: data(1, 3) }]);
    await writeSafetensors('b.safetensors', [{ name: 'x', dtype: 'F32', shape: [2], data: data(3, 9) }]);
    const { outputs } = await average({ inputs: ['a.safetensors', 'b.safetensors'], output: 'mean.safetensors' });
    assert.equal(outputs[0].tensors, 1);
    const { readFile } = await import('node:fs/promises');
    const { dataStart } = await readHeader('mean.safetensors');
    assert.deepEqual((await readFile('mean.safetensors')).subarray(dataStart), Buffer.from(data(2, 6)));
    assert.equal((await verify('mean.safetensors', { full: true })).recomputed.elements, 2);
    await assert.rejects(inspect('nowhere'), (error) => error instanceof MergeError && error.code === 'E_NOT_FOUND');
    console.log('done');
  `;
  writeFileSync(join(project.folder, 'use.js'), script);
  const { status, stdout, stderr } = project.run('node', '--no-warnings', 'use.js');
  check('a program imports both entry points, writes, merges and verifies', status === 0 && stdout.trim() === 'done', stderr);
}

/** One page of each kind: their style and script are files of the package, and the charts a dependency's. */
function checkReports(project) {
  const script = `
    import { mkdir, writeFile } from 'node:fs/promises';
    import { writeSafetensors } from 'ckpt-merge/safetensors';

    const config = { model_type: 'olmoe', num_hidden_layers: 1, num_experts: 4, num_experts_per_tok: 2, hidden_size: 8 };
    for (const step of [1, 2, 3]) {
      const folder = 'moe/checkpoint-' + step;
      await mkdir(folder, { recursive: true });
      await writeFile(folder + '/config.json', JSON.stringify(config));
      const tensor = (name, shape, seed) => {
        const data = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => Math.sin(seed + i * i) + 0.01 * step * Math.cos(seed + i));
        return { name: 'model.layers.0.mlp.' + name + '.weight', dtype: 'F32', shape, data: new Uint8Array(data.buffer) };
      };
      const experts = [0, 1, 2, 3].flatMap((e) => ['gate', 'up', 'down'].map((p, k) => tensor('experts.' + e + '.' + p + '_proj', [8, 8], 10 * e + k)));
      await writeSafetensors(folder + '/model.safetensors', [tensor('gate', [4, 8], 100), ...experts], { metadata: { format: 'pt' } });
    }
  `;
  writeFileSync(join(project.folder, 'moe.js'), script);
  const made = project.run('node', 'moe.js');
  if (!check('a program writes a small run of experts', made.status === 0, made.stderr)) return;
  for (const command of ['diff', 'routers']) {
    const { status, stdout, stderr } = npx(project, command, 'moe', '--out', `${command}.html`);
    const page = status === 0 ? readFileSync(join(project.folder, `${command}.html`), 'utf8') : '';
    const whole = page.startsWith('<!doctype html>') && page.includes('<style>') && page.trimEnd().endsWith('</html>');
    check(`npx ckpt-merge ${command} writes a page`, whole && /<script>/.test(page), stdout + stderr);
    check(
      `and the page of ${command} asks nothing of the network`,
      !/<(script|link|img)[^>]*(src|href)=/.test(page) && !/url\(\s*['"]?https?:/.test(page),
    );
  }
}

/** What somebody sees for whose platform there is no binary, or whose copy of it is damaged. */
function checkWithoutBinary(project) {
  const prebuilds = join(project.installed, 'prebuilds');
  const away = join(scratch, 'prebuilds-away');
  renameSync(prebuilds, away);
  refuses(project, 'without a binary', /not there/);

  mkdirSync(prebuilds);
  for (const name of readdirSync(away)) writeFileSync(join(prebuilds, name), 'this is no binary\n');
  refuses(project, 'with a damaged binary', /prebuilds/);
}

function refuses(project, when, reason) {
  const { status, stderr } = npx(project, 'demo');
  const explains = stderr.includes('E_NATIVE_LOAD') && reason.test(stderr) && stderr.includes(`${process.platform}-${process.arch}`);
  check(`${when} demo ends with 1 and says why`, status === 1 && explains, `exit ${status}\n${stderr}`);
  const remedies = ['npm run build:native', 'apt install', 'dnf install', 'brew install'].filter((remedy) => !stderr.includes(remedy));
  check(
    `${when} it names remedies, and shows no stack`,
    remedies.length === 0 && !/^\s+at /m.test(stderr),
    `${remedies.join(', ')} missing\n${stderr}`,
  );
  const help = npx(project, '--help');
  check(`${when} --help works`, help.status === 0, help.stderr);
}
