import { createHash } from 'node:crypto';
import { packageFile } from '../../base/package-root.ts';
import { version } from '../../base/version.ts';
import type { Figure } from './figure.ts';
import { type Live, liveBanner, refreshing } from './live.ts';
import { type Content, html, type Markup, trusted } from './markup.ts';

/** How a statement is meant: `bad` must not be overlooked, `notice` wants a look. */
export type Tone = 'good' | 'notice' | 'bad' | 'neutral';

export interface Page {
  readonly title: string;
  readonly summary: Summary;
  readonly sections: readonly PageSection[];
  /** Where the work goes on, and the page will be written again. */
  readonly live?: Live | undefined;
}

export interface Summary {
  /** The answer, in a sentence. */
  readonly headline: string;
  readonly tone: Tone;
  /** What it rests on, a sentence each. */
  readonly findings?: readonly Content[];
  /** Name and value of what was looked at: checkpoints, sizes, dates. */
  readonly facts?: readonly (readonly [string, Content])[];
}

export interface PageSection {
  readonly title: string;
  /** Paragraphs, lists, tables and figures, in order. A string is a paragraph. */
  readonly parts: readonly (string | Markup | Figure)[];
}

/**
 * A report as one HTML document that needs nothing else: style, scripts and drawings are in it, and its
 * content security policy forbids everything that is not, by hash. Without its script all is there but
 * hovering. The text depends on its arguments and the package alone, not on time or place.
 *
 * Reads stylesheet and script from the package's folder, synchronously.
 */
export function htmlPage({ title, summary, sections, live }: Page): string {
  const css = asset('report.css');
  const script = asset('report.js');
  const policy = [
    "default-src 'none'",
    `style-src ${hashOf(css)}`,
    `script-src ${hashOf(script)}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${trusted(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="ckpt-merge ${version}">
${refreshing(live)}<title>${title} · ckpt-merge</title>
<style>${trusted(css)}</style>
</head>
<body>
<header>
<p class="maker">ckpt-merge</p>
<h1>${title}</h1>
${liveBanner(live)}${summaryMarkup(summary)}
</header>
<main>
${sections.map(sectionMarkup)}
</main>
<footer>Written by ckpt-merge ${version}. The page holds all it shows and asks nothing of the network.</footer>
${scriptElement(script)}</body>
</html>
`;
  return page.text;
}

/**
 * Not by `html`: of a tagged template with an end tag of a script the bundler makes a call of a helper that
 * is in no package.
 */
function scriptElement(script: string): Markup {
  return trusted(`<script>${script}</script>\n`);
}

/** A list of statements, each escaped unless it is markup. */
export function list(items: readonly Content[]): Markup {
  return html`<ul>${items.map((item) => html`<li>${item}</li>\n`)}</ul>`;
}

/** A word in a coloured frame, for tables. */
export function badge(tone: Tone, text: string): Markup {
  return html`<span class="badge ${tone}">${text}</span>`;
}

function summaryMarkup({ headline, tone, findings = [], facts = [] }: Summary): Markup {
  const names = facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>\n`);
  return html`<div class="verdict ${tone}"><p>${headline}</p>${findings.length === 0 ? null : list(findings)}</div>
${names.length === 0 ? null : html`<dl>${names}</dl>`}`;
}

function sectionMarkup({ title, parts }: PageSection): Markup {
  const content = parts.map((part) => (typeof part === 'string' ? html`<p>${part}</p>\n` : html`${'kind' in part ? part.markup : part}\n`));
  return html`<section>
<h2>${title}</h2>
${content}</section>
`;
}

function asset(name: string): string {
  return packageFile(`src/render/html/assets/${name}`);
}

/** As browsers compute it: over the text between the tags. */
function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}
