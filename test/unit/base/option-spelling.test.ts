import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { DASHED, withoutDashes } from '../../support/option-spelling.ts';

const SRC = new URL('../../../src', import.meta.url).pathname;
/** Options without a property in the library, and those of other programs. */
const OTHERS = /^(json|all|debug|quiet|recursive|revision|nproc-per-node|nnodes|tag)$/;

interface Text {
  readonly place: string;
  readonly text: string;
  /** Whether its options are spelled for the reader on its way out. */
  readonly worded: boolean;
}

/** Every text below the command line's own wing, without what stands in backquotes. */
function texts(): Text[] {
  const found: Text[] = [];
  for (const name of readdirSync(SRC, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts') || name.startsWith('cli/') || name.startsWith('render/html/')) continue;
    const code = readFileSync(join(SRC, name), 'utf8');
    if (withoutDashes(code).length === 0 && !code.includes('--')) continue;
    const source = ts.createSourceFile(name, code, ts.ScriptTarget.Latest, true);
    // A text at the top of a file is made before anybody has said who reads, and is worded where it is used.
    const later = (constant: string) => new RegExp(`help: ${constant}\\b|inReadersWords\\(${constant}\\b`).test(code);
    const visit = (node: ts.Node, worded: boolean): void => {
      if (ts.isImportDeclaration(node)) return;
      const here =
        worded ||
        (ts.isTaggedTemplateExpression(node) && node.tag.getText() === 'worded') ||
        (ts.isPropertyAssignment(node) && ['help', 'title'].includes(node.name.getText())) ||
        (ts.isVariableDeclaration(node) &&
          ts.isIdentifier(node.name) &&
          (node.name.getText() === 'WARNING_CODES' || later(node.name.getText())));
      if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
        const { line } = source.getLineAndCharacterOfPosition(node.getStart());
        // A word of a command, which a report gives to a shell.
        if (ts.isArrayLiteralExpression(node.parent) && /^--[a-z-]+$/.test(node.getText().slice(1, -1))) return;
        found.push({ place: `${name}:${line + 1}`, text: node.text.replace(/`[^`]*`/g, ''), worded: here });
      }
      ts.forEachChild(node, (child) => visit(child, here));
    };
    visit(source, false);
  }
  return found;
}

it('every text that names an option is spelled for whoever reads it', () => {
  const all = texts();
  expect(all.filter(({ worded, text }) => worded && text.includes('--')).length).toBeGreaterThan(100);
  const dashed = all.filter(({ text, worded }) => !worded && [...text.matchAll(DASHED)].some(([, name]) => !OTHERS.test(name!)));
  // A text of several words: a name alone is a key.
  const bare = all.filter(({ text }) => /\S\s+\S/.test(text) && withoutDashes(text).length > 0);
  expect([...dashed, ...bare].map(({ place, text }) => `${place}: ${text}`)).toEqual([]);
});
