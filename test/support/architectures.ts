import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { DtypeName } from '../../src/base/dtype.ts';
import { layerNumbers } from '../../src/model/roles/layer-checks.ts';
import { CONFIG_KEYS, configNumber } from '../../src/model/roles/model-config.ts';
import { countParameters } from '../../src/model/roles/model-size.ts';
import { structure } from '../../src/model/roles/structure.ts';
import { doubtByName } from '../../src/model/roles/unknown.ts';
import { opened, type TinyModel } from './tiny-models.ts';

/** `model.layers.{0-3}.mlp.experts.{0-7}.up_proj.weight 16x32 F32`: a name of ranges, its shape, its dtype if not BF16. */
type Line = string;

/**
 * A tiny model of every architecture of transformers that can be built without weights, of which
 * test/golden/make/architectures.py kept names, shapes and what its configuration says of layers and experts.
 */
export function architectures(): TinyModel[] {
  const file = join(import.meta.dirname, '../golden/architectures.json.gz');
  const all = JSON.parse(gunzipSync(readFileSync(file)).toString()) as Record<string, { config: Record<string, unknown>; tensors: Line[] }>;
  return Object.entries(all).map(([family, { config, tensors }]) => ({
    family,
    config,
    tensors: Object.fromEntries(tensors.flatMap(tensorsOfLine)),
  }));
}

/** The tensors that a line of a golden stands for. */
export function tensorsOfLine(line: Line): [string, { dtype: DtypeName; shape: number[] }][] {
  const [pattern, sizes, dtype = 'BF16'] = line.split(' ') as [string, string, DtypeName?];
  const shape = sizes === '-' ? [] : sizes.split('x').map(Number);
  return namesOf(pattern).map((name) => [name, { dtype, shape }]);
}

function namesOf(pattern: string): string[] {
  const range = /\{([^}]*)\}/.exec(pattern);
  if (range === null) return [pattern];
  const rest = namesOf(pattern.slice(range.index + range[0].length));
  const numbers = range[1]!.split('|').flatMap((part) => {
    const [from, to = from] = part.split('-').map(Number) as [number, number?];
    return Array.from({ length: to! - from + 1 }, (_, i) => from + i);
  });
  return numbers.flatMap((number) => rest.map((tail) => `${pattern.slice(0, range.index)}${number}${tail}`));
}

/** Models whose layers are not counted as config.json counts them, and why. */
const COUNTED_OTHERWISE: Readonly<Record<string, string>> = {
  albert: 'all layers share one',
  dory: 'MLPs count as layers',
  efficientnet: 'blocks of convolutions',
  flaubert: 'no layers in its names: attentions.N and ffns.N',
  hrm_text: 'two modules of layers, of which it counts one',
  xlm: 'no layers in its names',
  swin2sr: 'stages of layers',
  patchtsmixer: 'mixers, of names that no rule knows',
};
/** Layers of towers have no number as layers of a language model. */
const TOWERS = /^(audio-spectrogram-transformer|clip|metaclip_2|sam_\w+|siglip2?|vit|visual_bert)$/;
/** Experts that config.json counts otherwise, or that a model of these options goes without. */
const EXPERTS_OTHERWISE: Readonly<Record<string, number | null>> = { ernie4_5_vl_moe: 16, doge: null };

/** What is wrong in what names and configuration of a model are taken for; nothing where all is well. */
export function misread(model: TinyModel): string[] {
  const wrong: string[] = [];
  const [checkpoint, roles] = opened(model);
  const { conflicts, expertLayers } = structure(checkpoint, roles);
  wrong.push(...conflicts.map(({ code, message }) => `${model.family}: ${code} ${message}`));

  const configured = configNumber(model.config, CONFIG_KEYS.layers);
  const { layers, mtp } = layerNumbers(checkpoint, roles);
  const excused = model.family in COUNTED_OTHERWISE || TOWERS.test(model.family);
  if (configured !== null && !excused && layers.size !== configured)
    wrong.push(`${model.family}: ${layers.size} layers, and config.json says ${configured}`);
  if (mtp.size > 0 && !/"(num_nextn_predict_layers|mtp_num_hidden_layers|num_mtp_layers)":[1-9]/.test(JSON.stringify(model.config)))
    wrong.push(`${model.family}: layers of prediction ${[...mtp].join()}`);

  const experts = model.family in EXPERTS_OTHERWISE ? EXPERTS_OTHERWISE[model.family]! : configNumber(model.config, CONFIG_KEYS.experts);
  const found = [...new Set(expertLayers.map((layer) => layer.experts))];
  if ((experts ?? 0) > 1 ? found.length !== 1 || found[0] !== experts : found.length > 0)
    wrong.push(`${model.family}: experts ${found.join()}, and config.json says ${experts}`);
  const { active, total } = countParameters(checkpoint, roles, []);
  const perToken = configNumber(model.config, CONFIG_KEYS.perToken);
  if (found.length > 0 && (perToken === null ? active !== null : active === null || active >= total))
    wrong.push(`${model.family}: ${active} of ${total} parameters active, and config.json says ${perToken} experts`);

  for (const [s, { tensors }] of checkpoint.shards.entries()) {
    for (const [row, name] of tensors.names.entries()) {
      const { role } = roles.of(s, row);
      if (role === 'quant_scale' || role === 'quant_meta') wrong.push(`${model.family}: ${name} is taken for a scale of codes`);
      if (role !== null) continue;
      const doubt = doubtByName(checkpoint, { name, dtype: tensors.info(row).dtype, file: '' }, false);
      if (doubt !== null) wrong.push(`${model.family}: ${name}, ${doubt}`);
    }
  }
  return wrong;
}
