import type { Conflict, Warning } from '../../base/errors.ts';
import type { TensorTable } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { isWeightOf, peftPart } from './adapters.ts';
import { kindsOfNames } from './name-kinds.ts';

/** What wrappers put before the names of all that they hold, and what to save instead. */
const PREFIXES: readonly (readonly [prefix: string, wrapper: string])[] = [
  ['_orig_mod.', 'torch.compile'],
  ['_forward_module.', "Lightning's strategies"],
  ['_fsdp_wrapped_module.', 'FSDP'],
  ['_checkpoint_wrapped_module.', 'activation checkpointing'],
  ['module.', 'DistributedDataParallel or DeepSpeed'],
  ['base_model.model.', 'PEFT'],
];
/** The same inside a name. */
const INNER = /(?<=\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\./g;

/**
 * The names of a checkpoint's tensors with a wrapper's in them, by which no library finds its weights: one
 * warning. Only a prefix of all tensors is a wrapper's, for a model may have a part of that name.
 */
export function wrappedNames(checkpoint: Checkpoint): Warning[] {
  if (checkpoint.namesPerFile) return [];
  const names = kindsOfNames(checkpoint);
  const found = outerWrappers(names);
  const outer = found.reduce((length, [prefix]) => length + prefix.length, 0);
  const inner = names.find((name) => innerWrapper(name, outer) !== undefined);
  const within = inner === undefined ? undefined : innerWrapper(inner, outer);
  const parts = [...found.map(([prefix]) => prefix), ...(within === undefined ? [] : [within])];
  if (parts.length === 0) return [];
  const [example] = inner === undefined ? names : [inner];
  const who = found.length === 0 ? 'a wrapper in training' : found.map(([, wrapper]) => wrapper).join(' and ');
  const which = found.length === 0 ? 'names of tensors hold' : `the names of all ${checkpoint.tensorCount} tensors begin with`;
  // Part of a name of the model's own may be called the same.
  const without = within === undefined ? 'k' : `k.replace('.${within}', '.')`;
  const strip = found.reduce((text, [prefix]) => `${text}.removeprefix('${prefix}')`, without);
  const message =
    `${checkpoint.path}: ${which} ${parts.join(' and ')} (${example}), which ${who} put there and a merge keeps; libraries do not find the ` +
    `weights by such names: save the model without its wrapper, or rename the tensors of the merge, file by file, with safetensors.torch: ` +
    `save_file({${strip}: v for k, v in load_file(F).items()}, F, {'format': 'pt'})`;
  return [{ code: 'W_WRAPPED_NAMES', message }];
}

/** A wrapper's part of a name behind its first characters. */
function innerWrapper(name: string, from: number): string | undefined {
  INNER.lastIndex = from;
  return INNER.exec(name)?.[0];
}

/** Prefixes that all names have, outermost first. */
function outerWrappers(names: readonly string[]): (typeof PREFIXES)[number][] {
  // Files of adapters are called so, and are read with their names.
  if (names.some((name) => peftPart(name) !== null)) return [];
  const found: (typeof PREFIXES)[number][] = [];
  for (let at = 0; names.length > 0; ) {
    const next = PREFIXES.find(([prefix]) => names.every((name) => name.startsWith(prefix, at)));
    if (next === undefined) break;
    found.push(next);
    at += next[0].length;
  }
  return found;
}

/**
 * Models that were saved in PEFT's wrapper: base weights beside the adapters that change them. Without the
 * adapters they are not the models that were trained, and their mean is not that of what they stand for. A
 * folder with adapters alone is another matter. By names, which may be a model's own. One conflict for all.
 */
export function peftConflicts(checkpoints: readonly Checkpoint[]): Conflict[] {
  const found = new Map<TensorTable['names'], Conflict | null>();
  const conflicts = checkpoints.flatMap((checkpoint) => {
    const [first] = checkpoint.shards;
    // The steps of a run share their names.
    if (first === undefined || checkpoint.namesPerFile) return [];
    const { names } = first.tensors;
    if (!found.has(names)) found.set(names, peftConflict(checkpoint));
    return found.get(names) ?? [];
  });
  const [conflict] = conflicts;
  if (conflict === undefined) return [];
  const others = conflicts.length === 1 ? '' : conflicts.length === 2 ? '; and so is another' : `; and so are ${conflicts.length - 1} more`;
  return [{ ...conflict, message: `${conflict.message}${others}` }];
}

function peftConflict(checkpoint: Checkpoint): Conflict | null {
  if (kindsOfNames(checkpoint).every((name) => peftPart(name) === null)) return null;
  const { path, shards } = checkpoint;
  const methods = new Set<string>();
  const modules = new Set<string>();
  let [weights, adapters, copies] = [0, 0, 0];
  let first: string | undefined;
  for (const { tensors } of shards) {
    for (const name of tensors.names) {
      const part = peftPart(name);
      if (part === null) continue;
      if (part.kind === 'base') {
        weights++;
        first ??= name;
      } else if (part.kind === 'copy') copies++;
      else {
        adapters++;
        methods.add(part.method);
        modules.add(part.module);
      }
    }
  }
  for (const { tensors } of modules.size === 0 ? [] : shards) {
    for (const name of tensors.names) {
      if (!isWeightOf(name, modules)) continue;
      weights++;
      first ??= name;
    }
  }
  if (first === undefined) return null;
  const beside = [
    ...(adapters === 0 ? [] : [`adapters (${[...methods].sort().join(', ')}, ${counted(adapters)})`]),
    ...(copies === 0 ? [] : [`trained copies (modules_to_save, ${counted(copies)})`]),
  ];
  const what = `${weights} of its weights (the first is ${first})`;
  const message =
    beside.length === 0
      ? `${path} is a model in PEFT's wrapper: ${what} are called as PEFT calls those below its adapters, of which it holds none`
      : `${path} is a model in PEFT's wrapper: ${what} have ${beside.join(' and ')} beside them, and neither is the model without the other`;
  return { code: 'E_LAYOUT_FORM', message, help: PEFT_HELP, file: path, tensor: first };
}

const counted = (tensors: number): string => `${tensors} tensor${tensors === 1 ? '' : 's'}`;

const PEFT_HELP =
  'Load each checkpoint with peft, call merge_and_unload() and save_pretrained(), and merge what that writes. Where these are names of ' +
  "the model's own, and not PEFT's: --allow-unknown averages all of them, adapters too.";
