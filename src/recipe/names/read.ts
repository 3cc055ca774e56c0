import { basename } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { packageFile } from '../../base/package-root.ts';
import type { NamesTable } from '../../model/names/types.ts';
import { readYamlText } from '../file/read.ts';

/** Tables that come with the program, in the order in which they are tried: `names/NAME.yaml` each. */
export const BUILT_IN = ['torchtitan', 'torchtitan-qwen3', 'olmo-core', 'megatron'] as const;

/** The text of a table that comes with the program. */
export function builtInText(name: (typeof BUILT_IN)[number]): string {
  return packageFile(`names/${name}.yaml`);
}

let tables: Promise<readonly NamesTable[]> | undefined;

/** All tables that come with the program, read once. */
export function builtInTables(): Promise<readonly NamesTable[]> {
  tables ??= import('./parse.ts').then(({ parseNames }) => BUILT_IN.map((name) => parseNames(`${name}.yaml`, builtInText(name), name)));
  return tables;
}

/**
 * Reads a names file: YAML 1.2, of which JSON is a part.
 * @throws MergeError E_NAMES with every problem in `details.conflicts`; E_NOT_FOUND, E_NOT_READABLE
 */
export async function readNames(path: string): Promise<NamesTable> {
  const text = await readYamlText(path, (what) => {
    return new MergeError('E_NAMES', `${path} ${what}, so it is no names file`, {
      details: { file: path },
      help: 'A names file is a YAML file with `rules`: see docs/names.md, or begin with one of `merge names`.',
    });
  });
  const { parseNames } = await import('./parse.ts');
  return parseNames(path, text, basename(path));
}
