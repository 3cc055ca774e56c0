/** Roles whose name is an abbreviation, or a singular where tensors are counted. */
const ROLE_WORDS: Readonly<Record<string, string>> = {
  attn: 'attention',
  attn_norm: 'attention norm',
  ssm: 'state space',
  expert: 'experts',
  shared_expert: 'shared experts',
  mtp_proj: 'mtp projection',
  lm_head: 'output head',
  lora: 'adapter',
};

/** A role for people. */
export function roleWords(role: string): string {
  return ROLE_WORDS[role] ?? role.replaceAll('_', ' ');
}
