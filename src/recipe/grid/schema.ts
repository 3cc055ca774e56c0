import { z } from 'zod';
import { entries, optionSchema, policySchema, said, sentence } from '../file/schema.ts';
import { type Option, RECIPE, SELECT } from '../options.ts';
import { parameterLabel } from '../schedule/parameters.ts';
import type { Recipe } from '../types.ts';
import { axisOption, PARAMETER_AXES, TREATMENT_AXES } from './axes.ts';
import { GRID } from './options.ts';

/** One value of an axis, or a list of them. */
function axis(name: string, option: Option): z.ZodType {
  const label = parameterLabel(name);
  const one = optionSchema(label, option);
  const several = z.array(one, said('must be a value or a list of values')).min(1, said('is an empty list'));
  return z.union([one, several], said('must be a value or a list of values'));
}

function axes(table: readonly (readonly [name: string, option: Option])[]) {
  return Object.fromEntries(
    table.map(([name, option]) => [parameterLabel(name), axis(name, option).optional().describe(sentence(name, option))]),
  );
}

const quantities = z.union([z.string(), z.number()], said('must be an amount such as 125B, or a word'));
const list = (one: z.ZodType) => z.union([one, z.array(one).min(1, said('is an empty list'))], said('must be a value or a list of values'));

/** A grid file, as zod checks it and as editors know it. */
export const gridSchema = z.strictObject(
  {
    run: z.string(said('must be a path')).min(1, said('is an empty path')).describe('Folder of the run, relative to this file.'),
    windows: axis('windows', GRID.windows).describe(sentence('windows', GRID.windows)),
    endpoints: list(quantities).optional().describe(sentence('endpoints', GRID.endpoints)),
    controls: list(z.string(said('must be text')))
      .optional()
      .describe(sentence('controls', GRID.controls)),
    ...axes([
      ['strides', GRID.strides],
      ['stageStarts', GRID.stageStarts],
      ...(['method', ...PARAMETER_AXES, ...TREATMENT_AXES] as const).map((name) => [name, axisOption(name)] as const),
    ]),
    members: axis('members', GRID.members).optional().describe(sentence('members', GRID.members)),
    ...entries({ memberScores: GRID.memberScores, memberMetrics: GRID.memberMetrics, memberGoal: GRID.memberGoal }),
    stage: optionSchema('stage', SELECT.stage).optional().describe(sentence('stage', SELECT.stage)),
    policies: z
      .record(z.string(), z.array(policySchema, said('must be a list of policies')), said('must be a map of sets of policies by name'))
      .optional()
      .describe('Sets of policies by name, each an arm of its own: { plain: [], newest-routers: [{ role: routers, use: newest }] }.'),
    ...entries<Omit<Recipe, 'inputs' | 'outputs'>>(RECIPE),
  },
  said('must be a map with `run` and `windows`'),
);

/** The JSON Schema of a grid file, for editors. */
export function gridSchemaDocument(): object {
  // Draft 7 is what the YAML extensions of editors know.
  const { $schema, ...schema } = z.toJSONSchema(gridSchema, { target: 'draft-7', io: 'input' });
  return { $schema, title: 'ckpt-merge grid', ...schema };
}
