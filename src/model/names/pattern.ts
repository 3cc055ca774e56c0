/** What a hole of a pattern stands for: the number in a name. */
export type Holes = ReadonlyMap<string, number>;

const HOLE = /\{([a-z][a-z0-9_]*)\}/g;

/** The holes of a pattern, in their order. */
export function holesOf(pattern: string): string[] {
  return [...pattern.matchAll(HOLE)].map(([, name]) => name!);
}

/** What is wrong with a pattern, as half a sentence; null where nothing is. */
export function patternFault(pattern: string): string | null {
  const rest = pattern.replace(HOLE, '');
  if (/[{}]/.test(rest)) return `has a brace that belongs to no hole as {layer}`;
  if (pattern.includes('}{')) return 'has two holes without anything between them';
  const holes = holesOf(pattern);
  const twice = holes.find((hole, i) => holes.indexOf(hole) !== i);
  return twice === undefined ? null : `has the hole {${twice}} twice`;
}

/** A pattern with its holes filled. */
export function fill(pattern: string, holes: Holes): string {
  return pattern.replace(HOLE, (whole, name: string) => String(holes.get(name) ?? whole));
}

/** Finds the patterns that names fit, without trying each. */
export class Patterns<T> {
  readonly #byForm = new Map<string, { readonly regexp: RegExp; readonly holes: readonly string[]; readonly of: T }[]>();

  add(pattern: string, of: T): void {
    const literal = pattern
      .split(HOLE)
      .map((part, i) => (i % 2 === 1 ? '(0|[1-9]\\d{0,8})' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')))
      .join('');
    const form = formOf(pattern.replace(HOLE, '0'));
    const like = this.#byForm.get(form) ?? [];
    like.push({ regexp: new RegExp(`^${literal}$`), holes: holesOf(pattern), of });
    this.#byForm.set(form, like);
  }

  /** The first pattern that a name fits, and what its holes stand for. */
  find(name: string): { readonly of: T; readonly holes: Holes } | undefined {
    for (const { regexp, holes, of } of this.#byForm.get(formOf(name)) ?? []) {
      const match = regexp.exec(name);
      if (match !== null) return { of, holes: new Map(holes.map((hole, i) => [hole, Number(match[i + 1])])) };
    }
    return undefined;
  }
}

/** A name with all numbers alike. */
function formOf(name: string): string {
  return name.replace(/\d+/g, '#');
}
