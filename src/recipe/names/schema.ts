import { z } from 'zod';
import { said } from '../file/schema.ts';

const text = z.string(said('must be text')).min(1, said('is empty'));
const name = text.max(1000, said('is longer than any name of a tensor'));
const index = z.union([z.int(), text], said('must be an index or a range, as -1 or "0:2"'));

const target = z.strictObject(
  {
    name: name.describe('The name there; its holes are those of `from`, or axes of the tensor, of which each index becomes a tensor.'),
    axes: text.optional().describe('The axes in their new order, as `(head half pair) in`; as they are when absent.'),
    take: z.record(z.string(), index, said('must be a map, as { slot: -1 }')).optional().describe('What of an axis: an index or a range.'),
  },
  said('must be a name, or a map with `name`'),
);

const to = z.union([name, target], said('must be a name, or a map with `name`'));

const rule = z.strictObject(
  {
    from: z
      .union([name, z.array(name).min(1, said('is an empty list'))], said('must be a name or a list of names'))
      .optional()
      .describe('Name of a tensor, with holes for numbers, as `layers.{layer}.norm.weight`; several are spellings of one.'),
    drop: z
      .union([name, z.array(name).min(1, said('is an empty list'))], said('must be a name or a list of names'))
      .optional()
      .describe('Instead of `from`: tensors that have no place there.'),
    axes: text.optional().describe('What its dimensions are made of, outermost first, as `(head=heads pair half=2) in`.'),
    to: z
      .union([name, target, z.array(to).min(1, said('is an empty list'))], said('must be a name, a map with `name`, or a list of them'))
      .optional(),
    optional: z
      .union([z.boolean(), z.literal('tied')], said('must be true, false or tied'))
      .optional()
      .describe('Checkpoints may lack it; tied: where config.json says that the embeddings are one.'),
    models: z
      .array(text, said('must be a list of model types'))
      .min(1, said('is an empty list'))
      .optional()
      .describe('Only models of these types have it.'),
  },
  said('must be a map, such as { from: norm.weight, to: model.norm.weight }'),
);

/** A names file, as zod checks it. */
export const namesSchema = z.strictObject(
  {
    models: z
      .array(text, said('must be a list of model types'))
      .min(1, said('is an empty list'))
      .optional()
      .describe('`model_type` of the config.json that the names are right for; any when absent.'),
    sizes: z
      .record(
        z.string(),
        z.int(said('must be a whole number of at least 1')).min(1, said('must be a whole number of at least 1')),
        said('must be a map of numbers, such as { heads: 32 }'),
      )
      .optional()
      .describe('Numbers that the rules speak of; they go before those of config.json.'),
    rules: z.array(rule, said('must be a list')).min(1, said('is an empty list')).describe('The first that fits a tensor decides.'),
  },
  said('must be a map with `rules`'),
);

export type NamesFile = z.infer<typeof namesSchema>;
