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
  /** Seconds after which it is written anew at the latest, while its work lives; absent where nothing says so. */
  readonly atLeastEvery?: number;
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
  const { now, written, refresh, atLeastEvery } = live;
  const often = atLeastEvery === undefined ? null : html`, anew within ${atLeastEvery} s while the work lives`;
  return html`<p class="live" role="status"><span class="badge neutral">under way</span> ${now} <small>Written <time datetime="${written}" data-within="${atLeastEvery}">${written.replace('T', ' ').replace(/\.\d+Z$/, ' UTC')}</time>${often}; loads itself every ${refresh} s. Conclusions are drawn at the end, not from a moment of looking.</small></p>
`;
}
