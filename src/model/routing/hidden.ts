import { type Conflict, MergeError } from '../../base/errors.ts';
import { FLOAT_BYTES } from '../../base/numbers/float.ts';
import type { ByteReader } from '../../base/store/byte-reader.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { readFloats } from './read.ts';
import type { RouterInputs, RouterLayer, RoutingTensor } from './types.ts';

/**
 * A file of hidden states: `layers.{l}.hidden`, [T, H], what goes into the router of layer l, behind the norm
 * before it. See docs/hidden-states.md.
 */
export interface HiddenStates {
  readonly path: string;
  /** T of the layer that has the fewest. */
  readonly tokens: number;
  /**
   * What goes into the router of a layer; null for a layer of multi-token prediction of which the file says
   * nothing.
   * @param most so many tokens, evenly spread over those of the file; only they are read
   * @throws MergeError E_HIDDEN_STATES where a number is not finite, E_INPUT_CHANGED
   */
  read(reader: ByteReader, layer: RouterLayer, most?: number): Promise<RouterInputs | null>;
}

const NAME = /^layers\.(\d+)\.hidden$/;

/**
 * Opens a file of hidden states, and checks it against the routers that they are for: a layer of the file for
 * each of the model, as wide, of plain floats.
 * @throws MergeError E_HIDDEN_STATES with all that is wrong in `details.conflicts`; what `openCheckpoint`
 *   throws for a file that is no safetensors
 */
export async function openHiddenStates(path: string, routers: readonly RouterLayer[]): Promise<HiddenStates> {
  const file = await openCheckpoint(path);
  const conflicts: Conflict[] = [];
  const wrong = (message: string, tensor?: string) =>
    conflicts.push({
      code: 'E_HIDDEN_STATES',
      message: `${path}${tensor === undefined ? '' : `, tensor ${JSON.stringify(tensor)}`}: ${message}`,
      file: path,
      ...(tensor !== undefined && { tensor }),
    });
  const places = placesOf(file, wrong);
  const main = new Map<number, RouterLayer>();
  for (const router of routers) if (!router.mtp) main.set(router.layer, router);
  // Layers of multi-token prediction count on from the last, or from 0 of their own: then no tensor of the
  // file is theirs.
  const placeOf = ({ layer, mtp }: RouterLayer) => (mtp && main.has(layer) ? undefined : places.get(layer));
  for (const router of routers) {
    const place = placeOf(router);
    if (place === undefined) {
      if (!router.mtp) wrong(`it has no layers.${router.layer}.hidden, and layer ${router.layer} of the model has a router`);
    } else if (place.shape.length === 2 && place.shape[1] !== router.width) {
      wrong(
        `it is ${place.shape[1]} wide, and the router of layer ${router.layer} (${router.router.name}) takes ${router.width}`,
        place.name,
      );
    }
  }
  const known = new Set(routers.map(({ layer }) => layer));
  for (const [layer, { name }] of places) if (!known.has(layer)) wrong(`layer ${layer} of the model has no router`, name);
  if (main.size < routers.filter(({ mtp }) => !mtp).length)
    wrong('the model has two stacks of layers with routers (encoder and decoder), which layers.{l}.hidden does not tell apart');
  if (conflicts.length > 0) throw hiddenError(conflicts);
  return {
    path,
    tokens: Math.min(...[...places.values()].map(({ shape }) => shape[0]!)),
    read: async (reader, layer, most = Number.POSITIVE_INFINITY) => {
      const place = placeOf(layer);
      return place === undefined ? null : await readInputs(reader, file, place, most);
    },
  };
}

function placesOf({ shards }: Checkpoint, wrong: (message: string, tensor: string) => void): Map<number, RoutingTensor> {
  const places = new Map<number, RoutingTensor>();
  for (const [shard, { tensors }] of shards.entries()) {
    for (let row = 0; row < tensors.count; row++) {
      const { name, dtype, shape } = tensors.info(row);
      const layer = NAME.exec(name)?.[1];
      if (layer === undefined) {
        wrong('its name is not layers.{l}.hidden', name);
        continue;
      }
      places.set(Number(layer), { name, shard, row, dtype, shape, from: 0 });
      if (!(dtype in FLOAT_BYTES)) wrong(`its dtype is ${dtype}; F32, BF16 or F16 is needed`, name);
      if (shape.length !== 2 || shape[0] === 0)
        wrong(`its shape is [${shape}]; tokens by hidden size is needed, of one token or more`, name);
    }
  }
  return places;
}

async function readInputs(reader: ByteReader, file: Checkpoint, place: RoutingTensor, most: number): Promise<RouterInputs> {
  const [stored, width] = place.shape as [number, number];
  const tokens = Math.min(stored, most);
  const rowOf = (token: number) => Math.floor((token * stored) / tokens);
  const data = tokens === stored ? await readFloats(reader, file, place) : new Float64Array(tokens * width);
  for (let t = 0; t < tokens && tokens < stored; t++) data.set(await readFloats(reader, file, place, rowOf(t) * width, width), t * width);
  const at = data.findIndex((x) => !Number.isFinite(x));
  if (at === -1) return { data, tokens, width, synthetic: false };
  const message = `${file.path}, tensor ${JSON.stringify(place.name)}: token ${rowOf(Math.floor(at / width))} holds ${data[at]}`;
  throw hiddenError([{ code: 'E_HIDDEN_STATES', message, file: file.path, tensor: place.name }]);
}

function hiddenError(conflicts: readonly Conflict[]): MergeError {
  const [{ message }] = conflicts as [Conflict];
  const more = conflicts.length > 1 ? ` (and ${conflicts.length - 1} more)` : '';
  return new MergeError('E_HIDDEN_STATES', message + more, { details: { ...conflicts[0], conflicts } });
}
