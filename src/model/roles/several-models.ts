import type { Warning } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { sectionOf } from '../../checkpoints/tensors/section.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { kindsOfNames } from './name-kinds.ts';

/**
 * Keys under which trainers keep another model beside the one that they train: its average, its teacher, what
 * it is compared with; at the beginning or under one key (`state_dict.ema.…`).
 */
const BESIDE =
  /^(?:\w+\.)?(?:\w+_ema|ema(?:_\w+)?|teacher(?:_\w+)?|student(?:_\w+)?|ref(?:erence)?(?:_(?:model|policy|state_dict))?|target_(?:model|network|encoder)|old_(?:model|policy)|swa_model|averaged?_model)(?=\.)/;
/** What averagers keep their copies under: lists of parameters without names. */
const COUNTED = /(?:^|\.)(?:shadow_params|params)\.\d+$/;

/** Another model in a checkpoint: the key that all its tensors have, and how many they are. */
interface OtherModel {
  readonly key: string;
  readonly tensors: number;
}

/**
 * Other models in a checkpoint, by the names of its tensors: at least half of those under such a key are
 * called as tensors under other keys are, or are numbered. A part of a model that is called so (`ref` of
 * none) is none.
 */
export function otherModels(names: readonly string[]): OtherModel[] {
  const groups = new Map<string, string[]>();
  const rest: string[] = [];
  for (const name of names) {
    const key = BESIDE.exec(name)?.[0];
    if (key === undefined) rest.push(name);
    else groups.set(key, [...(groups.get(key) ?? []), name]);
  }
  if (groups.size === 0) return [];
  return [...groups].flatMap(([key, own]): OtherModel[] => {
    const others = [...rest, ...[...groups].flatMap(([other, inside]) => (other === key ? [] : inside))];
    // The same name with nothing, or another key, before it; wrappers and `module` may stand between.
    const ends = new Set(others.flatMap(endsOf));
    const alike = own.filter((name) => COUNTED.test(name) || namesIn(name.slice(key.length + 1)).some((end) => ends.has(end)));
    return alike.length * 2 < own.length ? [] : [{ key, tensors: own.length }];
  });
}

/** What a tensor may be called in its own model; one key alone says nothing where others are before it. */
function namesIn(name: string): string[] {
  return endsOf(name).filter((end) => end === name || end.includes('.'));
}

/** A name, and what is left of it without its first one and two keys. */
function endsOf(name: string): string[] {
  const first = name.indexOf('.') + 1;
  const second = name.indexOf('.', first) + 1;
  return [name, ...(first > 0 ? [name.slice(first)] : []), ...(second > first ? [name.slice(second)] : [])];
}

/**
 * One warning where a checkpoint holds several models, of which a merge and a conversion keep all.
 * @param kept whether a tensor is to be in the output
 */
export function severalModels(checkpoint: Checkpoint, kept: (shard: number, row: number) => boolean = () => true): Warning[] {
  if (checkpoint.namesPerFile || !kindsOfNames(checkpoint).some((name) => BESIDE.test(name))) return [];
  const { path, shards } = checkpoint;
  const names = shards.flatMap(({ tensors }, shard) =>
    tensors.names.filter((_, row) => sectionOf(tensors, row) === 'model' && kept(shard, row)),
  );
  const others = otherModels(names);
  if (others.length === 0) return [];
  const counts = others.map(({ key, tensors }) => `${key} (${tensors} of its ${names.length} tensors)`).join(' and ');
  const message = worded`${path}: holds another model beside the one that is trained, by its names: ${counts}; outputs hold all of them, each under its own names: to leave one out, merge with --policy 'name=${others[0]!.key}.*:use=drop' (of one checkpoint too)`;
  return [{ code: 'W_SEVERAL_MODELS', message }];
}
