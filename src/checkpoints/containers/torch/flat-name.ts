/** What a tensor is called that was saved alone, under no key. */
const ALONE = 'tensor';

/** The name of what stands under these keys: they are joined by points. */
export function flatName(keys: readonly unknown[]): string {
  return keys.length === 0 ? ALONE : keys.join('.');
}
