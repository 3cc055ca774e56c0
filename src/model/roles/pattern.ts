/**
 * A pattern of the rules as a regular expression: `<` and `>` are start and end of a component. Lookbehinds
 * keep their meaning.
 */
export function compile(pattern: string): RegExp {
  return new RegExp(pattern.replaceAll(/(?<!\(\?|\\)<(?![=!])/g, '(?:^|\\.)').replaceAll(/(?<!\\)>/g, '(?=\\.|$)'));
}
