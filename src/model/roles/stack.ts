import { compile, LAYER_CONTAINERS } from './rules.ts';

const container = compile(LAYER_CONTAINERS.replace('#', String.raw`\d+>`));

/**
 * Finds the stack a layer belongs to: the name before the layer's number, as `model.layers` or
 * `decoder.block`. An encoder and a decoder count their layers apart. One function for many names, which
 * remembers the last stack: neighbours share it.
 */
export function layerStack(): (name: string, layer: number) => string {
  let last = '';
  return (name, layer) => {
    if (last !== '' && name.startsWith(last) && name.startsWith(`.${layer}`, last.length)) return last;
    const match = container.exec(name);
    last = match === null ? '' : name.slice(0, match.index + match[0].lastIndexOf('.'));
    return last;
  };
}
