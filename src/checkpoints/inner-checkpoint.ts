import { join } from 'node:path';
import { isWeightsFile } from './containers/safetensors/shard-names.ts';
import { holdsModelOfTorch } from './containers/torch/file-names.ts';
import type { Found } from './containers/types.ts';
import { positionFromName, reasonAgainstName } from './names.ts';

/**
 * Folders inside each other that are looked into: NeMo AutoModel has `model/consolidated`, verl
 * `actor/huggingface`.
 */
const DEEP = 3;
/**
 * Folders that are looked into on each level: a checkpoint has a few, and a tree of something else may have
 * thousands.
 */
const FOLDERS_READ = 32;

/** What trainers keep in folders beside the model: its optimizer, and other models. */
const NOT_THE_MODEL =
  /^(zero|optim|optimizer|lr_scheduler|scheduler|rng|random|dataloader|dataset|critic|value|ref|reference|reward|teacher|draft|logs?|tensorboard|wandb)([-_.].*)?$/i;

/**
 * The checkpoints inside a folder that holds no weights itself but in folders of its own, as where a trainer
 * converts what it saves: those with a config.json before others, the nearest before what lies deeper. More
 * than one where nothing says which is meant. A folder that names another step is another checkpoint.
 * @param own step of the folder; null where it names none
 * @param whatever whether those count that torch wrote, where the folder itself is in no form that is read
 * @returns paths that go on from the folder's own
 */
export async function innerCheckpoints(
  { store, path }: Pick<Found, 'store' | 'path'>,
  own: number | null,
  whatever = false,
): Promise<string[]> {
  let level = [''];
  const found: { readonly path: string; readonly rank: number }[] = [];
  for (let depth = 1; depth <= DEEP; depth++) {
    const next: string[] = [];
    for (const inner of level.slice(0, FOLDERS_READ)) {
      const entries = (await store.list(join(path, inner)).catch(() => null)) ?? [];
      for (const { name, kind } of entries) {
        if (kind !== 'folder' || NOT_THE_MODEL.test(name) || reasonAgainstName(name) !== null) continue;
        const step = positionFromName(name)?.step ?? own;
        if (step === own) next.push(join(inner, name));
      }
    }
    level = [];
    for (const inner of next.slice(0, FOLDERS_READ)) {
      const names = ((await store.list(join(path, inner)).catch(() => null)) ?? []).map(({ name }) => name);
      if (names.some(isWeightsFile) || (whatever && holdsModelOfTorch(names)))
        found.push({ path: join(path, inner), rank: depth + (names.includes('config.json') ? 0 : DEEP) });
      else level.push(inner);
    }
  }
  const best = Math.min(...found.map(({ rank }) => rank));
  return found.filter(({ rank }) => rank === best).map(({ path: inner }) => inner);
}
