import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from './safetensors.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const YARN = '@yarnpkg/cli-dist@4';
/** What the package holds that is run here. */
const PARTS = ['bin', 'dist/bundle', 'src/render/html/assets', 'names', 'build/Release/ckpt_merge.node'];

export interface YarnProject {
  /** The project's folder, in which its commands are run. */
  readonly folder: string;
  /** Yarn itself, a script of Node's. */
  readonly yarn: string;
}

/**
 * A project into which Yarn 4 has installed this package by its default linker (Plug'n'Play), or why there can be
 * none: Yarn and the package's dependencies come from npm's registry.
 */
export function yarnProject(): YarnProject | string {
  const base = temporaryFolder();
  const at = (...names: readonly string[]) => join(base, ...names);
  const npm = (cwd: string, ...words: readonly string[]) => {
    const args = ['--silent', '--fetch-retries=0', '--fetch-timeout=20000', ...words];
    return execFileSync('npm', args, { cwd, encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  };
  try {
    const tarball = npm(base, 'pack', YARN);
    execFileSync('tar', ['xzf', at(tarball), '-C', base]);
    const yarn = at('package/bin/yarn.js');

    for (const part of PARTS) cpSync(join(ROOT, part), at('ckpt-merge', part), { recursive: true });
    // As it is published, but for what is built on the way there.
    const { scripts, devDependencies, files, ...manifest } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    writeFileSync(at('ckpt-merge/package.json'), JSON.stringify(manifest));
    npm(at('ckpt-merge'), 'pack', '--ignore-scripts');
    const [packed] = readdirSync(at('ckpt-merge')).filter((name) => name.endsWith('.tgz'));

    const folder = at('project');
    mkdirSync(folder);
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    writeFileSync(join(folder, 'yarn.lock'), '');
    writeFileSync(join(folder, '.yarnrc.yml'), 'nodeLinker: pnp\nenableTelemetry: false\nenableGlobalCache: false\nhttpTimeout: 20000\n');
    execFileSync(process.execPath, [yarn, 'add', `ckpt-merge@file:../ckpt-merge/${packed}`], {
      cwd: folder,
      timeout: 120_000,
      stdio: 'pipe',
    });
    return { folder, yarn };
  } catch (error) {
    const { message, stdout } = error as Error & { stdout?: string | Buffer };
    return `no Yarn from npm here: ${message.split('\n')[0]} ${String(stdout ?? '')
      .split('\n')
      .slice(-3)
      .join(' ')}`.trim();
  }
}
