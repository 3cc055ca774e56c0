import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

// Two descriptions of one native build: CMakeLists.txt is authoritative, bindings.gyp must say the same.
const root = new URL('../../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const cmake = read('CMakeLists.txt');
const addKernel = read('cmake/AddKernel.cmake');
const gyp = parseGyp(read('bindings.gyp'));

interface GypTarget {
  readonly target_name: string;
  readonly sources: readonly string[];
  readonly defines?: readonly string[];
  readonly cflags_cc: readonly string[];
  readonly conditions?: readonly (readonly [string, Partial<GypTarget> & { readonly ldflags?: readonly string[] }])[];
  readonly dependencies?: readonly string[];
}

/** gyp files are Python literals: comments, single quotes and trailing commas are what JSON lacks. */
function parseGyp(text: string): {
  variables: Record<string, string[]>;
  targets: GypTarget[];
  conditions: [string, { targets: GypTarget[] }][];
} {
  const json = text
    .replaceAll(/^\s*#.*$/gm, '')
    .replaceAll(/"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'/g, (_, double?: string, single?: string) =>
      JSON.stringify((double ?? single ?? '').replaceAll('\\"', '"')),
    )
    .replaceAll(/,(\s*[}\]])/g, '$1');
  return JSON.parse(json);
}

const words = (text: string) => text.split(/\s+/).filter((word) => word !== '');
const cmakeList = (name: string) => words(new RegExp(`set\\(${name}\\s([^)]*)\\)`).exec(cmake)?.[1] ?? '');

function cmakeKernels(): Map<string, string[]> {
  const kernels = [...cmake.matchAll(/add_kernel\((\w+)(?: FLAGS ([^)]*))?\)/g)];
  return new Map(kernels.map((match) => [match[1]!, words(match[2] ?? '')]));
}

function gypKernels(): Map<string, { flags: string[]; defines: readonly string[]; condition: string | null }> {
  const everywhere = gyp.targets.map((target) => ({ target, condition: null as string | null }));
  const sometimes = gyp.conditions.flatMap(([condition, { targets }]) =>
    targets.map((target) => ({ target, condition: condition as string | null })),
  );
  const kernels = [...everywhere, ...sometimes].filter(({ target }) => target.target_name.startsWith('kernels_'));
  return new Map(
    kernels.map(({ target, condition }) => {
      expect(target.sources).toEqual(['native/kernels/combine_kernel.cpp']);
      expect(target.cflags_cc[0]).toBe('<@(kernel_flags)');
      return [target.target_name.slice('kernels_'.length), { flags: target.cflags_cc.slice(1), defines: target.defines ?? [], condition }];
    }),
  );
}

const target = (name: string) => gyp.targets.find((each) => each.target_name === name)!;
const branch = (name: string, condition: string) => target(name).conditions?.find(([when]) => when === condition)?.[1];

describe('bindings.gyp says what CMakeLists.txt says', () => {
  test('sources, which all exist, and no others do', () => {
    expect(gyp.variables.core_sources).toEqual(cmakeList('CORE_SOURCES'));
    expect(gyp.variables.addon_sources).toEqual(cmakeList('ADDON_SOURCES'));
    const listed = [...cmakeList('CORE_SOURCES'), ...cmakeList('ADDON_SOURCES')];
    for (const path of listed) expect(existsSync(new URL(path, root)), path).toBe(true);
    const there = ['cpu', 'io', 'engine', 'ops', 'napi'].flatMap((folder) =>
      readdirSync(new URL(`native/${folder}`, root), { recursive: true, encoding: 'utf8' }).map((name) => `native/${folder}/${name}`),
    );
    expect(there.filter((path) => path.endsWith('.cpp')).sort()).toEqual(listed.sort());
  });

  test('instruction sets, their flags and their defines', () => {
    const fromCmake = cmakeKernels();
    const fromGyp = gypKernels();
    expect([...fromGyp.keys()].sort()).toEqual([...fromCmake.keys()].sort());
    for (const [isa, flags] of fromCmake) {
      expect(fromGyp.get(isa)?.flags).toEqual(flags);
      expect(fromGyp.get(isa)?.defines).toEqual([`CKPT_KERNEL_${isa.toUpperCase()}=1`, `CKPT_KERNEL_NAMESPACE=kernels_${isa}`]);
    }
    for (const [arch, isas] of Object.entries({ x64: ['avx2', 'avx512'], arm64: ['neon'] })) {
      const when = `target_arch=="${arch}"`;
      expect(isas.map((isa) => fromGyp.get(isa)?.condition)).toEqual(isas.map(() => when));
      expect(branch('core', when)?.defines).toEqual(isas.map((isa) => `CKPT_HAVE_${isa.toUpperCase()}=1`));
      expect(branch('core', when)?.dependencies).toEqual(isas.map((isa) => `kernels_${isa}`));
    }
    expect(fromGyp.get('scalar')?.condition).toBe(null);
  });

  test('the flags that carry the arithmetic promise', () => {
    for (const flag of ['-O3', '-ffp-contract=off', '-fno-fast-math']) {
      expect(gyp.variables.kernel_flags).toContain(flag);
      expect(addKernel).toContain(flag);
    }
    expect(gyp.variables.core_flags).toContain('-ffp-contract=off');
    expect(read('cmake/Warnings.cmake')).toContain('-ffp-contract=off');
    for (const flags of [...gypKernels().values()].map((kernel) => kernel.flags)) {
      expect(flags.filter((flag) => /fma|march|fast/.test(flag))).toEqual([]);
    }
  });

  test('definitions of the addon, the Node-API version among them, and how it is linked', () => {
    const defined = words(/target_compile_definitions\(ckpt_merge PRIVATE ([^)]*)\)/.exec(cmake)?.[1] ?? '');
    expect(target('ckpt_merge').defines).toEqual(defined);
    const declared = JSON.parse(read('package.json')).binary.napi_versions;
    expect(defined).toContain(`NAPI_VERSION=${declared[0]}`);
    for (const flag of branch('ckpt_merge', 'OS=="linux"')?.ldflags ?? []) {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: CMake's own
      expect(cmake).toContain(flag.replace('<(module_root_dir)', '${PROJECT_SOURCE_DIR}'));
    }
    expect(branch('ckpt_merge', 'OS=="linux"')?.ldflags).toContain('-Wl,-z,nodelete');
  });
});

test('no package manager runs node-gyp because of the file', () => {
  expect(JSON.parse(read('package.json')).gypfile).toBe(false);
  expect(existsSync(new URL('binding.gyp', root))).toBe(false);
});
