import { type DtypeName, dtypeByName } from '../../base/dtype.ts';
import type { ErrorCode } from '../../base/errors.ts';
import type { DefaultName, PolicyTensor, Treatment } from './types.ts';

/** One line of the default table. */
export interface DefaultRow {
  readonly name: DefaultName;
  /** Which tensors, for people. */
  readonly tensors: string;
  /** @param allowUnknown `--allow-unknown` */
  readonly fits: (tensor: PolicyTensor, allowUnknown: boolean) => boolean;
  /** What is done with them, for people. */
  readonly treatment: string;
  readonly kind: Treatment['kind'];
  /** `equal`: what it is when they differ. */
  readonly unequal?: ErrorCode;
  /**
   * They keep the dtype in which they are stored, whatever the output's; or take the output's where that is
   * wider.
   */
  readonly keepsDtype?: true | 'unless-wider';
  /** Why no policy may average them. */
  readonly never?: string;
  /** Only their names say so: a policy that names them may average them all the same. */
  readonly unlessNamed?: true;
  readonly why: string;
}

/** TransformerEngine's scales and histories, and the bounds to which activations are clipped (Gemma 4). */
const ACTIVATION_STATE = /(?:^|\.)(?:_extra_state\d*(?:\/.*)?|(?:input|output)_(?:min|max))$/;

/** Whether a tensor describes the activations of one checkpoint, by its name. */
export function isActivationState({ name, role: { role } }: Pick<PolicyTensor, 'name' | 'role'>): boolean {
  // Nearly all are called so, and there may be half a million.
  if (name.endsWith('.weight') && !name.includes('/')) return false;
  return role !== 'quant_scale' && role !== 'quant_meta' && ACTIVATION_STATE.test(name);
}

const isOfActivations = (tensor: PolicyTensor): boolean => tensor.bounds === true || isActivationState(tensor);

const CONSTANT: ReadonlySet<string | null> = new Set(['rope_buffer', 'buffer', 'router_buffer']);
const BATCH_STATISTICS = /(?:^|\.)(?:running_mean|running_var|num_batches_tracked)$/;
const PLAIN: ReadonlySet<DtypeName> = new Set(['F64', 'F32', 'F16', 'BF16']);
const kindOf = ({ dtype, codes }: PolicyTensor) => (codes ? 'float' : dtypeByName(dtype)!.kind);

/** What becomes of a tensor of a checkpoint that is converted, where no other dtype is asked for. */
export const CONVERTED: DefaultRow = {
  name: 'converted',
  tensors: 'tensors of a conversion, but those of the optimizer',
  fits: ({ role: { role } }) => role !== 'optimizer',
  treatment: 'their bytes, whatever they are',
  kind: 'equal',
  unequal: 'E_NOT_EQUAL',
  keepsDtype: true,
  why: 'a conversion computes nothing',
};

/**
 * What becomes of a tensor that no policy is about: the first row that fits. `docs/policies.md` prints it.
 */
export const DEFAULTS: readonly DefaultRow[] = [
  {
    name: 'scale',
    tensors: 'scales and zero points of quantised weights',
    fits: ({ role: { role } }) => role === 'quant_scale' || role === 'quant_meta',
    treatment: 'with their weights',
    kind: 'with-weight',
    never: 'scales go where their weights go',
    why: 'codes and scales have a meaning only together',
  },
  {
    name: 'training state',
    tensors: 'adapters (LoRA and its kin) and optimizer states',
    fits: ({ role: { role } }, allowUnknown) => (role === 'lora' && !allowUnknown) || role === 'optimizer',
    treatment: 'left out, with a warning; `--allow-unknown` averages what is called like an adapter',
    kind: 'drop',
    why: 'the mean of two low-rank products is not the product of the means, and moments are no weights',
  },
  {
    name: 'partial buffer',
    tensors: 'constant buffers (RoPE frequencies, masks, positions, scales of embeddings) that only some members have',
    fits: ({ partial }) => partial === true,
    treatment: 'left out, with a warning',
    kind: 'drop',
    why: 'models make them again from their configuration, and versions of a library differ in whether they store them',
  },
  {
    name: 'activation state',
    tensors:
      "what describes activations, where members differ in it: TransformerEngine's `_extra_state`, bounds of clipping (`input_max`), infinite scalars",
    fits: (tensor) => tensor.differs === true && isOfActivations(tensor),
    treatment: 'from the newest member, in their stored dtype, with a warning',
    kind: 'member',
    keepsDtype: true,
    never: 'what was measured on the activations of a checkpoint is that of one',
    unlessNamed: true,
    why: 'scales and histories were measured on one checkpoint, and of infinities there is no mean',
  },
  {
    name: 'statistics',
    tensors: "BatchNorm's running statistics, and those that count a router's tokens",
    fits: ({ name, role: { role, projection } }) =>
      (role === 'router_buffer' && projection === 'stats') || (role === 'buffer' && BATCH_STATISTICS.test(name)),
    treatment: 'from the newest member, in their stored dtype',
    kind: 'member',
    keepsDtype: true,
    never: 'statistics describe the checkpoint that they were counted in',
    unlessNamed: true,
    why: 'they describe one checkpoint, and differ between any two',
  },
  {
    name: 'integer',
    tensors: 'integer and boolean tensors',
    fits: (tensor) => kindOf(tensor) === 'integer',
    treatment: 'equal in all members, then copied',
    kind: 'equal',
    unequal: 'E_INTEGERS_DIFFER',
    never: 'integers are never averaged',
    why: 'the mean of two table entries is a third one',
  },
  {
    name: 'rounded buffer',
    tensors: 'constant buffers that members hold in several float dtypes, and that are the same but for rounding',
    fits: ({ rounded }) => rounded === true,
    treatment: 'from the newest member, in their stored dtype',
    kind: 'member',
    keepsDtype: true,
    never: 'constant buffers keep their bytes',
    unlessNamed: true,
    why: 'libraries differ in whether they cast them with the model',
  },
  {
    name: 'buffer',
    tensors: 'constant buffers: RoPE frequencies, masks, decays, and what describes activations',
    fits: (tensor) => CONSTANT.has(tensor.role.role) || isOfActivations(tensor),
    treatment: 'equal in all members, then copied in their stored dtype',
    kind: 'equal',
    unequal: 'E_BUFFERS_DIFFER',
    keepsDtype: true,
    never: 'constant buffers keep their bytes',
    unlessNamed: true,
    why: 'nothing trains them: a difference means another configuration',
  },
  {
    name: 'packed',
    tensors: 'complex numbers, and codes of formats that nothing here reads',
    fits: (tensor) => kindOf(tensor) !== 'float',
    treatment: 'refused',
    kind: 'equal',
    unequal: 'E_UNSUPPORTED_DTYPE',
    never: 'codes are never averaged one by one',
    why: 'the mean of two codes is not the code of the mean',
  },
  {
    name: 'correction bias',
    tensors: "correction biases of routers (DeepSeek's `e_score_correction_bias` and its kin)",
    fits: ({ role: { role } }) => role === 'router_correction_bias',
    treatment: "averaged by the output's schedule, in their stored dtype or a wider one that is asked for",
    kind: 'average',
    keepsDtype: 'unless-wider',
    why: 'they move in steps of about 0.001, of which BF16 would round half away',
  },
  {
    name: 'unknown',
    tensors: 'floats whose names no rule knows, and of which something says that they are no weights',
    fits: ({ dtype, role: { role }, unknown }, allowUnknown) =>
      role === null && !allowUnknown && ((unknown?.doubt ?? null) !== null || !PLAIN.has(dtype)),
    treatment: 'equal in all members, then copied; `--allow-unknown` averages them',
    kind: 'equal',
    unequal: 'E_UNKNOWN_TENSOR',
    why: 'scales beside codes, tables, constants: see below. All others are averaged, with one warning',
  },
  {
    name: 'weight',
    tensors: 'everything else',
    fits: () => true,
    treatment: "averaged by the output's schedule",
    kind: 'average',
    why: 'that is what a merge is',
  },
];
