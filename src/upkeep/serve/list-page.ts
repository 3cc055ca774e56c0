import { SYSTEM } from '../../base/disk/system.ts';
import { formatBytes, plural } from '../../render/format.ts';
import { table } from '../../render/html/figure.ts';
import { type Content, html } from '../../render/html/markup.ts';
import { badge, htmlPage } from '../../render/html/page.ts';
import { urlPath } from './request-path.ts';
import { isServedName, openFolder, openServed, type ServedFile } from './served-file.ts';

/** Folders below one that are looked into for pages, and names that are looked at in all of them. */
const DEEP = 3;
const MOST_NAMES = 5000;
/** Files that are opened to see whether they are ours. */
const MOST_OPENED = 500;

const NUMBERED = /\d{2}/;

interface Found {
  readonly names: readonly string[];
  readonly file: Omit<ServedFile, 'handle'>;
}

interface Listing {
  readonly found: readonly Found[];
  /** Whether all was looked at. */
  readonly isWhole: boolean;
}

/**
 * The list of the pages in a folder and below it, and of what lies beside them, as a page; null where there is no such
 * folder.
 * @param folder that is served @param names of the one that is asked for, from there
 */
export async function listPage(folder: string, names: readonly string[]): Promise<string | null> {
  const listing = await listed(folder, names);
  if (listing === null) return null;
  const { found, isWhole } = listing;
  const pages = found.filter(({ file }) => file.type.startsWith('text/html'));
  const beside = found.filter(({ file }) => !file.type.startsWith('text/html'));
  const link = (path: readonly string[], text: string) => html`<a href="${urlPath(path, false)}">${text}</a>`;
  const rows = pages.map(({ names: path, file }): Content[] => [
    html`${link(path, titleOf(file.head) ?? path.at(-1)!)} ${isLive(file.head) ? badge('neutral', 'under way') : null}`,
    path.slice(names.length).join('/'),
    file.modified
      .toISOString()
      .replace('T', ' ')
      .replace(/\.\d+Z$/, ' UTC'),
    formatBytes(file.size),
    beside
      .filter((one) => one.names.slice(0, -1).join('/') === path.slice(0, -1).join('/'))
      .map((one) => html`${link(one.names, one.names.at(-1)!)} `),
  ]);
  const where = names.length === 0 ? 'this folder' : names.join('/');
  return htmlPage({
    title: names.length === 0 ? 'Pages' : `Pages in ${names.join('/')}`,
    summary: {
      headline: pages.length === 0 ? `No pages lie in ${where} yet.` : `${plural(pages.length, 'page')} in ${where} and below.`,
      tone: 'neutral',
      findings: [
        ...(pages.length === 0 ? ['A study writes its page before its first trial; load this list again then.'] : []),
        ...(isWhole ? [] : ['There is more here than a list looks at: serve a folder further down to see the rest.']),
      ],
    },
    sections:
      pages.length === 0
        ? []
        : [
            {
              title: 'Newest first',
              parts: [
                table(
                  [
                    { label: 'Page' },
                    { label: 'File', kind: 'name' },
                    { label: 'Written' },
                    { label: 'Size', kind: 'number' },
                    { label: 'Data beside it' },
                  ],
                  rows,
                ),
              ],
            },
          ],
  });
}

async function listed(folder: string, names: readonly string[]): Promise<Listing | null> {
  const found: Found[] = [];
  let [seen, opened] = [0, 0];
  let level: (readonly string[])[] = [names];
  for (let depth = 0; depth <= DEEP; depth++) {
    const below: (readonly string[])[] = [];
    for (const path of level) {
      const held = await openFolder(folder, path);
      if (held === null) {
        if (depth === 0) return null;
        continue;
      }
      try {
        const entries = await SYSTEM.fs.readdir(held.here, { withFileTypes: true }).catch(() => []);
        const own: Found[] = [];
        for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
          if (++seen > MOST_NAMES || opened > MOST_OPENED) return { found: sorted([...found, ...own]), isWhole: false };
          if (entry.name.startsWith('.')) continue;
          if (entry.isDirectory()) below.push([...path, entry.name]);
          if (!entry.isFile() || !isServedName(entry.name)) continue;
          opened++;
          const served = await openServed(held, entry.name);
          if (served === null) continue;
          await served.handle.close();
          own.push({ names: [...path, entry.name], file: served });
        }
        found.push(...own);
      } finally {
        await held.close();
      }
    }
    // Steps and merges of a run have numbers in their names, are many, and hold no pages: they come last.
    level = [...below.filter((path) => !NUMBERED.test(path.at(-1)!)), ...below.filter((path) => NUMBERED.test(path.at(-1)!))];
  }
  return { found: sorted(found), isWhole: level.length === 0 };
}

function sorted(found: readonly Found[]): Found[] {
  return [...found].sort((a, b) => b.file.modified.getTime() - a.file.modified.getTime());
}

const ENTITIES: Readonly<Record<string, string>> = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'" };

/** What a page is called; null where its beginning does not say it. */
function titleOf(head: string): string | null {
  const text = /<title>([^<]*) · ckpt-merge<\/title>/.exec(Buffer.from(head, 'latin1').toString())?.[1];
  return text?.replace(/&(?:amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity]!) ?? null;
}

/** Whether its work goes on, or was killed. */
function isLive(head: string): boolean {
  return head.includes('<meta http-equiv="refresh"');
}
