import { execFileSync } from 'node:child_process';
import fs, { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Warning } from '../../../src/base/errors.ts';
import { checkOccupant, locate } from '../../../src/merge/output/destination.ts';
import { findPartials } from '../../../src/merge/output/partial.ts';
import { beginPublication } from '../../../src/merge/output/publication.ts';
import {
  contentOf,
  endedProcess,
  errorOf,
  failingFs,
  failingRename,
  flaggedRename,
  interceptedFs,
  quickFs,
  request,
  temporaryFolder,
  tensorFile,
  warningsInto,
  writeAndJournal,
} from '../../support/publication.ts';
import { systemTool } from '../../support/system-tool.ts';

const hooks = { rename: flaggedRename };
const FILES = { 'model.safetensors': 'tensors', 'config.json': '{}' };

async function publish(output: string, more = {}, use: Parameters<typeof beginPublication>[1] = hooks): Promise<void> {
  const publication = await beginPublication(request(output, more), use);
  await writeAndJournal(publication, publication.kind === 'folder' ? FILES : { [basename(output)]: tensorFile('tensors') });
  await publication.finish();
}

describe('a publication', () => {
  test('becomes OUT with exactly the files written, and leaves nothing else', async () => {
    const folder = temporaryFolder();
    const publication = await beginPublication(request(join(folder, 'out')), hooks);
    expect(contentOf(join(folder, 'out'))).toBeNull();
    mkdirSync(join(publication.dir, 'templates'));
    writeFileSync(join(publication.dir, 'templates', 'tool.jinja'), 'x');
    await writeAndJournal(publication, FILES);
    expect(readdirSync(folder)).toHaveLength(1);
    expect(readdirSync(folder)[0]).toMatch(/^\.out\.partial-[0-9a-f]{12}$/);
    await publication.finish();
    expect(contentOf(join(folder, 'out'))).toEqual({ ...FILES, 'templates/tool.jinja': 'x' });
    expect(readdirSync(folder)).toEqual(['out']);
  });

  test('of kind file becomes a file', async () => {
    const folder = temporaryFolder();
    await publish(join(folder, 'soup.safetensors'), { kind: 'file' });
    expect(contentOf(join(folder, 'soup.safetensors'))).toBe(tensorFile('tensors'));
    expect(readdirSync(folder)).toEqual(['soup.safetensors']);
  });

  test('abandoned leaves nothing, made parents included, but not what others put there', async () => {
    const folder = temporaryFolder();
    const first = await beginPublication(request(join(folder, 'a/b/c/out')), hooks);
    await writeAndJournal(first, FILES);
    expect(await first.abandon({ keep: false })).toBe(false);
    expect(readdirSync(folder)).toEqual([]);

    const second = await beginPublication(request(join(folder, 'a/b/c/out')), hooks);
    writeFileSync(join(folder, 'a', 'mine.txt'), 'mine');
    await second.abandon({ keep: true });
    expect(contentOf(folder)).toEqual({ 'a/mine.txt': 'mine' });
    expect(readdirSync(join(folder, 'a'))).toEqual(['mine.txt']);
  });

  test('abandoned leaves parents that somebody else made at the same moment', async () => {
    const folder = temporaryFolder();
    const fs = interceptedFs((call, path) => {
      if (call === 'mkdir' && path.endsWith('/a/b')) mkdirSync(path);
    });
    const publication = await beginPublication(request(join(folder, 'a/b/c/out')), { ...hooks, fs });
    await publication.abandon({ keep: false });
    expect(readdirSync(folder, { recursive: true })).toEqual(['a', 'a/b']);
  });

  test.each([
    ['trailing slashes', 'x/out//'],
    ['dots', './x/./y/../out'],
  ])('takes OUT with %s', async (_, path) => {
    const folder = temporaryFolder();
    await publish(`${folder}/${path}`);
    expect(readdirSync(join(folder, 'x'))).toEqual(['out']);
    expect(contentOf(join(folder, 'x', 'out'))).toEqual(FILES);
  });

  test('takes a relative OUT', async () => {
    const folder = temporaryFolder();
    const relative = join('..', '..', '..', '..', '..', '..', '..', '..', folder, 'out');
    expect(relative.startsWith('/')).toBe(false);
    await publish(relative);
    expect(contentOf(join(folder, 'out'))).toEqual(FILES);
  });

  test('follows a link to the real place and keeps the link', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'scratch/real'), { recursive: true });
    symlinkSync('scratch/real', join(folder, 'out'));
    await publish(join(folder, 'out'));
    expect(contentOf(join(folder, 'scratch/real'))).toEqual(FILES);
    expect(fs.readlinkSync(join(folder, 'out'))).toBe('scratch/real');
    expect(readdirSync(join(folder, 'scratch'))).toEqual(['real']);
  });

  test('resolves .. behind a link as the operating system does', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'far/away'), { recursive: true });
    symlinkSync('far/away', join(folder, 'near'));
    await publish(`${folder}/near/../out`);
    expect(readdirSync(join(folder, 'far')).sort()).toEqual(['away', 'out']);
  });

  test('takes a name as long as the file system allows, in any script', async () => {
    const folder = temporaryFolder();
    for (const name of ['n'.repeat(255), 'é'.repeat(127), '語'.repeat(85)]) await publish(join(folder, name));
    expect(readdirSync(folder)).toHaveLength(3);
    const error = await errorOf(beginPublication(request(join(folder, 'n'.repeat(256))), hooks));
    expect(error.code).toBe('E_OUTPUT_KIND');
  });

  test('long names with the same beginning do not take each other for theirs', async () => {
    const folder = temporaryFolder();
    const [a, b] = [join(folder, `${'n'.repeat(200)}a`), join(folder, `${'n'.repeat(200)}b`)];
    const partial = await beginPublication(request(a), { ...hooks, self: await endedProcess() });
    expect(await findPartials(a)).toHaveLength(1);
    expect(await findPartials(b)).toHaveLength(0);
    await partial.abandon({ keep: false });
  });

  test('has the modes that the umask gives, and inherits the group', async () => {
    const folder = temporaryFolder();
    const script = (umask: string) => `umask ${umask}; mkdir want-${umask}; touch want-${umask}/f`;
    chmodSync(folder, 0o2775);
    for (const umask of ['002', '027']) {
      execFileSync('sh', ['-c', script(umask)], { cwd: folder });
      const before = process.umask(Number.parseInt(umask, 8));
      try {
        await publish(join(folder, `new/out-${umask}`));
      } finally {
        process.umask(before);
      }
      const [out, want] = [statSync(join(folder, `new/out-${umask}`)), statSync(join(folder, `want-${umask}`))];
      expect(out.mode.toString(8)).toBe(want.mode.toString(8));
      expect(out.mode & 0o2000).toBe(0o2000);
      expect(statSync(join(folder, `new/out-${umask}/config.json`)).mode).toBe(statSync(join(folder, `want-${umask}/f`)).mode);
      fs.rmSync(join(folder, 'new'), { recursive: true });
    }
  });

  test('calls nothing by fsync under unsafeNoSync, and each file and folder once without', async () => {
    const folder = temporaryFolder();
    const synced: string[] = [];
    const use = { ...hooks, fs: interceptedFs((call, path) => void (call.endsWith('sync') && synced.push(path))) };
    await publish(join(folder, 'fast'), { unsafeNoSync: true }, use);
    // The owner's record and the heartbeat are small and tell others who is at work.
    expect(synced.filter((path) => !/owner|draft|heartbeat/.test(path))).toEqual([]);
    synced.length = 0;
    await publish(join(folder, 'safe'), {}, use);
    const names = synced.map((path) => basename(path));
    for (const name of ['model.safetensors', 'config.json', 'payload', basename(folder), 'journal.ndjson']) expect(names).toContain(name);
    expect(synced.at(-1)).toBe(folder);
  });
});

describe('an OUT that is there', () => {
  test.each(['folder', 'file'] as const)('is refused without force and replaced with it: %s', async (kind) => {
    const folder = temporaryFolder();
    const output = join(folder, kind === 'file' ? 'out.safetensors' : 'out');
    await publish(output, { kind });
    const before = contentOf(output);
    const error = await errorOf(beginPublication(request(output, { kind }), hooks));
    expect([error.code, error.exitCode, error.details.file]).toEqual(['E_OUTPUT_EXISTS', 4, output]);
    expect(contentOf(output)).toEqual(before);

    const publication = await beginPublication(request(output, { kind, force: true }), hooks);
    writeFileSync(join(publication.dir, basename(output)), tensorFile('second'));
    expect(contentOf(output)).toEqual(before);
    await publication.finish();
    expect(contentOf(output)).toEqual(kind === 'file' ? tensorFile('second') : { out: tensorFile('second') });
    expect(readdirSync(folder)).toEqual([basename(output)]);
  });

  test('and is an empty folder counts as absent', async () => {
    const folder = temporaryFolder();
    for (const [name, rename] of [
      ['a', flaggedRename],
      ['b', failingRename('EINVAL')],
    ] as const) {
      mkdirSync(join(folder, name));
      await publish(join(folder, name), {}, { rename });
      expect(contentOf(join(folder, name))).toEqual(FILES);
    }
  });

  test('is replaced only by its like', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'notes.txt'), 'mine');
    mkdirSync(join(folder, 'run.safetensors'));
    writeFileSync(join(folder, 'run.safetensors', 'x'), 'mine');
    const a = await errorOf(beginPublication(request(join(folder, 'notes.txt'), { force: true }), hooks));
    const b = await errorOf(beginPublication(request(join(folder, 'run.safetensors'), { kind: 'file', force: true }), hooks));
    expect([a.code, b.code]).toEqual(['E_OUTPUT_KIND', 'E_OUTPUT_KIND']);
    expect(contentOf(folder)).toEqual({ 'notes.txt': 'mine', 'run.safetensors/x': 'mine' });
  });

  test('and is a pipe, a socket, a dangling link, this folder or the home folder is refused even with force', async () => {
    const folder = temporaryFolder();
    execFileSync(systemTool('mkfifo'), [join(folder, 'fifo')]);
    const server = createServer().listen(join(folder, 'socket'));
    symlinkSync('nowhere', join(folder, 'dangling'));
    symlinkSync('circle', join(folder, 'circle'));
    writeFileSync(join(folder, 'plain'), '');
    const home = join(folder, 'home');
    mkdirSync(join(home, 'me/runs'), { recursive: true });
    const before = { home: process.env.HOME, folder: process.cwd() };
    process.env.HOME = join(home, 'me');
    mkdirSync(join(folder, 'here/below'), { recursive: true });
    process.chdir(join(folder, 'here/below'));
    try {
      const names = ['fifo', 'socket', 'dangling', 'dangling/out', 'circle', 'plain/out', 'home', 'home/me', 'here', 'here/below'];
      for (const output of [...names.map((name) => join(folder, name)), '.', '..', '../', '']) {
        const error = await errorOf(beginPublication(request(output, { force: true }), hooks));
        expect([output, error.code, error.exitCode]).toEqual([output, 'E_OUTPUT_KIND', 2]);
      }
    } finally {
      process.chdir(before.folder);
      process.env.HOME = before.home;
      server.close();
    }
    expect(existsSync(join(home, 'me/runs'))).toBe(true);
  });

  test('and is the root or a mount point is refused by looking', async () => {
    const root = await errorOf(locate('/'));
    const mount = await errorOf(checkOccupant(await locate('/proc'), 'folder', true));
    expect([root.code, mount.code]).toEqual(['E_OUTPUT_KIND', 'E_OUTPUT_KIND']);
    expect([root.message, mount.message]).toEqual([
      'the output / is the root folder',
      'the output /proc is a mount point, which cannot be replaced',
    ]);
  });

  test('appears while the merge runs: the first to finish wins, the second gets E_OUTPUT_EXISTS', async () => {
    for (const rename of [flaggedRename, failingRename('ENOSYS')]) {
      for (const kind of ['folder', 'file'] as const) {
        const folder = temporaryFolder();
        const output = join(folder, 'out');
        const warnings: Warning[] = [];
        const both = [await beginPublication(request(output, { kind }), { rename })];
        both.push(await beginPublication(request(output, { kind }), { rename, ...warningsInto(warnings) }));
        expect(warnings.map((w) => w.code)).toEqual(['W_STALE_PARTIAL']);
        expect(warnings[0]!.message).toMatch(/is running/);
        for (const [i, publication] of both.entries()) await writeAndJournal(publication, { out: `merge ${i}` });
        await both[1]!.finish();
        const error = await errorOf(both[0]!.finish());
        expect(error.code).toBe('E_OUTPUT_EXISTS');
        expect(await both[0]!.abandon({ keep: true })).toBe(false);
        expect(contentOf(output)).toEqual(kind === 'file' ? 'merge 1' : { out: 'merge 1' });
        expect(readdirSync(folder)).toEqual(['out']);
      }
    }
  });
});

describe('a failure', () => {
  test.each([
    ['new', flaggedRename, 'ENOSPC', 'E_NO_SPACE'],
    ['new, no rename flags', failingRename('EINVAL'), 'EDQUOT', 'E_NO_SPACE'],
    ['replaced', flaggedRename, 'EIO', 'E_IO'],
    ['replaced, no rename flags', failingRename('ENOTSUP'), 'EROFS', 'E_READ_ONLY'],
  ] as const)('of any call leaves OUT as it was and nothing beside it: %s', async (what, rename, errno, code) => {
    // Looking for a free name, and clearing up, are not what fails the merge.
    const cleaning = new Set(['rm', 'rmdir', 'unlink', 'close']);
    for (let failAt = 1, failed = true; failed; failAt++) {
      const folder = temporaryFolder();
      const output = join(folder, 'parent/out');
      const force = what.startsWith('replaced');
      if (force) {
        mkdirSync(output, { recursive: true });
        writeFileSync(join(output, 'old.safetensors'), 'old');
      }
      const before = contentOf(folder);
      failed = false;
      const warnings: Warning[] = [];
      let calls = 0;
      const fs = interceptedFs((call) => {
        if (cleaning.has(call) || ++calls !== failAt) return;
        failed = true;
        throw Object.assign(new Error(errno), { errno: -5, code: errno, syscall: call });
      });
      const error = await (async () => {
        const publication = await beginPublication(request(output, { force }), { fs, rename, ...warningsInto(warnings) });
        try {
          await writeAndJournal(publication, FILES);
          await publication.finish();
        } catch (caught) {
          await publication.abandon({ keep: false });
          throw caught;
        }
      })().catch((caught: unknown) => caught);
      if (!failed) continue;
      if (error === undefined) {
        // There was another way to the same end; or it was published, and what is left of the old one is said.
        expect(contentOf(output)).toEqual(FILES);
        expect(['', 'W_OLD_OUTPUT']).toContain(warnings.map((w) => w.code).join());
        continue;
      }
      expect(error, `call ${failAt}`).toMatchObject({ code });
      expect(contentOf(folder), `call ${failAt}`).toEqual(before);
      expect(readdirSync(folder), `call ${failAt}`).toEqual(force ? ['parent'] : []);
    }
  });

  test.each([
    ['EIO', 'folder', 'E_IO'],
    ['EINVAL', 'folder', null],
    ['ENOTSUP', 'folder', null],
    ['EINVAL', 'file', 'E_IO'],
    ['ENOSPC', 'file', 'E_NO_SPACE'],
  ] as const)('of fsync with %s on a %s gives %s', async (errno, what, code) => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'out'));
    writeFileSync(join(folder, 'out', 'old.safetensors'), 'old');
    const path = what === 'file' ? /config\.json$/ : new RegExp(`${basename(folder)}$`);
    const publication = await beginPublication(request(join(folder, 'out'), { force: true }), {
      ...hooks,
      fs: failingFs('sync', path, errno),
    });
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(publication.dir, name), text);
    if (code === null) {
      await publication.finish();
      expect(contentOf(join(folder, 'out'))).toEqual(FILES);
    } else {
      expect((await errorOf(publication.finish())).code).toBe(code);
      await publication.abandon({ keep: false });
      expect(contentOf(join(folder, 'out'))).toEqual({ 'old.safetensors': 'old' });
    }
    expect(readdirSync(folder)).toEqual(['out']);
  });

  test('of close fails the merge', async () => {
    const folder = temporaryFolder();
    const publication = await beginPublication(request(join(folder, 'out')), {
      ...hooks,
      fs: failingFs('close', /config\.json$/, 'EDQUOT'),
    });
    writeFileSync(join(publication.dir, 'config.json'), '{}');
    expect((await errorOf(publication.finish())).code).toBe('E_NO_SPACE');
    await publication.abandon({ keep: false });
    expect(readdirSync(folder)).toEqual([]);
  });

  test('to remove what was replaced is a warning: OUT is complete', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'out'));
    writeFileSync(join(folder, 'out', 'old.safetensors'), 'old');
    const warnings: Warning[] = [];
    const use = { ...hooks, ...warningsInto(warnings), fs: failingFs('unlink', /old\.safetensors$/, 'EACCES') };
    const publication = await beginPublication(request(join(folder, 'out'), { force: true }), use);
    writeFileSync(join(publication.dir, 'new'), 'new');
    await publication.finish();
    expect(contentOf(join(folder, 'out'))).toEqual({ new: 'new' });
    expect(warnings.map((w) => w.code)).toEqual(['W_OLD_OUTPUT']);
    expect(await publication.abandon({ keep: false })).toBe(false);
    expect(contentOf(join(folder, 'out'))).toEqual({ new: 'new' });
  });

  test('a read-only parent is refused before anything is made', async () => {
    const folder = temporaryFolder();
    const error = await errorOf(beginPublication(request(join(folder, 'out')), { fs: failingFs('mkdir', /partial/, 'EACCES') }));
    expect([error.code, error.exitCode]).toEqual(['E_READ_ONLY', 1]);
    expect(error.message).not.toMatch(/\n\s+at /);
  });

  test('too little space is refused before anything is made, with both figures', async () => {
    const folder = temporaryFolder();
    const error = await errorOf(beginPublication(request(join(folder, 'a/out'), { bytes: 2 ** 52 }), hooks));
    expect([error.code, error.exitCode, error.details.needed]).toEqual(['E_NO_SPACE', 6, 2 ** 52]);
    const free = Number(execFileSync(systemTool('df'), ['-B1', '--output=avail', folder], { encoding: 'utf8' }).split('\n')[1]);
    // Others write to the same disk meanwhile.
    expect(Math.abs((error.details.available as number) - free)).toBeLessThan(free * 0.2 + 1e9);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('publishes nothing where nothing was written', async () => {
    const folder = temporaryFolder();
    const publication = await beginPublication(request(join(folder, 'out')), hooks);
    expect((await errorOf(publication.finish())).code).toBe('E_INTERNAL');
    await publication.abandon({ keep: false });
    expect(readdirSync(folder)).toEqual([]);
  });
});

test('owner.json names no host, user or path', async () => {
  const folder = temporaryFolder();
  const publication = await beginPublication(request(join(folder, 'out')), { ...hooks, fs: quickFs });
  const owner = readFileSync(join(publication.partial, 'owner.json'), 'utf8');
  expect(owner).not.toContain(folder);
  expect(Object.keys(JSON.parse(owner)).sort()).toEqual(
    ['bootId', 'id', 'identity', 'identityParts', 'kind', 'name', 'parentsMade', 'pid', 'pidNamespace', 'released', 'startTime'].sort(),
  );
  await publication.abandon({ keep: false });
});
