/**
 * The choice nearest to a word that is none of them, for "did you mean"; null where nothing is near. Distance
 * is the number of insertions, deletions, substitutions and swaps of neighbouring letters (optimal string
 * alignment), upper and lower case alike; a third of the longer word is near enough.
 */
export function didYouMean(word: string, choices: readonly string[]): string | null {
  let nearest: string | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const choice of choices) {
    const apart = distance(word.toLowerCase(), choice.toLowerCase());
    if (apart < least && apart <= Math.max(1, Math.floor(Math.max(word.length, choice.length) / 3))) [nearest, least] = [choice, apart];
  }
  return nearest;
}

function distance(a: string, b: string): number {
  // A pasted page is no misspelling, and the table is a.length x b.length.
  if (Math.abs(a.length - b.length) > 16) return Number.POSITIVE_INFINITY;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      row[j] = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j]!, beforeLast[j - 2]! + 1);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length]!;
}
