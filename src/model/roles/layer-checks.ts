import type { Conflict } from '../../base/errors.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { CheckpointRoles } from './checkpoint-roles.ts';
import { CONFIG_KEYS, configNumber, languageConfigs } from './model-config.ts';
import { layerStack } from './stack.ts';

/**
 * Last words of stacks that hold a layer for each number; groups of shared layers (ALBERT) and the like do
 * not.
 */
const PLAIN_STACK = /(?:^|\.)(?:layers|layer|h|blocks|block|decoder)$/;

interface Stack {
  readonly layers: Set<number>;
  /** Layers that hold what only multi-token prediction has. */
  readonly prediction: Set<number>;
}

/**
 * Layers that are not there: holes, layers that the configuration counts, and layers beyond its count that
 * are no multi-token prediction.
 * @returns E_LAYER_MISSING, E_CONFIG_TENSORS
 */
export function layerConflicts(checkpoint: Checkpoint, roles: CheckpointRoles): Conflict[] {
  const { path } = checkpoint;
  const stacks = [...stacksOf(checkpoint, roles)].filter(([name]) => PLAIN_STACK.test(name));
  const main = stacks.filter(([name]) => !/(?:^|\.)\w*(?:mtp|nextn)\w*(?:\.|$)/.test(name));
  // An encoder and a decoder, or several models in one, have counts of their own.
  const said = main.length === 1 ? configNumber(roles.config, CONFIG_KEYS.layers) : null;
  const conflicts = stacks.flatMap(([name, { layers }]) => {
    // A part of a model may begin anywhere, and some count from 1.
    const whole = layers.has(0) || (said !== null && name === main[0]![0] && !layers.has(said));
    return holes(layers, whole).map(([from, to]): Conflict => missing(path, name, from, to, `and layer ${to + 1} is`));
  });
  if (said === null) return conflicts;
  const [name, { layers, prediction }] = main[0]!;
  const last = [...layers].reduce((a, b) => Math.max(a, b));
  if (last + 1 < said) conflicts.push(missing(path, name, last + 1, said - 1, `and config.json says ${said} layers`));
  if (!layers.has(0) && last === said) return conflicts;
  const beyond = [...layers].filter((layer) => layer >= said).sort((a, b) => a - b);
  const predicted = predictionLayers(roles);
  if (beyond.length > 0 && (predicted === null ? !beyond.every((layer) => prediction.has(layer)) : beyond.length > predicted)) {
    const more = predicted === null || predicted === 0 ? '' : ` and ${predicted} more of multi-token prediction`;
    const message = `${path}: config.json says ${said} layers${more}, and the tensors have layer ${beyond.at(-1)} in ${name}`;
    conflicts.push({ code: 'E_CONFIG_TENSORS', message, file: path });
  }
  return conflicts;
}

function stacksOf({ shards }: Checkpoint, roles: CheckpointRoles): Map<string, Stack> {
  const stacks = new Map<string, Stack>();
  const stackOf = layerStack();
  let known: Stack | undefined;
  let [lastName, lastLayer] = ['', -1];
  for (const [s, { tensors }] of shards.entries()) {
    const { names, count } = tensors;
    for (let row = 0; row < count; row++) {
      const { role, layer } = roles.of(s, row);
      if (typeof layer !== 'number' || role === null || role === 'lora' || role === 'optimizer') continue;
      const name = stackOf(names[row]!, layer);
      if (known === undefined || name !== lastName) {
        known = stacks.get(name) ?? { layers: new Set(), prediction: new Set() };
        stacks.set(name, known);
      }
      if (layer !== lastLayer || name !== lastName) known.layers.add(layer);
      if (role === 'mtp_proj' || (role === 'norm' && /\.(?:enorm|hnorm)\.weight$/.test(names[row]!))) known.prediction.add(layer);
      [lastName, lastLayer] = [name, layer];
    }
  }
  return stacks;
}

/** Null where the configuration does not say, 0 where it says none. */
function predictionLayers({ config }: CheckpointRoles): number | null {
  const said = config === null ? [] : languageConfigs(config).flatMap((c) => CONFIG_KEYS.predictionLayers.map((key) => c[key]));
  const numbers = said.filter((value): value is number => Number.isSafeInteger(value) && (value as number) >= 0);
  return numbers.length === 0 ? null : Math.max(...numbers);
}

/**
 * Missing numbers below the highest, as first and last of each run; before the lowest only where the numbers
 * are all there are.
 */
function holes(layers: ReadonlySet<number>, whole: boolean): [number, number][] {
  const found: [number, number][] = [];
  let next = whole ? 0 : null;
  for (const layer of [...layers].sort((a, b) => a - b)) {
    if (next !== null && layer > next) found.push([next, layer - 1]);
    next = layer + 1;
  }
  return found;
}

function missing(path: string, stack: string, from: number, to: number, why: string): Conflict {
  const which = from === to ? `layer ${from} of ${stack} is` : `layers ${from} to ${to} of ${stack} are`;
  return { code: 'E_LAYER_MISSING', message: `${path}: ${which} not there, ${why}`, file: path };
}
