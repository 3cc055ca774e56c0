import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { pictureOf, secretIn } from '../support/attacker.ts';
import { checkpoints, contentOf, hiddenBeside, removeCheckpoints, run } from '../support/faults-merge.ts';

afterAll(removeCheckpoints);

describe('--force', () => {
  it('refuses before the work what is no checkpoint, by name, and leaves it as it is', async () => {
    const { inputs, out } = checkpoints();
    mkdirSync(join(out, '.git'), { recursive: true });
    writeFileSync(join(out, 'thesis\u001b[31m.tex'), 'years');
    writeFileSync(join(out, '.git', 'HEAD'), 'ref');
    const before = pictureOf(out);
    for (const more of [['--dry-run'], []]) {
      const { code, stderr } = await run('average', ...inputs, '-o', out, '--force', ...more);
      expect(code).toBe(2);
      expect(stderr).toContain('holds what no checkpoint has, and is not replaced: .git, thesis\\x1b[31m.tex');
      expect(pictureOf(out)).toEqual(before);
      expect(hiddenBeside(out)).toEqual([]);
    }
  });

  it('says what goes with the old merge, and follows none of its links', async () => {
    const { folder, inputs, out } = checkpoints();
    expect((await run('average', ...inputs, '-o', out)).code).toBe(0);
    const wanted = contentOf(out);
    const secret = secretIn(folder);
    const home = pictureOf(dirname(secret));
    writeFileSync(join(out, 'results_2026-11-29.json'), '{}');
    mkdirSync(join(out, 'runs'));
    symlinkSync(dirname(secret), join(out, 'runs', 'events.out.tfevents.1'));
    symlinkSync(secret, join(out, 'tokenizer.json'));
    const { code, stdout } = await run('average', ...inputs, '-o', out, '--force', '--json');
    expect(code).toBe(0);
    const { warnings } = JSON.parse(stdout) as { warnings: { code: string; message: string }[] };
    expect(warnings.filter((warning) => warning.code === 'W_GOES_WITH_IT').map(({ message }) => message)).toEqual([
      expect.stringContaining('results_2026-11-29.json'),
    ]);
    expect(pictureOf(dirname(secret))).toEqual(home);
    expect(contentOf(out)).toEqual(wanted);
    expect(hiddenBeside(out)).toEqual([]);
  });

  it('of a file or a page replaces no other file', async () => {
    const { folder, inputs } = checkpoints();
    for (const [name, words] of [
      ['merged.safetensors', ['average', ...inputs, '-o']],
      ['thesis.html', ['diff', ...inputs, '--out']],
    ] as const) {
      const path = join(folder, name);
      writeFileSync(path, 'a thesis, and a long one');
      const { code, stdout } = await run(...words, path, '--force', '--json');
      expect([name, code, JSON.parse(stdout).code]).toEqual([name, 2, 'E_OUTPUT_KIND']);
      expect(readFileSync(path, 'utf8')).toBe('a thesis, and a long one');
      rmSync(path);
    }
  });
});
