import type { Conflict } from '../../base/errors.ts';
import { SELECTOR_KEYS, type SelectorKey } from './keys.ts';
import { roleOf } from './roles.ts';
import { aboutMtp, extentOf, type ModelExtent, selectorTest } from './selector.ts';
import type { Policy, PolicyTensor } from './types.ts';

/**
 * Why a policy fits no tensor, and what there is that comes near. @param about what the message calls the
 * policy
 */
export function unusedPolicy(policy: Policy, about: string, tensors: readonly PolicyTensor[], extent: ModelExtent): Conflict {
  const keys = SELECTOR_KEYS.filter((key) => policy[key] !== undefined);
  const alone = (key: SelectorKey) => {
    const test = selectorTest({ [key]: policy[key], ...(key === 'layers' && aboutMtp(policy) ? { role: 'mtp' } : {}) }, extent);
    return tensors.filter(test);
  };
  const missing = keys.filter((key) => alone(key).length === 0);
  const reasons =
    missing.length > 0
      ? missing.map((key) => NEAR[key](policy, tensors, extent))
      : [`${keys.join(', ')} fit tensors, but none together: ${together(policy, keys, tensors, extent)}`];
  return { code: 'E_POLICY_UNUSED', message: `${about} fits no tensor: ${reasons.join('; ')}` };
}

type Near = (policy: Policy, tensors: readonly PolicyTensor[], extent: ModelExtent) => string;

const NEAR: Readonly<Record<SelectorKey, Near>> = {
  role: (_, tensors) => `the roles here are ${rolesOf(tensors).join(', ')}`,
  layers: (policy, tensors, { layers, mtpLayers }) => {
    if (aboutMtp(policy))
      return mtpLayers === 0
        ? 'no layer of multi-token prediction is known'
        : `the last layer of multi-token prediction is ${mtpLayers - 1}`;
    if (layers > 0)
      return `the layers are 0 to ${layers - 1}${mtpLayers > layers ? `; for those of multi-token prediction, up to ${mtpLayers - 1}, add role=mtp` : ''}`;
    return tensors.some(({ role }) => role.layer === 'all')
      ? 'each tensor holds all layers, which are treated together'
      : 'no layer is known';
  },
  experts: (_, tensors, { experts }) => {
    if (experts > 0) return `the experts are 0 to ${experts - 1}`;
    return tensors.some(({ role }) => role.expert === 'all')
      ? 'each tensor holds all experts of a layer, which are treated together'
      : 'there are no experts';
  },
  name: ({ name }, tensors) => nearText(name!, tensors),
  stored: (_, tensors) => `the dtypes are ${[...new Set(tensors.map(({ dtype }) => dtype))].join(', ')}`,
};

/** What the tensors that fit all but one part of the selector are. */
function together(policy: Policy, keys: readonly SelectorKey[], tensors: readonly PolicyTensor[], extent: ModelExtent): string {
  for (const without of keys) {
    const rest = { ...policy, [without]: undefined };
    const fitting = tensors.filter(selectorTest(rest, extent));
    if (fitting.length > 0)
      return `without ${without} it would fit ${fitting[0]!.name}${fitting.length > 1 ? ` and ${fitting.length - 1} more` : ''}`;
  }
  return 'each fits others';
}

/** As policies name them, in the order in which they occur. */
function rolesOf(tensors: readonly PolicyTensor[]): string[] {
  const roles = new Set<string>();
  for (const { role } of tensors) {
    roles.add(roleOf(role) ?? 'unknown');
    if (role.mtp) roles.add('mtp');
  }
  return [...roles];
}

/** What the output head is called, where it has a tensor. */
const HEAD = /(?:^|\.)(?:lm_head|output|embed_out)\.weight$/;

function nearText(name: string, tensors: readonly PolicyTensor[]): string {
  const nearest = nearestName(name, tensors);
  const mended = mendedGlob(name, nearest);
  const fits = mended !== name && tensors.some(selectorTest({ name: mended }, extentOf(tensors)));
  const other = fits ? `; ${mended} fits it` : '';
  const embedding = tensors.find(({ role }) => roleOf(role) === 'embedding');
  if (embedding !== undefined && HEAD.test(name) && !tensors.some((tensor) => HEAD.test(tensor.name)))
    return `the output head has no tensor of its own here: it is tied to ${embedding.name}`;
  return `the name that comes nearest is ${nearest}${other}`;
}

/** A pattern with what stands before its first joker as a name has it. */
function mendedGlob(glob: string, name: string): string {
  const head = /^[^*?]*\./.exec(glob)?.[0] ?? '';
  const parts = head.split('.').length - 1;
  return `${name
    .split('.')
    .slice(0, parts)
    .map((part) => `${part}.`)
    .join('')}${glob.slice(head.length)}`;
}

/** The name that begins and ends most like the pattern, up to its first and from its last joker. */
function nearestName(glob: string, tensors: readonly PolicyTensor[]): string {
  const head = glob.split(/[*?]/, 1)[0]!;
  const tail = glob.split(/[*?]/).at(-1)!;
  const common = (a: string, b: string) => {
    let length = 0;
    while (length < Math.min(a.length, b.length) && a[length] === b[length]) length++;
    return length;
  };
  const reversed = (text: string) => [...text].reverse().join('');
  const tailBack = reversed(tail);
  let [nearest, most] = [tensors[0]?.name ?? 'none', -1];
  for (const { name } of tensors) {
    const alike = common(head, name) + common(tailBack, reversed(name.slice(-tail.length || name.length)));
    if (alike > most) [nearest, most] = [name, alike];
  }
  return nearest;
}
