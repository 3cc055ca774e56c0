import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asideOf } from '../../src/checkpoints/run/set-aside.ts';
import { lookOf } from '../../src/upkeep/keep/look-of.ts';
import { replacementScript } from '../../src/upkeep/strip/script.ts';
import type { StrippedSave, UnfinishedSave } from '../../src/upkeep/strip/types.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { treeOf } from '../support/hostile-case.ts';

let folder: ReturnType<typeof temporaryFolder>;
const at = (...parts: string[]) => join(folder.path, ...parts);
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const FOLDERS = ['checkpoint-100', "it's\u001b'; touch PWNED; #-200", 'new\nline-300', '-rf-400'];
const FILES = ['step-100', '$(touch PWNED)-200'];

const made = Date.now();

/** A run of saves that have copies, as `strip` leaves them. */
async function saves(files = false, most = FOLDERS.length): Promise<StrippedSave[]> {
  for (const home of ['run', 'copies']) mkdirSync(at(home), { recursive: true });
  const all = (files ? FILES : FOLDERS).slice(0, most).map(async (name, i): Promise<StrippedSave> => {
    const save = files ? `run/${name}.pt` : `run/${name}`;
    const copy = files ? `copies/${name}.safetensors` : `copies/${name}`;
    if (!files) for (const path of [save, copy]) mkdirSync(at(path));
    writeFileSync(at(files ? save : `${save}/model`), `model ${i} and its optimizer`);
    writeFileSync(at(files ? copy : `${copy}/model`), `model ${i}`);
    if (!files) writeFileSync(at(copy, 'merge_provenance.json'), `of ${i}`);
    const old = new Date(made - 60_000);
    for (const path of files ? [save] : [`${save}/model`, save]) utimesSync(at(path), old, old);
    return {
      path: save,
      copy,
      step: i,
      bytes: 2,
      copyBytes: files ? `model ${i}`.length : `model ${i}of ${i}`.length,
      loses: i === 0 ? ['a\n touch PWNED', '$(touch PWNED)'] : [],
      state: 'made',
      verified: 'full',
      look: await lookOf(at(save)),
    };
  });
  return Promise.all(all);
}
const script = (copies: readonly StrippedSave[], elsewhere: boolean, unfinished: readonly UnfinishedSave[] = []) =>
  `${replacementScript({ copies, elsewhere, unfinished }, null).join('\n')}\n`;
const run = (shell: string, text: string) => spawnSync(shell, ['-s'], { input: text, cwd: folder.path, encoding: 'utf8' });
/** Ends the shell at the `limit`-th command that changes something: before it, or after it, or in the middle of a copy. */
const killed = (text: string, limit: number, when: 'before' | 'after' | 'amid') => `n=0
limited() {
  n=$((n + 1))
  if [ "$n" = ${limit} ] && [ ${when} = before ]; then kill -9 $$; fi
  if [ "$n" = ${limit} ] && [ ${when} = amid ] && [ "$1" = cp ]; then mkdir "$6"; echo half >"$6/model"; kill -9 $$; fi
  command "$@" || return
  if [ "$n" = ${limit} ]; then kill -9 $$; fi
}
mv() { limited mv "$@"; }
rm() { limited rm "$@"; }
cp() { limited cp "$@"; }
${text}`;

describe.each([
  ['sh', false],
  ['bash', false],
  ['sh', true],
  ['bash', true],
] as const)('the script that replaces saves, run by %s, copies on another file system: %s', (shell, elsewhere) => {
  it.each([false, true])('puts each copy in its place, once, whatever it is called; of files: %s', async (files) => {
    const copies = await saves(files);
    const text = script(copies, elsewhere);
    for (const _ of [1, 2, 3]) {
      const { status, stderr } = run(shell, text);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(readdirSync(at('run')).sort()).toEqual((files ? FILES.map((name) => `${name}.safetensors`) : FOLDERS).toSorted());
      for (const [i, { copy }] of copies.entries()) {
        const place = copy.replace('copies/', 'run/');
        expect(readFileSync(at(files ? place : `${place}/model`), 'utf8')).toBe(`model ${i}`);
      }
      expect(readdirSync(at('copies'))).toEqual([]);
      expect(readdirSync(folder.path).sort()).toEqual(['copies', 'run']);
    }
  });

  it.each([false, true])('cut short before or after any command goes on to the same end; of files: %s', async (files) => {
    let cuts = 0;
    for (const when of elsewhere ? (['before', 'after', 'amid'] as const) : (['before', 'after'] as const)) {
      // Of two saves, at most six commands each.
      for (let limit = 1; limit <= 12; limit++) {
        folder.remove();
        folder = temporaryFolder();
        const copies = await saves(files, 2);
        const text = script(copies, elsewhere);
        const { signal } = run(shell, killed(text, limit, when));
        if (signal === null) continue;
        cuts++;
        for (const i of copies.keys()) expect(Object.values(contents()).some((content) => content.startsWith(`model ${i}`))).toBe(true);
        expect(run(shell, text)).toMatchObject({ status: 0, stderr: '' });
        expect(Object.values(contents()).filter((content) => content.includes('optimizer'))).toEqual([]);
        expect(readdirSync(at('run')).sort()).toEqual(copies.map(({ copy }) => copy.slice('copies/'.length)).toSorted());
        expect(readdirSync(at('copies'))).toEqual([]);
        for (const [i, { copy }] of copies.entries()) {
          const place = copy.replace('copies/', 'run/');
          expect(readFileSync(at(files ? place : `${place}/model`), 'utf8')).toBe(`model ${i}`);
        }
      }
    }
    expect(cuts).toBeGreaterThan(8);
  });

  it('leaves a save whose copy was cut off, or lost a file, since it was compared', async () => {
    const copies = await saves(false, 2);
    writeFileSync(at(copies[0]!.copy, 'model'), 'mod');
    rmSync(at(copies[1]!.copy, 'model'));
    const { status, stderr } = run(shell, script(copies, elsewhere));
    expect({ status, said: stderr.match(/has other bytes than when it was compared/g)?.length }).toEqual({ status: 1, said: 2 });
    for (const [i, { path }] of copies.entries()) expect(readFileSync(at(path, 'model'), 'utf8')).toBe(`model ${i} and its optimizer`);
  });

  it('leaves a save that was restored with older times in the place of what was copied; takes the same one that was', async () => {
    const copies = await saves(false, 3);
    const [other, bigger, same] = copies.map(({ path }) => at(path)) as [string, string, string];
    // All of it as an archive has it: older than the copy, and of the same sizes but for the second.
    writeFileSync(join(other, 'model'), 'model 9 and its optimizer');
    writeFileSync(join(bigger, 'model'), 'model 1 and its optimizer, another');
    rmSync(same, { recursive: true });
    mkdirSync(same);
    writeFileSync(join(same, 'model'), 'model 2 and its optimizer');
    const ages = [120_000, 60_000, 60_000];
    for (const [i, path] of [other, bigger, same].entries())
      for (const one of [join(path, 'model'), path]) utimesSync(one, new Date(made - ages[i]!), new Date(made - ages[i]!));
    const { status, stderr } = run(shell, script(copies, elsewhere));
    expect({ status, said: stderr.match(/it is not what was copied/g)?.length }).toEqual({ status: 1, said: 2 });
    expect(readFileSync(join(other, 'model'), 'utf8')).toBe('model 9 and its optimizer');
    expect(readFileSync(join(bigger, 'model'), 'utf8')).toBe('model 1 and its optimizer, another');
    expect(readFileSync(join(same, 'model'), 'utf8')).toBe('model 2');
  });

  it('moves back what was set aside where its copy is gone or was cut off by then', async () => {
    const copies = await saves(false, 2);
    for (const { path } of copies) renameSync(at(path), at(asideOf(path)));
    writeFileSync(at(copies[0]!.copy, 'model'), 'mod');
    rmSync(at(copies[1]!.copy), { recursive: true });
    const { status, stderr } = run(shell, script(copies, elsewhere));
    expect({ status, said: stderr.match(/what was set aside is back/g)?.length }).toEqual({ status: 1, said: 2 });
    for (const [i, { path }] of copies.entries()) expect(readFileSync(at(path, 'model'), 'utf8')).toBe(`model ${i} and its optimizer`);
    expect(readdirSync(at('run')).filter((name) => name.endsWith('.full'))).toEqual([]);
  });

  it('made anew finishes what another has set aside, or moves it back; what is there again it leaves', async () => {
    const copies = await saves(false, 4);
    const unfinished = copies.map(
      ({ path, copy, step, copyBytes }, i): UnfinishedSave => ({
        ...{ path, copy, step, copyBytes, aside: asideOf(path), reason: '' },
        end: i < 2 ? 'finish' : 'restore',
      }),
    );
    for (const { path } of copies) renameSync(at(path), at(asideOf(path)));
    renameSync(at(copies[1]!.copy), at(copies[1]!.path));
    mkdirSync(at(copies[3]!.path));
    const text = script([], elsewhere, unfinished);
    const { status, stderr } = run(shell, text);
    expect({ status, said: stderr.match(/something is there again/g)?.length }).toEqual({ status: 1, said: 1 });
    const models = copies.slice(0, 3).map(({ path }) => readFileSync(at(path, 'model'), 'utf8'));
    expect(models).toEqual(['model 0', 'model 1', 'model 2 and its optimizer']);
    expect(readFileSync(at(asideOf(copies[3]!.path), 'model'), 'utf8')).toBe('model 3 and its optimizer');
    rmSync(at(copies[3]!.path), { recursive: true });
    for (const _ of [1, 2]) expect(run(shell, text)).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(at(copies[3]!.path, 'model'), 'utf8')).toBe('model 3 and its optimizer');
    expect(readdirSync(at('run')).filter((name) => name.endsWith('.full'))).toEqual([]);
  });

  it('leaves what is a copy already: what lies in the folder by then may be of another run', async () => {
    const copies = await saves();
    const text = script(copies, elsewhere);
    expect(run(shell, text).status).toBe(0);
    for (const { copy } of copies) {
      mkdirSync(at(copy));
      for (const name of ['model', 'merge_provenance.json']) writeFileSync(at(copy, name), 'of another run');
    }
    const { status, stderr } = run(shell, text);
    expect({ status, said: stderr.match(/it is a copy already/g)?.length }).toEqual({ status: 1, said: copies.length });
    for (const [i, { path }] of copies.entries()) expect(readFileSync(at(path, 'model'), 'utf8')).toBe(`model ${i}`);
  });

  it('leaves what changed since it was copied, what lies in the way, and says so', async () => {
    const copies = await saves();
    const soon = new Date(Date.now() + 60_000);
    utimesSync(at('run/checkpoint-100/model'), soon, soon);
    mkdirSync(at(`run/.${FOLDERS[2]}.full`));
    const { status, stderr } = run(shell, script(copies, elsewhere));
    expect(status).not.toBe(0);
    expect(stderr).toContain('left as it is: run/checkpoint-100 (it is not what was copied: other files, sizes or times)\n');
    expect(readFileSync(at('run/checkpoint-100/model'), 'utf8')).toContain('optimizer');
    expect(readFileSync(at('run', FOLDERS[2]!, 'model'), 'utf8')).toContain('optimizer');
    expect(existsSync(at(`run/.${FOLDERS[2]}.full`))).toBe(true);
    expect(readFileSync(at('run', FOLDERS[1]!, 'model'), 'utf8')).toBe('model 1');
  });

  it.each(['file', 'folder'])('overwrites no %s of somebody under the name of a copy', async (kind) => {
    const copies = await saves(true);
    const theirs = at('run/step-100.safetensors');
    if (kind === 'file') writeFileSync(theirs, 'precious');
    else mkdirSync(theirs);
    const before = treeOf(folder.path);
    expect(run(shell, script(copies.slice(0, 1), elsewhere)).status).not.toBe(0);
    expect(treeOf(folder.path)).toEqual(before);
  });
});

/** Of every file below the folder. */
function contents(below = ''): Record<string, string> {
  return Object.fromEntries(
    readdirSync(at(below), { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory()
        ? Object.entries(contents(join(below, entry.name)))
        : [[join(below, entry.name), readFileSync(at(below, entry.name), 'utf8')]],
    ),
  );
}
