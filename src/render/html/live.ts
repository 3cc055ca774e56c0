import type { Content } from './markup.ts';
import { html, type Markup } from './markup.ts';

/** What a page says that is written again and again while its work lives. */
export interface Live {
  /** What is being done now. */
  readonly now: Content;
  /** ISO time at which the page was written. */
  readonly written: string;
  /** Seconds between two loads of the page, by the browser alone. */
  readonly refresh: number;
}

/** Makes the browser load the page again, from a file as from a server, without a script. */
export function refreshing(live: Live | undefined): Markup | null {
  return live === undefined ? null : html`<meta http-equiv="refresh" content="${live.refresh}">\n`;
}

/**
 * A line above everything else. It says when the page was written: what was killed writes no last page, and its readers
 * see by this that nothing moves.
 */
export function liveBanner(live: Live | undefined): Markup | null {
  if (live === undefined) return null;
  const { now, written, refresh } = live;
  return html`<p class="live" role="status"><span class="badge neutral">under way</span> ${now} <small>Written <time datetime="${written}">${written.replace('T', ' ').replace(/\.\d+Z$/, ' UTC')}</time>; loads itself every ${refresh} s. Conclusions are drawn at the end, not from a moment of looking.</small></p>
`;
}
