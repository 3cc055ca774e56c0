import { dtypeByCode } from '../../base/dtype.ts';
import { groupBy } from '../../base/group-by.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { CheckpointRoles } from './checkpoint-roles.ts';
import { layerStack } from './stack.ts';
import type { TensorRole } from './types.ts';

/** A tensor as the checks of experts see it. */
export interface MoeTensor {
  readonly name: string;
  readonly file: string;
  readonly shape: readonly number[];
  readonly projection: string | null;
}

/** The tensors `PREFIX N SUFFIX` of all numbers N: one matrix of each expert. */
export interface ExpertMatrices {
  readonly prefix: string;
  readonly suffix: string;
  readonly file: string;
  readonly projection: string | null;
  /** Experts that have it, in the order of the file, and its shape in each. */
  readonly experts: number[];
  readonly shapes: (readonly number[])[];
  highest: number;
}

/** One mixture of experts of one layer: mostly the only one there. */
export interface MoeBlock {
  /** Name up to the layer's number: encoder and decoder count theirs apart. */
  readonly stack: string;
  readonly layer: number;
  readonly mtp: boolean;
  /** Experts that are tensors of their own, by prefix and suffix. */
  readonly numbered: ExpertMatrices[];
  /** Tensors that hold all experts. */
  readonly fused: MoeTensor[];
  readonly routers: MoeTensor[];
  /** Learned biases and correction biases: a number for each row of the router. */
  readonly biases: MoeTensor[];
  /** Experts are chosen by a table instead of a router (hash layers). */
  hashed: boolean;
}

const ROUTER_WORD = /\.(?:\w*router\w*|gate|gating|gate_network|gating_network|moe_gate|expert_gate)(?=\.|$)/;
const EXPERT_WORD = /\.(?:\w*experts?(?:_?\d+)?|moe_w_\w+)(?=\.|$)/;
const NUMBERED = /^(.*?\.(?:\w*experts?\.|experts?_?))(\d+)(?=\.|$)/;
const GLUED = /^(.*\.(?:weight|bias))(\d+)$/;

/** The mixtures of experts of a checkpoint, in the order of their first tensors. */
export function moeBlocks({ shards }: Checkpoint, roles: CheckpointRoles): MoeBlock[] {
  const blocks = new Map<string, MoeBlock>();
  const stackOf = layerStack();
  /** Routers and biases by layer, until the layer's experts are known. */
  const steering: {
    readonly stack: string;
    readonly layer: number;
    readonly at: string;
    readonly role: TensorRole;
    readonly tensor: MoeTensor;
  }[] = [];
  const blockAt = (stack: string, layer: number, mtp: boolean, at: string): MoeBlock => {
    const key = `${stack} ${layer} ${at}`;
    let block = blocks.get(key);
    if (block === undefined) {
      block = { stack, layer, mtp, numbered: [], fused: [], routers: [], biases: [], hashed: false };
      blocks.set(key, block);
    }
    return block;
  };
  let run: { readonly prefix: string; readonly block: MoeBlock } | null = null;
  for (const [s, { path: file, tensors }] of shards.entries()) {
    const { names, shapes, dtypes, count } = tensors;
    for (let row = 0; row < count; row++) {
      const role = roles.of(s, row);
      if (typeof role.layer !== 'number') continue;
      const { layer, mtp, projection } = role;
      const [name, shape] = [names[row]!, shapes[row]!];
      if (role.role === 'expert' && typeof role.expert === 'number') {
        // Tensors of one layer follow each other, so its name is taken apart once.
        if (run === null || run.block.layer !== layer || !name.startsWith(run.prefix)) {
          const prefix = (NUMBERED.exec(name) ?? GLUED.exec(name))?.[1];
          if (prefix === undefined) continue;
          const stack = stackOf(name, layer);
          run = { prefix, block: blockAt(stack, layer, mtp, before(name, EXPERT_WORD, stack)) };
        }
        const { prefix, block } = run;
        const numbered = prefix.length + String(role.expert).length;
        // There are tens of thousands of these: what differs is found without cutting names.
        let matrices = block.numbered.find(
          (known) =>
            known.projection === projection &&
            known.prefix === prefix &&
            numbered + known.suffix.length === name.length &&
            name.endsWith(known.suffix),
        );
        if (matrices === undefined) {
          const suffix = name.slice(numbered);
          matrices = { prefix, suffix, file, projection, experts: [], shapes: [], highest: -1 };
          block.numbered.push(matrices);
        }
        matrices.experts.push(role.expert);
        matrices.highest = Math.max(matrices.highest, role.expert);
        matrices.shapes.push(shape);
      } else if (role.role === 'expert') {
        const stack = stackOf(name, layer);
        blockAt(stack, layer, mtp, before(name, EXPERT_WORD, stack)).fused.push({ name, file, shape, projection });
      } else if (
        role.role === 'router' ||
        role.role === 'router_bias' ||
        role.role === 'router_correction_bias' ||
        role.role === 'router_buffer'
      ) {
        // Packed codes say nothing of the rows.
        if (role.role !== 'router_buffer' && dtypeByCode(dtypes[row]!).kind === 'integer') continue;
        const stack = stackOf(name, layer);
        steering.push({ stack, layer, at: before(name, ROUTER_WORD, stack), role, tensor: { name, file, shape, projection } });
      }
    }
  }
  const layers = groupBy(blocks.values(), ({ stack, layer }) => `${stack} ${layer}`);
  for (const { stack, layer, at, role, tensor } of steering) {
    const own = blocks.get(`${stack} ${layer} ${at}`);
    const others = layers.get(`${stack} ${layer}`) ?? [];
    // Ernie's correction bias lies beside its router, and a layer has one mixture or names them apart.
    const block = own ?? (others.length === 1 ? others[0]! : others.length === 0 ? blockAt(stack, layer, role.mtp, at) : null);
    if (block === null) continue;
    if (role.role === 'router_buffer') block.hashed ||= role.projection === 'token_to_expert_table';
    else (role.role === 'router' ? block.routers : block.biases).push(tensor);
  }
  return [...blocks.values()];
}

/**
 * What holds the experts or the router: the name after its stack, up to the word for them, or to its last
 * word but `weight`.
 */
function before(name: string, word: RegExp, stack: string): string {
  const tail = name.slice(stack.length);
  const found = word.exec(tail);
  return found === null ? tail.replace(/(?:\.(?:weight|bias))?$/, '').replace(/\.[^.]*$/, '') : tail.slice(0, found.index);
}
