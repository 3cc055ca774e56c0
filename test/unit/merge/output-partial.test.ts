import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { HeldFolder } from '../../../src/base/disk/held-folder.ts';
import { currentProcess, type ProcessIdentity } from '../../../src/base/disk/process-identity.ts';
import { type PublishHooks, systemOf } from '../../../src/base/disk/system.ts';
import type { Warning } from '../../../src/base/errors.ts';
import { locate } from '../../../src/merge/output/destination.ts';
import { findPartials, partialsOf, removePartial } from '../../../src/merge/output/partial.ts';
import { beginPublication } from '../../../src/merge/output/publication.ts';
import { restoreOld } from '../../../src/merge/output/replace.ts';
import type { Publication } from '../../../src/merge/output/types.ts';
import {
  ageByAnHour,
  contentOf,
  endedProcess,
  errorOf,
  failingFs,
  failingRename,
  flaggedRename,
  interceptedFs,
  otherMachine,
  quickFs,
  request,
  temporaryFolder,
  warningsInto,
  writeAndJournal,
} from '../../support/publication.ts';
import { systemTool } from '../../support/system-tool.ts';

const hooks = { rename: flaggedRename, fs: quickFs };
const UNIT = { 'a.safetensors': 'aaaa' };

/** A publication that stands still, as if its process had been killed. */
async function left(
  output: string,
  self: ProcessIdentity,
  files: Readonly<Record<string, string>> = UNIT,
  more = {},
): Promise<Publication> {
  const publication = await beginPublication(request(output, more), { ...hooks, self });
  await writeAndJournal(publication, files);
  return publication;
}

async function stateOf(output: string, use: PublishHooks = hooks): Promise<string> {
  const found = await findPartials(output, use);
  expect(found).toHaveLength(1);
  return found[0]!.state;
}

describe('an unfinished merge', () => {
  test('of this process is live, however old its heartbeat', async () => {
    const output = join(temporaryFolder(), 'out');
    const publication = await left(output, await currentProcess());
    ageByAnHour(publication.partial);
    expect(await stateOf(output)).toBe('live');
  });

  test('is stale as soon as its process has ended on this machine', async () => {
    const child = spawn('sleep', ['60']);
    const output = join(temporaryFolder(), 'out');
    const stat = readFileSync(`/proc/${child.pid}/stat`, 'latin1');
    const owner = { ...(await currentProcess()), pid: child.pid!, startTime: stat.split(') ')[1]!.split(' ')[19]! };
    await left(output, owner);
    expect(await stateOf(output)).toBe('live');
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    expect(await stateOf(output)).toBe('stale');
  });

  test('is stale when its process is a zombie, which no first process of a container reaps', async () => {
    const parent = spawn('sh', ['-c', 'sleep 1 & echo $!; exec sleep 60']);
    const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)));
    const fields = () => readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
    await vi.waitFor(() => expect(fields()[0]).toBe('Z'), { timeout: 10_000 });
    const output = join(temporaryFolder(), 'out');
    await left(output, { ...(await currentProcess()), pid, startTime: fields()[19]! });
    expect(await stateOf(output)).toBe('stale');
    parent.kill('SIGKILL');
  });

  test('is stale when its process id belongs to another process by now', async () => {
    const output = join(temporaryFolder(), 'out');
    await left(output, { ...(await currentProcess()), startTime: '1' });
    expect(await stateOf(output)).toBe('stale');
  });

  test.each([
    ['another machine or boot', { bootId: 'another' }],
    ['another container', { pidNamespace: 'pid:[1]' }],
    ['a system without /proc', { bootId: null, pidNamespace: null, startTime: null }],
  ])('of %s is in doubt until its heartbeat is a quarter of an hour behind', async (_, differing) => {
    const output = join(temporaryFolder(), 'out');
    const publication = await left(output, { ...(await endedProcess()), ...differing });
    const heartbeat = join(publication.partial, 'heartbeat');
    const beat = (minutes: number) => utimesSync(heartbeat, new Date(), new Date(Date.now() - minutes * 60_000));
    expect(await stateOf(output)).toBe('unknown');
    beat(14);
    expect(await stateOf(output)).toBe('unknown');
    beat(16);
    expect(await stateOf(output)).toBe('stale');
    // Nothing can be made there to tell the time by: in doubt.
    expect(await stateOf(output, { fs: failingFs('open', new RegExp(`probe|${basename(join(output, '..'))}$`), 'EACCES') })).toBe(
      'unknown',
    );
    expect(readdirSync(join(publication.partial, '..'))).toHaveLength(1);
  });

  test('without a readable owner is in doubt until it is old', async () => {
    const output = join(temporaryFolder(), 'out');
    for (const text of ['', '{"id":', '[]', '{"id":1}', 'null', '{} x']) {
      const publication = await left(output, await endedProcess());
      const partial = publication.partial;
      writeFileSync(join(partial, 'owner.json'), text);
      expect(await stateOf(output)).toBe('unknown');
      ageByAnHour(partial);
      expect(await stateOf(output)).toBe('stale');
      await (await beginPublication(request(output), hooks)).abandon({ keep: false });
      expect(await findPartials(output)).toEqual([]);
    }
  });

  test("whose process ended before it claimed it, or while it removed it, is nobody's", async () => {
    const folder = temporaryFolder();
    const output = join(folder, 'out');
    mkdirSync(join(folder, '.out.partial-0123456789ab'));
    expect(await findPartials(output)).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
    // The record was written, and not yet given its name.
    const publication = await left(output, await endedProcess());
    const partial = publication.partial;
    renameSync(join(partial, 'owner.json'), join(partial, 'draft-0123456789ab'));
    expect(await stateOf(output)).toBe('stale');
    await (await beginPublication(request(output), hooks)).abandon({ keep: false });
    expect(readdirSync(folder)).toEqual([]);
  });

  test("whose process ended while it wrote who it is, is nobody's", async () => {
    const folder = temporaryFolder();
    for (const text of ['', '{"id":']) {
      const partial = join(folder, '.out.partial-0123456789ab');
      mkdirSync(partial);
      writeFileSync(join(partial, 'draft-0123456789ab'), text);
      expect(await findPartials(join(folder, 'out'))).toEqual([]);
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  test.each(['ENOENT', 'ESTALE'])('that is removed while it is looked at is none, as a network file system says it: %s', async (errno) => {
    const output = join(temporaryFolder(), 'out');
    await left(output, await currentProcess());
    const gone = async () => Promise.reject(Object.assign(new Error(`${errno}: injected`), { errno: -1, code: errno, syscall: 'scandir' }));
    expect(await findPartials(output, { ...hooks, fs: { ...quickFs, readdir: gone as typeof quickFs.readdir } })).toEqual([]);
    const opening = interceptedFs(() => {});
    const open: typeof quickFs.open = async (path, ...how) => {
      const handle = await opening.open(path, ...how);
      return String(path).includes('.partial-')
        ? new Proxy(handle, { get: (of, key) => (key === 'stat' ? gone : Reflect.get(of, key)) })
        : handle;
    };
    expect(await findPartials(output, { ...hooks, fs: { ...quickFs, open } })).toEqual([]);
    expect(await stateOf(output)).toBe('live');
  });

  test('keeps the record of who is at it until all else is removed', async () => {
    const output = join(temporaryFolder(), 'out');
    const publication = await left(output, await currentProcess());
    const partial = publication.partial;
    const seen: string[][] = [];
    const looking = interceptedFs((call) => {
      if (call === 'unlink' || call === 'rmdir') seen.push(readdirSync(partial));
    });
    const system = systemOf({ fs: looking });
    await removePartial(system, await HeldFolder.open(system, partial));
    expect(seen.length).toBeGreaterThan(2);
    // The last call removes the folder itself.
    expect(seen.pop()).toEqual([]);
    expect(seen.every((names) => names.includes('owner.json'))).toBe(true);
    expect(seen.at(-1)).toEqual(['owner.json']);
    expect(existsSync(partial)).toBe(false);
  });

  test('let go of on a signal can be continued at once, from anywhere', async () => {
    const output = join(temporaryFolder(), 'out');
    const publication = await left(output, otherMachine);
    expect(await publication.abandon({ keep: true })).toBe(true);
    expect(await stateOf(output)).toBe('stale');
  });

  test('is not kept on a signal without a finished unit, or without fsync', async () => {
    const folder = temporaryFolder();
    const nothing = await left(join(folder, 'a'), await currentProcess(), {});
    expect(await nothing.abandon({ keep: true })).toBe(false);
    const unsafe = await left(join(folder, 'b'), await currentProcess(), UNIT, { unsafeNoSync: true });
    expect(await unsafe.abandon({ keep: true })).toBe(false);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('that is stale is reported and removed by a plain run; others are named and left', async () => {
    const folder = temporaryFolder();
    const output = join(folder, 'out');
    const living = await left(output, await currentProcess());
    const distant = await left(output, otherMachine);
    const dead = await left(output, await endedProcess());
    const another = await left(join(folder, 'other'), await endedProcess());
    const warnings: Warning[] = [];
    const publication = await beginPublication(request(output), { ...hooks, ...warningsInto(warnings) });
    const there = (p: Publication) => existsSync(join(p.partial, 'payload'));
    expect([living, distant, dead, another].map(there)).toEqual([true, true, false, true]);
    expect(warnings.map((w) => w.code)).toEqual(['W_STALE_PARTIAL', 'W_STALE_PARTIAL', 'W_STALE_PARTIAL']);
    const about = (p: Publication) => warnings.find((w) => w.message.includes(p.partial))?.message;
    expect(about(dead)).toMatch(/1 finished part.*was removed.*`resume` would have continued it/s);
    expect(about(living)).toMatch(/is running.*left alone/);
    expect(about(distant)).toMatch(/may be running.*left alone/);
    await publication.abandon({ keep: false });
  });

  test('is not taken for one by a name that only looks alike', async () => {
    const folder = temporaryFolder();
    for (const name of ['.out.partial-xyz', '.out.partial-0123456789abc', '.out2.partial-0123456789ab', 'out.partial-0123456789ab'])
      mkdirSync(join(folder, name));
    expect(await findPartials(join(folder, 'out'))).toEqual([]);
    expect(await findPartials(join(folder, 'not/there'))).toEqual([]);
    const publication = await left(join(folder, 'new'), await endedProcess());
    const owner = join(publication.partial, 'owner.json');
    writeFileSync(owner, readFileSync(owner, 'utf8').replace('"name": "new"', '"name": "newer"'));
    expect(await findPartials(join(folder, 'new'))).toEqual([]);
  });

  test('counts as free space for the run that replaces it', async () => {
    const folder = temporaryFolder();
    const output = join(folder, 'out');
    const dead = await left(output, await endedProcess());
    writeFileSync(join(dead.dir, 'big'), Buffer.alloc(8 << 20));
    const statfs = async () => ({ blocks: 100, bavail: 1, bsize: 4096 });
    const fs = new Proxy(quickFs, { get: (target, name) => (name === 'statfs' ? statfs : Reflect.get(target, name)) });
    const use = { ...hooks, fs };
    expect((await errorOf(beginPublication(request(output, { bytes: 9 << 20 }), use))).code).toBe('E_NO_SPACE');
    expect(existsSync(dead.partial)).toBe(true);
    await (await beginPublication(request(output, { bytes: 8 << 20 }), use)).abandon({ keep: false });
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('resume', () => {
  const resume = (output: string, more = {}, use: PublishHooks = hooks) =>
    beginPublication(request(output, { resume: true, ...more }), use);

  test('gives the finished units, keeps their files and publishes the whole', async () => {
    const folder = temporaryFolder();
    const output = join(folder, 'x/out');
    await left(output, await endedProcess(), { 'a.safetensors': 'aaaa', 'b.safetensors': 'bb' });
    const publication = await resume(output);
    expect([...publication.finished]).toEqual([
      ['a.safetensors:0-4', { file: 'a.safetensors', start: 0, end: 4, crc: 7, nonfinite: [] }],
      ['b.safetensors:0-2', { file: 'b.safetensors', start: 0, end: 2, crc: 7, nonfinite: [] }],
    ]);
    await writeAndJournal(publication, { 'c.safetensors': 'c' });
    await publication.finish();
    expect(contentOf(output)).toEqual({ 'a.safetensors': 'aaaa', 'b.safetensors': 'bb', 'c.safetensors': 'c' });
    expect(readdirSync(join(folder, 'x'))).toEqual(['out']);
  });

  test('can itself be interrupted and resumed, and abandoned with the parents that the first run made', async () => {
    const folder = temporaryFolder();
    const output = join(folder, 'x/y/out');
    const first = await left(output, await currentProcess());
    expect(await first.abandon({ keep: true })).toBe(true);
    const second = await resume(output);
    await writeAndJournal(second, { 'b.safetensors': 'b' });
    expect(await second.abandon({ keep: true })).toBe(true);
    const third = await resume(output);
    expect([...third.finished.keys()]).toEqual(['a.safetensors:0-4', 'b.safetensors:0-1']);
    await third.abandon({ keep: false });
    expect(readdirSync(folder)).toEqual([]);
  });

  test('of several takes the one with the most done', async () => {
    const output = join(temporaryFolder(), 'out');
    // Of three machines, since a plain run on one would have removed what an earlier run on it left.
    const machine = (bootId: string) => ({ ...otherMachine, bootId });
    await left(output, machine('1'), { 'a.safetensors': 'a' });
    await left(output, machine('2'), { 'b.safetensors': 'bbb' });
    await left(output, machine('3'), { 'c.safetensors': 'cc' });
    for (const partial of await findPartials(output)) ageByAnHour(partial.path);
    const warnings: Warning[] = [];
    const publication = await resume(output, {}, { ...hooks, ...warningsInto(warnings) });
    expect([...publication.finished.keys()]).toEqual(['b.safetensors:0-3']);
    expect(warnings).toHaveLength(2);
    expect(await findPartials(output)).toHaveLength(3);
  });

  test.each([
    ['nothing is there', async () => {}, []],
    ['no unit is finished', async (o: string) => void (await left(o, await endedProcess(), {})), []],
    [
      'it was another merge',
      async (o: string) =>
        void (await left(o, await endedProcess(), UNIT, {
          identity: 'recipe-2',
          identityParts: { weights: 'w', 'checkpoint-1': 'f1', dtype: 'F32' },
        })),
      [/left alone: .* is of another merge; these differ: weights \(was w, is v\), checkpoint-2\. Remove it/],
    ],
    [
      'it was of the other kind',
      async (o: string) => void (await left(o, await endedProcess(), UNIT, { kind: 'file' })),
      [/left alone: .* is of another merge/],
    ],
  ])('begins where %s, and leaves what is another merge’s', async (_, prepare, said) => {
    const folder = temporaryFolder();
    const output = join(folder, 'out');
    await prepare(output);
    const before = (await findPartials(output)).filter(({ units }) => units.size > 0).map(({ path }) => path);
    const warnings: Warning[] = [];
    const parts = { weights: 'v', 'checkpoint-1': 'f1', 'checkpoint-2': 'f2', dtype: 'F32' };
    const publication = await resume(output, { identityParts: parts }, { ...hooks, ...warningsInto(warnings) });
    expect(publication.finished.size).toBe(0);
    await writeAndJournal(publication, UNIT);
    await publication.finish();
    expect(contentOf(output)).toEqual(UNIT);
    expect((await findPartials(output)).map(({ path }) => path)).toEqual(before);
    expect(warnings.map(({ message }) => message)).toEqual(said.map((text) => expect.stringMatching(text)));
  });

  test('is told to wait where the merge runs or may run', async () => {
    for (const self of [await currentProcess(), otherMachine]) {
      const output = join(temporaryFolder(), 'out');
      await left(output, self);
      const error = await errorOf(resume(output));
      expect([error.code, error.exitCode]).toEqual(['E_BUSY', 75]);
    }
  });

  test('by several at once is won by one', async () => {
    const output = join(temporaryFolder(), 'out');
    for (const noLinks of [false, true]) {
      await left(output, await endedProcess());
      const use = noLinks ? { ...hooks, fs: failingFs('link', /./, 'EPERM') } : hooks;
      const results = await Promise.allSettled([1, 2, 3, 4, 5].map(() => resume(output, {}, use)));
      const won = results.flatMap((r) => (r.status === 'fulfilled' ? [r.value] : []));
      const lost = results.flatMap((r) => (r.status === 'rejected' ? [r.reason.code] : []));
      expect([won.length, lost]).toEqual([1, ['E_BUSY', 'E_BUSY', 'E_BUSY', 'E_BUSY']]);
      await won[0]!.abandon({ keep: false });
    }
  });

  test('while a process that stood still wakes up: it does not publish what it lost', async () => {
    const output = join(temporaryFolder(), 'out');
    const sleeper = await left(output, otherMachine);
    ageByAnHour(sleeper.partial);
    const taker = await resume(output);
    expect((await errorOf(sleeper.finish())).code).toBe('E_BUSY');
    expect(await sleeper.abandon({ keep: false })).toBe(false);
    await taker.finish();
    expect(contentOf(output)).toEqual(UNIT);
  });
});

describe('a journal', () => {
  async function finishedAfter(damage: (journal: string, dir: string) => void): Promise<string[]> {
    const output = join(temporaryFolder(), 'out');
    const publication = await left(output, await endedProcess(), { 'a.safetensors': 'aaaa', 'b.safetensors': 'bb', 'c.safetensors': 'c' });
    damage(join(publication.partial, 'journal.ndjson'), publication.dir);
    const resumed = await beginPublication(request(output, { resume: true }), hooks);
    const keys = [...resumed.finished.keys()];
    // What comes after the damage is readable again.
    await writeAndJournal(resumed, { 'd.safetensors': 'dddd' });
    await resumed.abandon({ keep: true });
    const again = await beginPublication(request(output, { resume: true }), hooks);
    expect([...again.finished.keys()]).toEqual([...keys, 'd.safetensors:0-4']);
    await again.abandon({ keep: false });
    return keys.map((key) => key[0]!);
  }

  test('is one JSON object a line', async () => {
    const publication = await left(join(temporaryFolder(), 'out'), await currentProcess());
    expect(readFileSync(join(publication.partial, 'journal.ndjson'), 'utf8')).toBe(
      '{"file":"a.safetensors","start":0,"end":4,"crc":7,"nonfinite":[]}\n',
    );
  });

  test('torn in its last line gives the lines before', async () => {
    for (const cut of [1, 2, 20, 45])
      expect(await finishedAfter((journal) => truncateSync(journal, readFileSync(journal).length - cut))).toEqual(['a', 'b']);
  });

  test.each([
    ['text', 'x'],
    ['zeros', '\0\0\0\0\n'],
    ['a path out of the folder', '{"file":"../x","start":0,"end":1,"crc":1,"nonfinite":[]}\n'],
    ['a path through the folder', '{"file":"a/../../x","start":0,"end":1,"crc":1,"nonfinite":[]}\n'],
    ['an absolute path', '{"file":"/etc/hosts","start":0,"end":1,"crc":1,"nonfinite":[]}\n'],
    ['an empty range', '{"file":"a.safetensors","start":1,"end":1,"crc":1,"nonfinite":[]}\n'],
    ['a negative number', '{"file":"a.safetensors","start":-1,"end":1,"crc":1,"nonfinite":[]}\n'],
    ['a fraction', '{"file":"a.safetensors","start":0,"end":1.5,"crc":1,"nonfinite":[]}\n'],
    ['a crc of 33 bits', '{"file":"a.safetensors","start":0,"end":1,"crc":4294967296,"nonfinite":[]}\n'],
    ['a count that is none', '{"file":"a.safetensors","start":0,"end":1,"crc":1,"nonfinite":[{"row":0}]}\n'],
    ['null', 'null\n'],
  ])('with %s in it is believed up to there', async (_, garbage) => {
    expect(
      await finishedAfter((journal) => {
        const lines = readFileSync(journal, 'utf8').split(/(?<=\n)/);
        writeFileSync(journal, `${lines[0]}${garbage}${lines[1]}${lines[2]}`);
      }),
    ).toEqual(['a']);
  });

  test('is not believed about a file that is shorter or gone', async () => {
    expect(await finishedAfter((_, dir) => truncateSync(join(dir, 'b.safetensors'), 1))).toEqual(['a', 'c']);
    expect(await finishedAfter((_, dir) => renameSync(join(dir, 'a.safetensors'), join(dir, 'z')))).toEqual(['b', 'c']);
  });

  test('takes units in parallel, a line each', async () => {
    const publication = await left(join(temporaryFolder(), 'out'), await currentProcess(), {});
    writeFileSync(join(publication.dir, 'a.safetensors'), 'x'.repeat(100));
    await Promise.all(
      Array.from({ length: 100 }, (_, i) => publication.journal({ file: 'a.safetensors', start: i, end: i + 1, crc: i, nonfinite: [] })),
    );
    const lines = readFileSync(join(publication.partial, 'journal.ndjson'), 'utf8').trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).crc)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  test('that cannot be written fails the unit', async () => {
    const folder = temporaryFolder();
    const publication = await beginPublication(request(join(folder, 'out')), {
      ...hooks,
      fs: failingFs('appendFile', /journal/, 'ENOSPC'),
    });
    writeFileSync(join(publication.dir, 'a'), 'a');
    expect((await errorOf(publication.journal({ file: 'a', start: 0, end: 1, crc: 0, nonfinite: [] }))).code).toBe('E_NO_SPACE');
    await publication.abandon({ keep: true });
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('journals of several writers', () => {
  const line = (file: string, crc = 7) => `${JSON.stringify({ file, start: 0, end: 1, crc, nonfinite: [] })}\n`;
  /** A partial whose process ended, with these journals beside the payload. */
  async function leftWith(journals: Readonly<Record<string, string>>): Promise<{ output: string; partial: string }> {
    const output = join(temporaryFolder(), 'out');
    const publication = await left(output, await endedProcess(), {});
    for (const name of 'abcd') writeFileSync(join(publication.dir, name), name);
    const partial = publication.partial;
    for (const [name, text] of Object.entries(journals)) writeFileSync(join(partial, name), text);
    return { output, partial };
  }
  const keysOf = async (output: string) =>
    [...(await findPartials(output, hooks))[0]!.units.keys()]
      .map((key) => key[0])
      .sort()
      .join('');

  test('count together, each up to its own torn line', async () => {
    const { output } = await leftWith({
      'journal.ndjson': `${line('a')}{"file":"b`,
      'journal-1.ndjson': line('b'),
      'journal-node_7.ndjson': `${line('c')}\0\0\n${line('d')}`,
    });
    expect(await keysOf(output)).toBe('abc');
  });

  test('are those with the name of one', async () => {
    const names = ['journal-.ndjson', 'journal-a b.ndjson', 'journal-1.ndjson.tmp', 'xjournal.ndjson', 'journal1.ndjson'];
    const { output } = await leftWith({ 'journal-1.ndjson': line('a'), ...Object.fromEntries(names.map((name) => [name, line('b')])) });
    expect(await keysOf(output)).toBe('a');
  });

  test('are regular files: nobody waits for the writer of a FIFO', async () => {
    const { output, partial } = await leftWith({ 'journal-1.ndjson': line('a') });
    execFileSync(systemTool('mkfifo'), [join(partial, 'journal-2.ndjson')]);
    mkdirSync(join(partial, 'journal-3.ndjson'));
    expect(await keysOf(output)).toBe('a');
  });

  test('that made the same unit agree, or are not believed about it', async () => {
    const { output } = await leftWith({
      'journal-1.ndjson': line('a') + line('b') + line('c'),
      'journal-2.ndjson': line('a') + line('b', 8),
      'journal-3.ndjson': line('b'),
    });
    expect(await keysOf(output)).toBe('ac');
  });

  test('are written by their own writers only', async () => {
    const torn = { 'journal.ndjson': `${line('a')}{"fi`, 'journal-1.ndjson': `${line('b')}{"fi` };
    const { output, partial } = await leftWith(torn);
    const journals = () => Object.keys(torn).map((name) => readFileSync(join(partial, name), 'utf8'));
    const first = await beginPublication(request(output, { resume: true, writer: '1' }), hooks);
    await first.journal({ file: 'c', start: 0, end: 1, crc: 7, nonfinite: [] });
    expect(journals()).toEqual([torn['journal.ndjson'], line('b') + line('c')]);
    await first.abandon({ keep: true });
    const second = await beginPublication(request(output, { resume: true, writer: '2' }), hooks);
    await second.journal({ file: 'd', start: 0, end: 1, crc: 7, nonfinite: [] });
    expect(journals()).toEqual([torn['journal.ndjson'], line('b') + line('c')]);
    expect(readFileSync(join(partial, 'journal-2.ndjson'), 'utf8')).toBe(line('d'));
    expect([...second.finished.keys()].map((key) => key[0]).sort()).toEqual(['a', 'b', 'c']);
    await second.finish();
    expect(contentOf(output)).toEqual({ a: 'a', b: 'b', c: 'c', d: 'd' });
  });
});

describe('an OUT left aside by an interrupted replacement', () => {
  const ID = '0123456789ab';
  function interrupted(folder: string): string {
    mkdirSync(join(folder, `.out.old-${ID}`));
    writeFileSync(join(folder, `.out.old-${ID}`, 'old'), 'old');
    return join(folder, 'out');
  }
  async function restoreInterrupted(output: string, hooks: PublishHooks): Promise<void> {
    const destination = await locate(output);
    const system = systemOf(hooks);
    await restoreOld(destination, system, await partialsOf(destination, system, hooks));
  }

  test.each([
    ['with rename flags', flaggedRename],
    ['without', failingRename('ENOTSUP')],
  ])('is restored, %s', async (_, rename) => {
    const folder = temporaryFolder();
    const output = interrupted(folder);
    const warnings: Warning[] = [];
    await restoreInterrupted(output, { ...hooks, rename, ...warningsInto(warnings) });
    expect(contentOf(output)).toEqual({ old: 'old' });
    expect(readdirSync(folder)).toEqual(['out']);
    expect(warnings.map((w) => w.code)).toEqual(['W_RESTORED']);
  });

  test('is then refused like any other OUT', async () => {
    const folder = temporaryFolder();
    const error = await errorOf(beginPublication(request(interrupted(folder)), hooks));
    expect(error.code).toBe('E_OUTPUT_EXISTS');
    expect(contentOf(folder)).toEqual({ 'out/old': 'old' });
  });

  test('is left alone while the replacement may still be going on', async () => {
    for (const self of [await currentProcess(), otherMachine]) {
      const folder = temporaryFolder();
      const publication = await left(join(folder, 'out'), self);
      const id = publication.partial.slice(-12);
      mkdirSync(join(folder, `.out.old-${id}`));
      await restoreInterrupted(join(folder, 'out'), hooks);
      expect(contentOf(join(folder, 'out'))).toBeNull();
    }
  });

  test('is kept and named where another OUT has come', async () => {
    const folder = temporaryFolder();
    const output = interrupted(folder);
    mkdirSync(output);
    writeFileSync(join(output, 'mine'), 'mine');
    const warnings: Warning[] = [];
    await restoreInterrupted(output, { ...hooks, ...warningsInto(warnings) });
    expect(contentOf(folder)).toEqual({ [`.out.old-${ID}/old`]: 'old', 'out/mine': 'mine' });
    expect(warnings.map((w) => w.code)).toEqual(['W_STALE_PARTIAL']);
  });
});

test('a heartbeat moves the time of its file', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  try {
    const publication = await left(join(temporaryFolder(), 'out'), await currentProcess());
    const heartbeat = join(publication.partial, 'heartbeat');
    utimesSync(heartbeat, 1, 1);
    vi.advanceTimersByTime(30_000);
    await vi.waitFor(() => expect(Date.now() - statSync(heartbeat).mtimeMs).toBeLessThan(600_000), { timeout: 10_000 });
    await publication.abandon({ keep: false });
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});
