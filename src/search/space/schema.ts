import { z } from 'zod';
import { numberWithin, said } from '../../recipe/file/schema.ts';
import { ROLE_NAMES } from '../../recipe/policy/roles.ts';
import { DEFAULT_LEAST_LAMBDA } from './pairwise.ts';
import { parameterOf, SCHEDULE_PARAMETER_NAMES, type ScheduleParameterName } from './schedule-parameters.ts';
import { MOST_WEIGHTED } from './weights.ts';

/** One value of a parameter. */
function single(name: ScheduleParameterName): z.ZodType {
  const { kind, range = {}, choices = [] } = parameterOf(name);
  if (kind === 'point') return z.union([z.number(), z.string()], said('must be a step or a token count, as 2000 or 5B'));
  if (kind === 'choice') return z.enum(choices as [string, ...string[]], said(`must be one of ${choices.join(', ')}`));
  const number = kind === 'integer' ? z.int(said('must be a whole number')) : z.number(said('must be a finite number'));
  return numberWithin(number, range);
}

/** What a parameter is searched over. */
function searched(name: ScheduleParameterName): z.ZodType {
  const value = single(name);
  const list = z.array(value, said('must be a list of values')).min(1, said('is an empty list'));
  if (parameterOf(name).kind === 'choice' || parameterOf(name).kind === 'point') return list;
  const range = z.strictObject({
    from: value.describe('Least value, included.'),
    to: value.describe('Greatest value, included.'),
    log: z.boolean(said('must be true or false')).optional().describe('Evenly over the logarithm.'),
  });
  return z.union([range, list], said('must be a range such as { from: 2, to: 10 } or a list of values (one value stands under `fixed`)'));
}

/** A map of the parameters of schedules. */
function parameters(entry: (name: ScheduleParameterName) => z.ZodType, like: string) {
  const shape = Object.fromEntries(
    SCHEDULE_PARAMETER_NAMES.map((name) => {
      const { help, default: otherwise } = parameterOf(name);
      return [
        name,
        entry(name)
          .optional()
          .describe(`${help}${otherwise === undefined ? '' : ` (default: ${otherwise})`}.`),
      ];
    }),
  );
  return z.strictObject(shape, said(`must be a map of parameters, such as { ${like} }`));
}

const role = z.enum(ROLE_NAMES as [string, ...string[]], said('must be a role'));
const ofRole = parameters(
  (name) => z.union([searched(name), single(name)], said('must be a range, a list of values, or one value')),
  'window: { from: 1, to: 10 }',
);

/** A search space as a file describes it: as zod checks it and as editors know it. */
export const spaceSchema = z.strictObject(
  {
    space: z
      .enum(['pairwise', 'weights', 'schedule'], said('must be one of pairwise, weights, schedule'))
      .describe(
        `pairwise: one weight between two checkpoints; weights: those of up to ${MOST_WEIGHTED} checkpoints; schedule: the parameters of a schedule over any number.`,
      ),
    alpha: z
      .number(said('must be a number of at least 0 and below 1'))
      .optional()
      .describe(`pairwise: least weight of the newer checkpoint (default: ${DEFAULT_LEAST_LAMBDA}).`),
    separate: z
      .array(role, said('must be a list of roles, such as [routers]'))
      .min(1, said('is an empty list'))
      .optional()
      .describe('pairwise, weights: roles or groups of roles, as in policies, with weights of their own.'),
    parameters: parameters(searched, 'window: { from: 2, to: 10 }').optional().describe('schedule: what is searched.'),
    fixed: parameters(single, 'method: sma').optional().describe('schedule: values of parameters that are not searched.'),
    roles: z
      .strictObject(Object.fromEntries(ROLE_NAMES.map((name) => [name, ofRole.optional()])), said('must be a map of roles'))
      .optional()
      .describe(
        'schedule: roles or groups of roles, as in policies, with weights of their own; what a role does not give, it has in common with the rest.',
      ),
  },
  said('must be a map with `space`'),
);

/** The JSON Schema of a space file, for editors. */
export function spaceJsonSchema(): object {
  // Draft 7 is what the YAML extensions of editors know.
  const { $schema, ...schema } = z.toJSONSchema(spaceSchema, { target: 'draft-7', io: 'input' });
  return { $schema, title: 'ckpt-merge search space', ...schema };
}
