// Packs what is published: the tarball of `npm pack`, with the repository that it comes from in its manifest, by
// which the registry's page finds the files that pages link to. CKPT_MERGE_REPOSITORY names it, as an https address;
// nothing else knows it. The addons in prebuilds/ go along as they are.
// node scripts/pack-release.js [FOLDER]
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const out = resolve(process.argv[2] ?? '.');
const repository = process.env.CKPT_MERGE_REPOSITORY?.replace(/(\.git)?\/*$/, '');
if (repository === undefined || !/^https:\/\/[^/\s]+\/\S+$/.test(repository)) {
  fail('CKPT_MERGE_REPOSITORY must name the repository, as https://HOST/OWNER/ckpt-merge.');
}
process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const scratch = mkdtempSync(join(tmpdir(), 'ckpt-merge-release-'));
try {
  pack(process.cwd(), scratch);
  const [tarball] = readdirSync(scratch);
  run('tar', ['--extract', '--file', join(scratch, tarball), '--directory', scratch], scratch);
  const path = join(scratch, 'package/package.json');
  const manifest = {
    ...JSON.parse(readFileSync(path, 'utf8')),
    repository: { type: 'git', url: `git+${repository}.git` },
    bugs: { url: `${repository}/issues` },
    homepage: `${repository}#readme`,
  };
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
  mkdirSync(out, { recursive: true });
  pack(join(scratch, 'package'), out);
  console.log(join(out, tarball));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function pack(folder, destination) {
  run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', destination], folder);
}

function run(command, args, cwd) {
  const { status, error } = spawnSync(command, args, { cwd, stdio: ['ignore', 2, 2] });
  if (status !== 0) fail(`${command} ended with ${status ?? error?.message}`);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
