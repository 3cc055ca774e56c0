import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { beforeAll, describe, expect, test } from 'vitest';
import { ERROR_CODES, WARNING_CODES } from '../../src/base/errors.ts';
import { fingerprint } from '../../src/checkpoints/fingerprint.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { parseProvenance } from '../../src/merge/record/parse-provenance.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
  ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`),
]
  .filter((page) => page.endsWith('.md') && existsSync(join(root, page)))
  .map((page) => ({ page, text: readFileSync(join(root, page), 'utf8') }));

/**
 * A ```ts block as a module of its own, in the package's folder, so that imports resolve as in a project that
 * has the package.
 */
interface Sample {
  readonly name: string;
  readonly file: string;
  readonly code: string;
}

const samples: Sample[] = pages.flatMap(({ page, text }) =>
  [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(({ 1: code, index }) => {
    const line = text.slice(0, index).split('\n').length;
    return { name: `${page}:${line}`, file: join(root, `sample-${page.replace(/\W/g, '-')}-${line}.ts`), code: code! };
  }),
);
/** What the check must find: without it, a program that checks nothing would pass as well. */
const WRONG: Sample = {
  name: 'wrong',
  file: join(root, 'sample-wrong.ts'),
  code: "import { noSuchExport } from 'ckpt-merge';\nnoSuchExport();\n",
};

describe('samples in the docs', () => {
  let complaints: (sample: Sample) => string[];

  beforeAll(() => {
    const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
    const virtual = new Map([...samples, WRONG].map(({ file, code }) => [file, `export {};\n${code}`]));
    const checked: ts.CompilerOptions = {
      ...options,
      rootDir: root,
      noEmit: true,
      allowImportingTsExtensions: true,
      rewriteRelativeImportExtensions: false,
      paths: { 'ckpt-merge': [join(root, 'src/index.ts')], 'ckpt-merge/safetensors': [join(root, 'src/safetensors.ts')] },
    };
    const host = ts.createCompilerHost(checked);
    const { readFile, fileExists } = host;
    host.fileExists = (path) => virtual.has(path) || fileExists(path);
    host.readFile = (path) => virtual.get(path) ?? readFile(path);
    const program = ts.createProgram([...virtual.keys()], checked, host);
    complaints = ({ file }) =>
      ts
        .getPreEmitDiagnostics(program, program.getSourceFile(file)!)
        .map(({ code, messageText }) => `TS${code}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`);
  });

  test('a sample that is wrong is noticed', () => {
    expect(complaints(WRONG)).toEqual([expect.stringContaining('noSuchExport')]);
  });

  test('the library guide has some', () => {
    expect(samples.filter(({ name }) => name.startsWith('docs/library.md')).length).toBeGreaterThan(8);
  });

  test.each(samples)('$name compiles', (sample) => {
    expect(complaints(sample)).toEqual([]);
  });
});

test('the provenance shown in the file contracts is one, of the demo run', async () => {
  const { text } = pages.find(({ page }) => page === 'docs/file-contracts.md')!;
  const { recipe } = parseProvenance(/```json\n(.*?)```/s.exec(text)![1]!, 'docs/file-contracts.md');
  for (const { name, fingerprint: shown } of recipe.members) {
    expect(await fingerprint(await openCheckpoint(join(root, 'demo/runs/dense', name)))).toBe(shown);
  }
});

describe.each(pages)('$page', ({ page, text }) => {
  test('links to files and headings that exist', () => {
    const broken: string[] = [];
    for (const { 1: target } of text.replace(/```.*?```/gs, '').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue;
      const [path, heading] = target!.split('#');
      const file = path === '' ? join(root, page) : join(root, dirname(page), path!);
      if (!existsSync(file)) broken.push(target!);
      else if (heading !== undefined && !headings(readFileSync(file, 'utf8')).includes(heading)) broken.push(target!);
    }
    expect(broken).toEqual([]);
  });

  test('names files that exist', () => {
    const named = [...text.matchAll(/`((?:src|native|test|scripts|bench|demo|docs|cmake|bin)\/[\w./-]*\w\/?)`/g)].map((m) => m[1]!);
    // NAME stands for the reader's own.
    expect([...new Set(named)].filter((path) => !path.includes('NAME') && !existsSync(join(root, path)))).toEqual([]);
  });

  test('names codes that exist', () => {
    const named = new Set(text.match(/\b[EW]_[A-Z][A-Z_]+[A-Z]\b/g));
    expect([...named].filter((code) => !(code in ERROR_CODES) && !(code in WARNING_CODES))).toEqual([]);
  });
});

/** Anchors of a page as GitHub makes them. */
function headings(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(({ 1: heading }) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  );
}
