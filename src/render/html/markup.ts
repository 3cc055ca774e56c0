import { printable } from '../format.ts';

/** A piece of HTML or SVG that is safe to put into a page: made by `html`, or vouched for with `trusted`. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toString(): string {
    return this.text;
  }
}

/**
 * What `html` takes between its braces. Texts and numbers are escaped; null, undefined and false are nothing;
 * lists are joined.
 */
export type Content = string | number | Markup | null | undefined | false | readonly Content[];

/**
 * HTML or SVG from a template. Every value is escaped, in text as in quoted attributes, so that the name of a
 * tensor or of a file can be anything: a page is safe because of how it is made, not because somebody
 * remembered.
 */
export function html(strings: TemplateStringsArray, ...values: Content[]): Markup {
  let text = strings[0]!;
  for (let i = 0; i < values.length; i++) text += render(values[i]) + strings[i + 1]!;
  return new Markup(text);
}

/**
 * Text that is markup already, such as a drawing made from numbers alone. Never for text that came from a
 * file.
 */
export function trusted(text: string): Markup {
  return new Markup(text);
}

/**
 * Text as it can stand in an element or in a quoted attribute; control characters and direction overrides are
 * shown as escapes.
 */
function escapeText(text: string): string {
  return printable(text).replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function render(content: Content): string {
  if (typeof content === 'string') return escapeText(content);
  if (typeof content === 'number') return escapeText(String(content));
  if (content instanceof Markup) return content.text;
  if (content === null || content === undefined || content === false) return '';
  return content.map(render).join('');
}
