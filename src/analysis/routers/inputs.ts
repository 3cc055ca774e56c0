import type { ByteReader } from '../../base/store/byte-reader.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { ComparedLayers, MemberLayers } from '../../model/places/router-layers.ts';
import { openHiddenStates } from '../../model/routing/hidden.ts';
import { gaussianProbes, normsAddOne, probeCount, throughNorm, tokenCount } from '../../model/routing/probes.ts';
import { readFloats } from '../../model/routing/read.ts';
import type { RouterInputs } from '../../model/routing/types.ts';
import type { ChoiceInputs } from './types.ts';

/** Where the inputs of routers come from, and how to get those of one layer. */
export interface InputSource {
  readonly described: ChoiceInputs;
  /**
   * Null where a layer has none: its experts are chosen by a table of tokens, or the file does not tell its
   * hidden states.
   */
  readonly of: (layer: MemberLayers, reader: ByteReader) => Promise<RouterInputs | null>;
}

export interface InputRequest {
  /** File of hidden states; seeded probes when absent. */
  readonly hidden?: string | undefined;
  /**
   * Inputs a layer: of hidden states at most so many, evenly spread. As many as fit some ten seconds of work
   * when absent.
   */
  readonly probes?: number | undefined;
  readonly seed: number;
}

/**
 * Hidden states from a file, or Gaussian probes brought to the scale that the norm before the router gives
 * them.
 *
 * @param checkpoints the members, oldest first: norms are those of the newest
 * @throws MergeError E_HIDDEN_STATES, and what opening a safetensors file throws
 */
export async function inputSource(
  { layers, roles }: ComparedLayers,
  checkpoints: readonly Checkpoint[],
  { hidden, probes, seed }: InputRequest,
): Promise<InputSource> {
  const chosenByTable = ({ newest }: MemberLayers) => newest.tokenTable !== null;
  const multiplications = layers.reduce((sum, { newest }) => sum + newest.experts * newest.width * checkpoints.length, 0);
  if (hidden !== undefined) {
    const states = await openHiddenStates(
      hidden,
      layers.map(({ newest }) => newest),
    );
    const most = probes ?? tokenCount(multiplications, Math.max(...layers.map(({ newest }) => newest.width)));
    return {
      described: { kind: 'hidden-states', path: hidden, tokens: Math.min(states.tokens, most), seed: null },
      of: async (layer, reader) => (chosenByTable(layer) ? null : await states.read(reader, layer.newest, most)),
    };
  }
  const count = probes ?? probeCount(multiplications);
  const byWidth = new Map<number, RouterInputs>();
  const addOne = normsAddOne(roles.config);
  return {
    described: { kind: 'synthetic', path: null, tokens: count, seed },
    of: async (layer, reader) => {
      if (chosenByTable(layer)) return null;
      const { width, norm } = layer.newest;
      const vectors = byWidth.get(width) ?? gaussianProbes(count, width, seed);
      byWidth.set(width, vectors);
      return throughNorm(vectors, norm === null ? null : await readFloats(reader, checkpoints.at(-1)!, norm), addOne);
    },
  };
}
