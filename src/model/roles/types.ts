import type { DtypeName } from '../../base/dtype.ts';

/**
 * What a tensor is for. `attn_norm` is a norm inside attention (of queries, keys or latents); `router_bias` a
 * learned bias on the router's logits, `router_correction_bias` one that only steers which experts are
 * chosen; `residual_mix` scales or mixes residual streams; `other` is known and fits nowhere else.
 */
export const ROLES = [
  'embedding',
  'position_embedding',
  'per_layer_embedding',
  'attn',
  'attn_norm',
  'mlp',
  'norm',
  'ssm',
  'router',
  'router_bias',
  'router_correction_bias',
  'router_other',
  'router_buffer',
  'expert',
  'shared_expert',
  'shared_expert_gate',
  'residual_mix',
  'mtp_proj',
  'lm_head',
  'vision',
  'audio',
  'projector',
  'rope_buffer',
  'buffer',
  'quant_scale',
  'quant_meta',
  'lora',
  'optimizer',
  'other',
] as const;

export type Role = (typeof ROLES)[number];

/** What a model's configuration says that names alone leave open. */
export interface NamingContext {
  /**
   * `num_hidden_layers`: a layer from this index on belongs to multi-token prediction. Null where unknown.
   */
  readonly layers: number | null;
  /**
   * Routed experts of a layer; 0 for a configuration that names none, null where there is no configuration.
   */
  readonly experts: number | null;
  /** `model_type`. */
  readonly family: string | null;
  /**
   * Whether any tensor holds codes of quantised weights: where none does, what is called like a scale is
   * none. Null where unknown.
   */
  readonly codes?: boolean | null;
  /**
   * Whether any tensor is an adapter's (LoRA): without one, `base_model.model.` is a prefix that PEFT left on weights.
   * Taken for true where absent.
   */
  readonly adapters?: boolean;
}

/** One tensor, classified. */
export interface TensorRole {
  /** Null where no rule knows the name. */
  readonly role: Role | null;
  /** Role of the weight that a scale, an adapter or an optimizer state belongs to; else null. */
  readonly of: Role | null;
  /** `all`: layers are an axis of the tensor. */
  readonly layer: number | 'all' | null;
  /** `all`: the experts of a layer are in one tensor. */
  readonly expert: number | 'all' | null;
  /**
   * Which matrix it is: `q`, `k`, `v`, `o`, `gate`, `up`, `down`, `gate_up` …, or the last word of the name.
   */
  readonly projection: string | null;
  /** Belongs to a multi-token prediction layer. */
  readonly mtp: boolean;
  readonly tower: 'vision' | 'audio' | null;
  /** `model_type` of the context. */
  readonly family: string | null;
}

/** @param dtype null where unknown @param shape null where unknown */
export type Classify = (name: string, dtype?: DtypeName | null, shape?: readonly number[] | null) => TensorRole;
