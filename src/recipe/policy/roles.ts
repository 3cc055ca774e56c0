import { ROLES, type Role } from '../../model/roles/types.ts';
import type { PolicyTensor } from './types.ts';

/** Roles that a policy cannot name: scales are treated as the weights that they belong to. */
export const FOLLOWING = ['quant_scale', 'quant_meta'] as const satisfies readonly Role[];

/** What policies can name beside single roles. A group goes before the role of the same name. */
export const ROLE_GROUPS = {
  routers: ['router', 'router_bias', 'router_correction_bias', 'router_other'],
  router_bias: ['router_bias', 'router_correction_bias'],
  experts: ['expert'],
  shared_experts: ['shared_expert', 'shared_expert_gate'],
  attention: ['attn'],
  norms: ['norm', 'attn_norm'],
  embeddings: ['embedding', 'position_embedding', 'per_layer_embedding'],
  towers: ['vision', 'audio', 'projector'],
  buffers: ['rope_buffer', 'buffer', 'router_buffer'],
} as const satisfies Readonly<Record<string, readonly Role[]>>;

/**
 * Names that look at something else than the role: `mtp` at the layer, `unknown` at tensors without a role.
 */
export const SPECIAL_ROLES = ['mtp', 'unknown'] as const;

/** Everything that `role` can be. */
export const ROLE_NAMES: readonly string[] = [
  ...new Set<string>([...Object.keys(ROLE_GROUPS), ...ROLES.filter((role) => !FOLLOWING.some((f) => f === role)), ...SPECIAL_ROLES]),
];

/** Whether a tensor is of one of these roles. @param names of {@link ROLE_NAMES} */
export function roleTest(names: readonly string[]): (tensor: Pick<PolicyTensor, 'role'>) => boolean {
  const roles = new Set<Role | null>(names.flatMap((name) => ROLE_GROUPS[name as keyof typeof ROLE_GROUPS] ?? [name as Role]));
  if (names.includes('unknown')) roles.add(null);
  const mtp = names.includes('mtp');
  return ({ role }) => (mtp && role.mtp) || roles.has(roleOf(role));
}

/** The role by which policies know a tensor: that of its weight for a scale. */
export function roleOf({ role, of }: PolicyTensor['role']): Role | null {
  return of !== null && FOLLOWING.some((f) => f === role) ? of : role;
}
