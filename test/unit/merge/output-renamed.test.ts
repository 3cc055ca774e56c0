import { mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Warning } from '../../../src/base/errors.ts';
import { beginPublication } from '../../../src/merge/output/publication.ts';
import { reportFile } from '../../../src/merge/output/report-file.ts';
import {
  ageByAnHour,
  contentOf,
  endedProcess,
  errorOf,
  failingRename,
  flaggedRename,
  interceptedFs,
  quickFs,
  request,
  temporaryFolder,
  warningsInto,
  writeAndJournal,
} from '../../support/publication.ts';

// In a folder where others may write (and that is not sticky), they cannot make anything that belongs to this
// user, but they can rename what does: a folder full of work gets the name of something that this program
// would remove.

const hooks = { rename: flaggedRename, fs: quickFs };
const THESIS = { 'thesis.tex': 'years', 'chapters/one.tex': 'of work' };

function thesis(path: string): string {
  mkdirSync(join(path, 'chapters'), { recursive: true, mode: 0o755 });
  for (const [name, text] of Object.entries(THESIS)) writeFileSync(join(path, name), text);
  return path;
}

async function publish(output: string, more = {}, use = {}): Promise<void> {
  const publication = await beginPublication(request(output, more), { ...hooks, ...use });
  try {
    await writeAndJournal(publication, { 'model.safetensors': 'new' });
    await publication.finish();
  } catch (error) {
    await publication.abandon({ keep: false });
    throw error;
  }
}

const files = (path: string) => contentOf(path);

describe('work that got a name of this program’s', () => {
  test('as an unfinished merge is neither removed nor resumed', async () => {
    const output = join(temporaryFolder(), 'out');
    const path = thesis(join(dirname(output), '.out.partial-0123456789ab'));
    ageByAnHour(path);
    const warnings: Warning[] = [];
    await publish(output, { resume: true }, warningsInto(warnings));
    await publish(output, { force: true }, warningsInto(warnings));
    expect(files(path)).toEqual(THESIS);
    const said = expect.stringMatching(/\.out\.partial-0123456789ab .*left alone/);
    expect(warnings.map(({ message }) => message)).toEqual([said, said]);
  });

  test('beside the records of a merge stays, whatever ended', async () => {
    const output = join(temporaryFolder(), 'out');
    const self = await endedProcess();
    const publication = await beginPublication(request(output), { ...hooks, self });
    await writeAndJournal(publication, { 'a.safetensors': 'aaaa' });
    writeFileSync(join(publication.partial, 'thesis.tex'), 'years');
    await publish(output);
    expect(readFileSync(join(publication.partial, 'thesis.tex'), 'utf8')).toBe('years');
  });

  test('the moment that an unfinished merge was begun is not worked in', async () => {
    const output = join(temporaryFolder(), 'out');
    const path = thesis(join(dirname(output), 'thesis'));
    let swapped = '';
    const fs = interceptedFs((call, where) => {
      if (call !== 'open' || !basename(where).startsWith('.out.partial-') || swapped !== '') return;
      swapped = where;
      renameSync(where, `${where}-aside`);
      renameSync(path, where);
    });
    expect((await errorOf(publish(output, {}, { fs }))).code).toBe('E_OTHER_USER');
    expect(files(swapped)).toEqual(THESIS);
  });

  test('as an earlier OUT is not removed, though a merge with that id was interrupted', async () => {
    const output = join(temporaryFolder(), 'out');
    await publish(output);
    const publication = await beginPublication(request(output, { force: true }), { ...hooks, self: await endedProcess() });
    const old = publication.partial.replace('.partial-', '.old-');
    thesis(old);
    const warnings: Warning[] = [];
    await publish(output, { force: true }, warningsInto(warnings));
    expect(files(old)).toEqual(THESIS);
    expect(warnings.map(({ message }) => message).join('\n')).toContain(basename(old));
  });

  test('in place of the OUT that is being replaced, where names cannot be exchanged, is not removed', async () => {
    const output = join(temporaryFolder(), 'out');
    await publish(output);
    const path = thesis(join(dirname(output), 'thesis'));
    let old = '';
    const fs = interceptedFs((call) => {
      if ((call !== 'unlink' && call !== 'rmdir') || old !== '') return;
      // After the last look at what is replaced, and before any of it is removed.
      const name = readdirSync(dirname(output)).find((there) => there.startsWith('.out.old-'));
      if (name === undefined) return;
      old = join(dirname(output), name);
      renameSync(old, `${old}-aside`);
      renameSync(path, old);
    });
    await publish(output, { force: true }, { rename: failingRename('EINVAL'), fs });
    expect(files(old)).toEqual(THESIS);
    expect(files(output)).toEqual({ 'model.safetensors': 'new' });
  });

  test('in OUT at the last moment is put back, or, where it cannot be, left where it is', async () => {
    const output = join(temporaryFolder(), 'out');
    await publish(output);
    let calls = 0;
    const rename: typeof flaggedRename = (from, to, how) => {
      if (how === 'exchange' && ++calls === 1) {
        renameSync(output, `${output}-aside`);
        thesis(output);
      } else if (how === 'exchange') throw Object.assign(new Error('gone'), { errno: 'ENOENT', code: 'E_IO' });
      flaggedRename(from, to, how);
    };
    const error = await errorOf(publish(output, { force: true }, { rename }));
    expect(calls).toBe(2);
    const places = readdirSync(dirname(output), { recursive: true, encoding: 'utf8' });
    const place = places.find((name) => basename(name) === 'thesis.tex');
    expect(place).toBeDefined();
    expect(files(dirname(join(dirname(output), place!)))).toEqual(THESIS);
    expect(error.message).toContain(dirname(place!));
  });
});

describe('a page at the last moment', () => {
  test.each(['a page of somebody else', 'a folder', 'a link'])('does not replace %s', async (what) => {
    const folder = temporaryFolder();
    const path = join(folder, 'report.html');
    const own = '<meta name="generator" content="ckpt-merge 0.1.0">older';
    writeFileSync(path, own);
    const page = await reportFile(path, true);
    renameSync(path, join(folder, 'aside'));
    if (what === 'a folder') thesis(path);
    else if (what === 'a link') symlinkSync(thesis(join(folder, 'thesis')), path);
    else writeFileSync(path, 'thesis');
    const before = files(path);
    const error = await errorOf(page.write('new'));
    expect(error.code).toBe('E_OUTPUT_KIND');
    expect(files(path)).toEqual(before);
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

test('thousands of planted names take no time, and few words', async () => {
  const output = join(temporaryFolder(), 'out');
  for (let i = 0; i < 3000; i++) {
    for (const kind of ['partial', 'old']) {
      const path = join(dirname(output), `.out.${kind}-${i.toString(16).padStart(12, '0')}`);
      if (i % 3 === 0 && kind === 'partial') writeFileSync(path, '');
      else symlinkSync('/not/there', path);
    }
  }
  const warnings: Warning[] = [];
  const start = Date.now();
  await publish(output, {}, warningsInto(warnings));
  expect(Date.now() - start).toBeLessThan(20_000);
  expect(warnings.length).toBeLessThan(60);
});
