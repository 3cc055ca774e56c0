import type { MergedMember } from '../../merge/plan/types.ts';
import type { PairIdentity } from '../../model/places/types.ts';
import { movesText } from '../../model/places/words.ts';
import { plural } from '../../render/format.ts';
import { checkpointLabels } from '../../render/labels.ts';
import type { LayerReport, RouterReport } from './types.ts';

/** Two neighbouring members in one layer. */
export interface PlacedPair extends PairIdentity {
  readonly layer: string;
  /** As `step 1000 and step 2000`. */
  readonly between: string;
}

/** The pairs of all layers that have a status. */
export function placedPairs(
  layers: readonly LayerReport[],
  members: readonly MergedMember[],
  status: PairIdentity['status'],
): PlacedPair[] {
  const labels = checkpointLabels(members);
  return layers.flatMap((layer) =>
    layer.identity.flatMap((pair, i) =>
      pair.status === status ? [{ ...pair, layer: layerName(layer), between: `${labels[i]} and ${labels[i + 1]}` }] : [],
    ),
  );
}

export const layerName = ({ layer, mtp }: Pick<LayerReport, 'layer' | 'mtp'>) =>
  mtp ? `multi-token prediction layer ${layer}` : `layer ${layer}`;

/** What is to say of the places of experts, a sentence each. */
export function identityFindings(
  { layers, members }: Pick<RouterReport, 'layers' | 'members'>,
  permuted: readonly PlacedPair[],
  oneSided: readonly PlacedPair[],
  unrelated: readonly PlacedPair[],
): string[] {
  const told = (pairs: readonly PlacedPair[], say: (pair: PlacedPair) => string) => {
    const more = pairs.length > 3 ? [`${pairs.length - 3} more pairs of checkpoints and layers are like this.`] : [];
    return [...pairs.slice(0, 3).map((pair) => `In ${pair.layer} ${say(pair)}.`), ...more];
  };
  const sentences = [
    ...told(permuted, ({ moved, between }) => `${movesText(moved)} between ${between}, by router rows and by expert weights`),
    ...told(
      oneSided,
      ({ by, moved, between, margin }) =>
        `${by === 'router' ? 'rows of the router' : 'weights of experts'} look exchanged between ${between} (${movesText(moved)}), and ` +
        (margin.weights === null ? 'expert weights could not be compared' : `${by === 'router' ? 'expert weights' : 'router rows'} do not`),
    ),
    ...told(
      unrelated,
      ({ between, margin }) =>
        `experts have nothing in common between ${between}, by router rows${margin.weights === null ? '' : ' and by expert weights'}: no order fits, ` +
        'and the stored one no better than chance',
    ),
  ];
  const least = (measure: 'router' | 'weights') =>
    layers
      .flatMap(({ identity }) => identity.flatMap(({ margin }) => margin[measure] ?? []))
      .reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const [router, weights] = [least('router'), least('weights')];
  if (sentences.length === 0) {
    const margins = [
      ...(Number.isFinite(router) && router > 0 ? [`${router.toFixed(2)} for router rows`] : []),
      ...(Number.isFinite(weights) && weights > 0 ? [`${weights.toFixed(2)} for expert weights`] : []),
    ];
    const by =
      margins.length === 0 ? '' : `; every expert is nearer to itself than to any other by a cosine of at least ${margins.join(' and ')}`;
    const where = `${plural(layers.length, 'layer')} and ${plural(members.length - 1, 'pair')} of neighbours`;
    sentences.push(
      `Expert e stayed expert e in ${where}${router < 0 || weights < 0 ? '; no other order fits better by the stated margin' : by}.`,
    );
  }
  const tied = layers.filter(({ identity }) => identity.some(({ ties }) => ties.length > 0));
  if (tied.length > 0) {
    const first = tied[0]!.identity.find(({ ties }) => ties.length > 0)!.ties[0]!;
    const experts = first.length > 6 ? `${first.slice(0, 6).join(', ')} and ${first.length - 6} more` : first.join(', ');
    sentences.push(
      `In ${plural(tied.length, 'layer')} some experts cannot be told apart (upcycled from one, or dead), as ${experts} in ${layerName(tied[0]!)}: they count as unmoved.`,
    );
  }
  return sentences;
}
