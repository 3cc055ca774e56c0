import { dirname, isAbsolute, join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { notHere } from '../../base/not-here.ts';
import { readYamlText } from '../file/read.ts';
import type { Grid } from './types.ts';

/**
 * Reads a grid file: YAML 1.2, of which JSON is a part. Relative paths in it are taken from its folder.
 * @throws MergeError E_GRID with every problem in `details.conflicts`; E_NOT_FOUND, E_NOT_READABLE
 */
export async function readGrid(path: string): Promise<Grid> {
  const text = await readYamlText(path, (what) => {
    return new MergeError('E_GRID', `${path} ${what}, so it is no grid file`, {
      details: { file: path },
      help: 'A grid file is a YAML file with `run` and `windows`: see docs/grid.md.',
    });
  });
  // As of recipes: only who reads one waits for the parser.
  const { parseGrid } = await import('./parse.ts');
  const folder = dirname(path);
  return parseGrid(path, text, (place) => (isAbsolute(place) || notHere(place) !== null ? place : join(folder, place)));
}

/** The JSON Schema of grid files, for editors that complete and check YAML. */
export async function gridJsonSchema(): Promise<object> {
  const { gridSchemaDocument } = await import('./schema.ts');
  return gridSchemaDocument();
}
