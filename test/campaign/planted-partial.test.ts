import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canBeAnother, FOREIGN, giveAway, INSIDE, leftOf, markReleased, partialName, pictureOf, secretIn } from '../support/attacker.ts';
import { checkpoints, contentOf, hiddenBeside, removeCheckpoints, run } from '../support/faults-merge.ts';

afterAll(removeCheckpoints);

interface Said {
  readonly code?: string;
  readonly message?: string;
  readonly resumedBytes?: number;
  readonly warnings: readonly { readonly code: string; readonly message: string }[];
}

const saidBy = ({ stdout }: { readonly stdout: string }): Said => JSON.parse(stdout) as Said;

/** A merge of which a killed run left two finished parts, aside. */
async function interrupted() {
  const place = checkpoints();
  const words = ['average', ...place.inputs, '-o', place.out];
  const left = await leftOf(words, place.out, join(place.folder, 'aside', 'left'));
  markReleased(left);
  return { ...place, words, left, secret: secretIn(place.folder) };
}

describe.skipIf(!canBeAnother())('what others planted beside OUT', () => {
  let wanted: Record<string, string>;
  let place: Awaited<ReturnType<typeof interrupted>>;
  let foreign: string[];
  let before: Record<string, string>;

  const picture = (): Record<string, string> =>
    Object.assign({}, ...[...foreign, dirname(place.secret), place.left].map((path) => pictureOf(path)));

  beforeAll(async () => {
    const whole = checkpoints();
    expect((await run('average', ...whole.inputs, '-o', whole.out)).code).toBe(0);
    wanted = contentOf(whole.out);
    place = await interrupted();
    chmodSync(place.folder, 0o777);
    foreign = Object.values(FOREIGN).map((plant) => {
      const path = partialName(place.out);
      plant(path, place);
      return path;
    });
    before = picture();
  });

  it('is never resumed, and said to be left alone', async () => {
    const said = saidBy(await run(...place.words, '--resume', '--json'));
    expect(said.code).toBeUndefined();
    expect(said.resumedBytes).toBe(0);
    const left = said.warnings.filter(({ code }) => code === 'W_STALE_PARTIAL').map(({ message }) => message);
    for (const path of foreign) expect(left.filter((message) => message.includes(basename(path)))).toHaveLength(1);
    for (const message of left) expect(message).toContain('is left alone');
    expect(contentOf(place.out)).toEqual(wanted);
    rmSync(place.out, { recursive: true });
    expect(picture()).toEqual(before);
    expect(hiddenBeside(place.out)).toHaveLength(foreign.length);
  });

  it('does not keep a merge from its OUT, and stays as it is', async () => {
    const said = saidBy(await run(...place.words, '--json'));
    expect(said.code).toBeUndefined();
    const left = said.warnings.filter(({ code }) => code === 'W_STALE_PARTIAL').map(({ message }) => message);
    for (const path of foreign) expect(left.filter((message) => message.includes(basename(path)))).toHaveLength(1);
    for (const message of left) expect(message).toContain('is left alone');
    expect(contentOf(place.out)).toEqual(wanted);
    expect(picture()).toEqual(before);
    expect(hiddenBeside(place.out)).toHaveLength(foreign.length);
    expect(statSync(place.out).uid).toBe(process.getuid!());
  });

  it('does not keep --resume from going on with what is this user’s own', async () => {
    const fresh = await interrupted();
    for (const plant of Object.values(FOREIGN)) plant(partialName(fresh.out), fresh);
    INSIDE['heartbeat a link']!(partialName(fresh.out), fresh);
    const said = saidBy(await run(...fresh.words, '--resume', '--json'));
    expect(said.code).toBeUndefined();
    expect(said.resumedBytes).toBeGreaterThan(0);
    expect(contentOf(fresh.out)).toEqual(wanted);
  });

  it('of an own folder is removed with its links, and nothing that they lead to', async () => {
    const fresh = await interrupted();
    const outside = () => ({ ...pictureOf(dirname(fresh.secret)), ...pictureOf(fresh.left) });
    for (const plant of Object.values(INSIDE)) plant(partialName(fresh.out), fresh);
    const was = outside();
    const said = saidBy(await run(...fresh.words, '--json'));
    expect(said.code).toBeUndefined();
    expect(contentOf(fresh.out)).toEqual(wanted);
    expect(outside()).toEqual(was);
    // One that does not say whose it is may still be at work.
    for (const { message } of said.warnings.filter(({ code }) => code === 'W_STALE_PARTIAL'))
      expect(message).toMatch(/was removed, to start afresh|is left alone/);
  });

  it('as an earlier OUT is never restored, and never in the way', async () => {
    const { inputs, out, folder } = checkpoints();
    const words = ['average', ...inputs, '-o', out, '--json'];
    const stolen = partialName(out, 'old');
    mkdirSync(stolen);
    writeFileSync(join(stolen, 'model.safetensors'), 'evil');
    giveAway(stolen);
    const link = partialName(out, 'old');
    symlinkSync(stolen, link);
    const file = partialName(out, 'old');
    writeFileSync(file, 'evil');
    const all = () => ({ ...pictureOf(stolen), ...pictureOf(link), ...pictureOf(file) });
    const was = all();
    for (const more of [[], ['--force'], ['--force', '--resume']]) {
      const said = saidBy(await run(...words, ...more));
      expect(said.code).toBeUndefined();
      // A resume finds the output there and looks at nothing else.
      if (!more.includes('--resume')) {
        const left = said.warnings.filter(({ code }) => code === 'W_STALE_PARTIAL');
        for (const path of [stolen, link, file]) expect(left.some(({ message }) => message.includes(basename(path)))).toBe(true);
      }
      expect(contentOf(out)).toEqual(wanted);
      expect(all()).toEqual(was);
    }
    expect(readdirSync(folder).filter((name) => name.startsWith('.out'))).toHaveLength(3);
  });
});

describe('finished parts that somebody changed', () => {
  it('are made anew and told; what is checked is shown', async () => {
    const whole = checkpoints();
    expect((await run('average', ...whole.inputs, '-o', whole.out)).code).toBe(0);
    const { out, left, words } = await interrupted();
    const partial = partialName(out);
    renameSync(left, partial);
    const [shard] = readdirSync(join(partial, 'payload')).sort();
    const file = join(partial, 'payload', shard!);
    const bytes = readFileSync(file);
    bytes.writeUInt32LE((bytes.readUInt32LE(bytes.length - 8) ^ 0xffff_ffff) >>> 0, bytes.length - 8);
    writeFileSync(file, bytes);

    const { code, stdout, stderr } = await run(...words, '--resume', '--json', '--progress', 'json');
    expect(code).toBe(0);
    const said = JSON.parse(stdout) as Said;
    const changed = said.warnings.find((warning) => warning.code === 'W_PART_CHANGED');
    expect(changed?.message).toContain(shard);
    expect(changed?.message).toMatch(/1 of \d finished parts/);
    expect(stderr).toContain('W_PART_CHANGED');
    expect(stderr).toMatch(/"phase":"check"/);
    expect(contentOf(out)).toEqual(contentOf(whole.out));
    expect(readFileSync(join(out, 'merge_provenance.json'), 'utf8')).toContain('W_PART_CHANGED');
  });
});

describe('modes', () => {
  it.each([0o022, 0o002, 0o077])('of the umask %o are those of OUT; until then only this user may look', async (umask) => {
    const { inputs, out, folder } = checkpoints();
    mkdirSync(join(folder, 'shared'));
    const grouped = process.getuid?.() === 0;
    if (grouped) {
      chownSync(join(folder, 'shared'), process.getuid!(), 4242);
    }
    chmodSync(join(folder, 'shared'), 0o2775);
    const target = join(folder, 'shared', basename(out));
    const before = process.umask(umask);
    try {
      const left = await leftOf(['average', ...inputs, '-o', target], target, join(folder, 'shared', 'left'));
      expect(lstatSync(left).mode & 0o777).toBe(0o700);
      expect((await run('average', ...inputs, '-o', target)).code).toBe(0);
    } finally {
      process.umask(before);
    }
    expect(lstatSync(target).mode & 0o777).toBe(0o777 & ~umask);
    for (const name of readdirSync(target)) expect([name, lstatSync(join(target, name)).mode & 0o777]).toEqual([name, 0o666 & ~umask]);
    if (!grouped) return;
    expect(lstatSync(target).gid).toBe(4242);
    expect(lstatSync(target).mode & 0o2000).toBe(0o2000);
    for (const name of readdirSync(target)) expect(lstatSync(join(target, name)).gid).toBe(4242);
  });
});
