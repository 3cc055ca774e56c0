/**
 * What PEFT calls the tensors of adapters, after the name of the module that they change
 * (`…q_proj.lora_A.default.weight`, `…q_proj.ia3_l.default`), with the method's name.
 */
const METHODS: readonly (readonly [words: string, method: string])[] = [
  [String.raw`lora_\w+`, 'LoRA'],
  ['ia3_l', 'IA3'],
  [String.raw`oft_(?:R|S|blocks?)`, 'OFT'],
  [String.raw`boft_\w+`, 'BOFT'],
  [String.raw`vera_(?:lambda_\w+|[AB])`, 'VeRA'],
  [String.raw`hada_\w+`, 'LoHa'],
  [String.raw`lokr_\w+`, 'LoKr'],
  ['ln_tuning_layers', 'LN tuning'],
  [String.raw`randlora_\w+`, 'RandLoRA'],
  [String.raw`vblora_\w+`, 'VB-LoRA'],
  [String.raw`fourierft_\w+`, 'FourierFT'],
  [String.raw`hra_u\w*`, 'HRA'],
  [String.raw`(?:bone|miss)_(?:block|r|l)\w*`, 'Bone'],
  [String.raw`shira_\w+`, 'SHiRA'],
  ['c3a_kernel', 'C3A'],
  ['trainable_tokens_(?:delta|original)', 'trainable tokens'],
  [String.raw`road_(?:theta|alpha)`, 'RoAd'],
];

/** Names of adapters as a group of a regular expression. */
export const ADAPTER_WORDS = METHODS.map(([words]) => words).join('|');

const ADAPTER = new RegExp(String.raw`^(.+?)\.(${ADAPTER_WORDS})(?:\.|$)`);
const PATTERNS = METHODS.map(([words, method]) => [new RegExp(`^(?:${words})$`), method] as const);
/** What wrapped weights are called, below an adapter or beside the copy of a module that is trained whole. */
const BASE = /\.(?:base_layer|original_module)\./;
const COPY = /\.modules_to_save\./;

/**
 * What a tensor is in PEFT's wrapper: a weight of the model in the wrapper, an adapter or the trained copy of a module,
 * with the name of the module; null for one that is called as without PEFT.
 */
export type PeftPart =
  | { readonly kind: 'base' }
  | { readonly kind: 'adapter'; readonly module: string; readonly method: string }
  | { readonly kind: 'copy' };

/** {@link PeftPart} of a tensor, by its name. */
export function peftPart(name: string): PeftPart | null {
  const adapter = ADAPTER.exec(name);
  if (adapter !== null) return { kind: 'adapter', module: adapter[1]!, method: PATTERNS.find(([p]) => p.test(adapter[2]!))![1] };
  if (BASE.test(name)) return { kind: 'base' };
  return COPY.test(name) ? { kind: 'copy' } : null;
}

/** Whether a tensor is the weight of a module that has adapters in it: before PEFT wrapped layers, it did so. */
export function isWeightOf(name: string, modules: ReadonlySet<string>): boolean {
  return name.endsWith('.weight') && modules.has(name.slice(0, -'.weight'.length));
}
