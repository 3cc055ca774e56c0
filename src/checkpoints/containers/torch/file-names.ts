/** Names of files of torch.save, and what they say. */

/** Who wrote a file that Lightning saved. */
export const LIGHTNING = 'PyTorch Lightning (torch.save)';

/** What Hugging Face calls them. */
export const INDEX = 'pytorch_model.bin.index.json';
export const SINGLE = 'pytorch_model.bin';
/** What DeepSpeed saves of the model with ZeRO 1 and 2: all weights, under `module`. */
export const DEEPSPEED = /^mp_rank_\d+_model_states\.pt$/;
/** A rank's part of the optimizer's state with ZeRO, of all that has no tensor parallelism. */
export const ZERO_STATE = /^(?:\w+_)?zero_pp_rank_(\d+)_mp_rank_00_optim_states\.pt$/;
/** What GPT-NeoX keeps of its layers beside it: the weights are there, and not under `module`. */
export const PIPELINE = /^layer_\d+-model/;
/** What DeepSpeed's ZeRO 3 saves of the model: empty tensors. */
export const ZERO_3 = /^(?:bf16_)?zero_pp_rank_\d+_mp_rank_\d+_model_states\.pt$/;
/** A rank of Megatron-LM, of the time before its distributed checkpoints. */
export const MEGATRON_RANK = /^mp_rank_\d+(?:_\d+)*\/(?:model_optim_rng|model_rng)\.pt$/;

/** Files of torch.save by their endings, but what trainers keep beside the weights. */
export const MODEL_OF_TORCH =
  /^(?!(?:.*\/)?(?:optim|scheduler|lr_scheduler|scaler|rng_state|random_states|sampler|custom_checkpoint|training_args|dl_state_dict|(?:bf16_)?zero_pp_rank_|extra_state_|train\.)[^/]*$).*\.(?:bin|pt|pth|ckpt)$/;
/** Names that say that a file is the model, whatever lies beside it. */
const MODEL = /^(?:model|pytorch_model(?:_fsdp)?|lit_model|consolidated(?:\.00)?)\.(?:bin|pt|pth|ckpt)$/;
/** Parts of a model by their names: one of them is not all. */
const PART = /(?:^|[._-])(?:rank|part|shard|world_size)[._-]?\d|\d-of-\d|^consolidated\.\d+/;

/**
 * The file of a folder that is the model: the one that is called so, else the only one that may be it.
 * @returns null where there is none, or several
 */
export function modelFile(names: Iterable<string>): { readonly name: string; readonly called: boolean } | null {
  const files = [...names].filter((name) => MODEL_OF_TORCH.test(name)).sort();
  if (files.filter((name) => /^consolidated\.\d+/.test(name)).length > 1) return null;
  const [called, other] = files.filter((name) => MODEL.test(name));
  if (called !== undefined) return other === undefined ? { name: called, called: true } : null;
  const [only, second] = files;
  return only === undefined || second !== undefined || PART.test(only) ? null : { name: only, called: false };
}

/** Whether names in a folder are those of a model that torch.save or torch.distributed wrote. */
export function holdsModelOfTorch(names: readonly string[]): boolean {
  return (
    names.some((name) => name === INDEX || name === SINGLE || DEEPSPEED.test(name)) ||
    (names.includes('.metadata') && names.some((name) => name.endsWith('.distcp'))) ||
    modelFile(names)?.called === true
  );
}
