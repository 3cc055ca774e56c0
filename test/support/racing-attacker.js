// Renames what is not its own in a folder that all may write to: node racing-attacker.js FOLDER SEED. Whatever a
// merge to FOLDER/out makes there is moved away, and a link to the victim's home, a folder of the attacker's, or
// the victim's own work takes its place. Ends when FOLDER/stop is there.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder, seed] = process.argv.slice(2);
let state = Number(seed);
const below = (n) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
};
const attempt = (act) => {
  try {
    act();
    return 1;
  } catch {
    return 0;
  }
};
let n = 0;
let done = 0;
/** Puts one of four things where `name` was. */
function exchange(name) {
  const path = join(folder, name);
  const aside = join(folder, `aside-${n++}`);
  const kind = below(4);
  const mine = join(folder, `mine-${n}`);
  if (kind === 0) attempt(() => symlinkSync(join(folder, 'home'), mine));
  if (kind === 1)
    attempt(() => {
      mkdirSync(mine, 0o777);
      mkdirSync(join(mine, 'payload'));
      writeFileSync(join(mine, 'owner.json'), '{}');
      symlinkSync(join(folder, 'home'), join(mine, 'ready'));
    });
  if (!attempt(() => renameSync(path, aside))) return;
  if (kind === 2) done += attempt(() => renameSync(join(folder, 'thesis'), path));
  else if (kind === 3) done += 1;
  else done += attempt(() => renameSync(mine, path));
}

while (!existsSync(join(folder, 'stop'))) {
  let names;
  try {
    names = readdirSync(folder);
  } catch {
    break;
  }
  const thesis = names.includes('thesis');
  for (const name of names) {
    if (/^\.out\.(partial|old)-/.test(name) && below(3) === 0) exchange(name);
    else if (name === 'out' && below(12) === 0) exchange(name);
    else if (name === 'out' && below(4) === 0) attempt(() => renameSync(join(folder, name), join(folder, `aside-${n++}`)));
    // The work comes back under a name of its own now and then, to be used again.
    else if (!thesis && existsSync(join(folder, name, 'chapters')) && below(40) === 0)
      attempt(() => renameSync(join(folder, name), join(folder, 'thesis')));
    else if (/^(aside|mine)-/.test(name) && !existsSync(join(folder, name, 'chapters')) && below(8) === 0)
      attempt(() =>
        renameSync(join(folder, name), join(folder, `.out.${below(2) ? 'old' : 'partial'}-${(n++).toString(16).padStart(12, '0')}`)),
      );
  }
  if (names.length > 400)
    for (const name of names) if (/^(mine|\.out|aside)/.test(name)) attempt(() => rmSync(join(folder, name), { recursive: true }));
}
process.stdout.write(`${done}\n`);
