/** Bytes at the beginning of a report in which it says that this program made it. */
export const OWN_WITHIN = 4096;

/** Whether a page is of this program: others have files of the same names, too. @param head its first bytes, as latin1 */
export function isOwnPage(head: string): boolean {
  return head.includes('<meta name="generator" content="ckpt-merge ');
}

/** Whether a JSON document is of this program. @param head its first bytes, as latin1 */
export function isOwnDocument(head: string): boolean {
  return /"schema":\s*"ckpt-merge\//.test(head);
}
