import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { HF_NAMES, type Recipe } from './types.ts';

/** A path that a recipe file names and that lies outside its folder. */
export interface OutsidePath {
  /** The entry of the recipe that names it. */
  readonly what: 'inputs' | 'like' | 'names' | 'config' | 'tokens-file' | 'decay-file' | 'lr-curve' | 'scores' | 'weights-file' | 'outputs';
  readonly path: string;
  /** It lies in the folder that holds the recipe's own, as the output beside a merge that is made again does. */
  readonly beside?: true;
}

/**
 * What a recipe that was read from a file in `folder` names outside of it, each once: recipes are handed on, and
 * who runs one should see what of theirs it reads and writes. Links are not followed.
 */
export function pathsOutside({ inputs, like, names, config, tokensFile, outputs }: Recipe, folder: string): readonly OutsidePath[] {
  const weighing = outputs.flatMap((output) => [output, ...(output.policies ?? [])]);
  const named: readonly (readonly [OutsidePath['what'], readonly (string | undefined)[]])[] = [
    ['inputs', inputs],
    ['like', [like]],
    ['names', [names === HF_NAMES ? undefined : names]],
    ['config', [config]],
    ['tokens-file', [tokensFile]],
    ['decay-file', weighing.map(({ decayFile }) => decayFile)],
    ['lr-curve', weighing.map(({ lrCurve }) => lrCurve)],
    ['scores', outputs.map(({ select }) => select?.scores)],
    ['weights-file', outputs.map(({ weightsFile }) => weightsFile)],
    ['outputs', outputs.map(({ path }) => path)],
  ];
  return named.flatMap(([what, paths]) =>
    [...new Set(paths)].flatMap((path) => {
      if (path === undefined || isInside(path, folder)) return [];
      return [{ what, path, ...(isInside(path, dirname(resolve(folder))) ? { beside: true as const } : {}) }];
    }),
  );
}

function isInside(path: string, folder: string): boolean {
  const way = relative(resolve(folder), resolve(path));
  return way !== '..' && !way.startsWith('../') && !isAbsolute(way);
}
