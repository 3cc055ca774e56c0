import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { loadBinding } from '../../src/merge/native/load.ts';

const objectOf = (isa: string) =>
  fileURLToPath(new URL(`../../build/CMakeFiles/kernels_${isa}.dir/native/kernels/combine_kernel.cpp.o`, import.meta.url));

// A weak or inline symbol in an object built for AVX-512 may be the copy that the linker keeps for everybody,
// and end older CPUs with SIGILL.
test.for(loadBinding().cpuInfo().compiled)('the object of %s offers its table and nothing else', (isa, { skip }) => {
  const object = objectOf(isa);
  if (!existsSync(object)) return skip(`no ${object}: the addon was not built here`);
  const nm = spawnSync('nm', ['--defined-only', '--demangle', object], { encoding: 'utf8' });
  if (nm.error !== undefined) return skip('nm is not installed');
  // Lower-case types are local to the object; everything else the linker can see.
  const visible = nm.stdout.split('\n').flatMap((line) => {
    const [, type, name] = /^[0-9a-f]* +(\S) (.*)$/.exec(line) ?? [];
    return type === undefined || (/[a-z]/.test(type) && !'wvu'.includes(type)) ? [] : [`${type} ${name}`];
  });
  expect(visible).toEqual([expect.stringMatching(new RegExp(`^[DR] ckpt::kernels_${isa}::table$`))]);
});
