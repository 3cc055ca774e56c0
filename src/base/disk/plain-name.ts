/**
 * Whether a name that was read from a file names something in a folder, and nothing beside, above or below
 * it: what is joined to a folder and then written to or removed must be one.
 */
export function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\\\0]/.test(name);
}
