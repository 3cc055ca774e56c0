/** Name of the provenance file in a published folder. */
export const PROVENANCE_FILE = 'merge_provenance.json';
/** The record of a merge that is one file and can hold none: beside it. @param path of the file */
export function recordBeside(path: string): string {
  return `${path}.${PROVENANCE_FILE}`;
}

/**
 * Key in `__metadata__`: the short form in the shards of a folder, the provenance itself in a single file,
 * which has no folder to keep it in.
 */
export const METADATA_KEY = 'ckpt_merge';

/** Name of the recipe in a published folder. */
export const RECIPE_FILE = 'merge_recipe.yaml';
