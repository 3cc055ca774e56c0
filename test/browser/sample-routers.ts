import type { LayerReport, RouterReport } from '../../src/analysis/routers/types.ts';
import type { MemberChoice } from '../../src/model/routing/types.ts';

/** A document as `merge routers` makes it, of numbers that vary by layer and checkpoint. */
export function sampleRouters(size: { layers: number; members: number; synthetic?: boolean; name?: string }): RouterReport {
  const synthetic = size.synthetic ?? false;
  const members = Array.from({ length: size.members }, (_, i) => ({
    path: `${size.name ?? 'runs/moe'}/checkpoint-${5000 + 200 * i}`,
    step: 5000 + 200 * i,
    tokens: 1_000_000 * (i + 1),
    weight: 1 / size.members,
  }));
  return {
    ...{ asked: members.length, found: members.length, leftOut: [] },
    ...{ schema: 'ckpt-merge/routers', version: 1, family: 'olmoe', method: 'sma', members },
    routing: { text: 'softmax over 8 experts, the 2 largest', topK: 2 },
    layers: Array.from({ length: size.layers }, (_, layer) => sampleLayer(layer, size.members, synthetic)),
    sample: { seed: 1, routerColumns: 256, expertElements: 4096, ratio: 0.5, gain: 0.02 },
    inputs: {
      kind: synthetic ? 'synthetic' : 'hidden-states',
      path: synthetic ? null : 'hidden.safetensors',
      tokens: 4096,
      seed: synthetic ? 1 : null,
    },
    evaluation: {
      command: 'node demo/evaluate.js {model}',
      goal: 'minimize',
      scores: [
        { router: 'average', score: 1.1804, stderr: 0.0051, items: 120, seconds: 12 },
        { router: 'newest', score: 1.1822, stderr: 0.0052, items: 120, seconds: 12 },
        { router: 'oldest', score: 1.1812, stderr: 0.0049, items: 120, seconds: 12 },
        { router: 'unmerged', score: 1.267, stderr: 0.0049, items: 120, seconds: 12 },
      ],
      differences: [
        { router: 'newest', mean: 0.0018, error: 0.0004, paired: true },
        { router: 'oldest', mean: 0.0008, error: 0.0005, paired: true },
        { router: 'unmerged', mean: 0.0866, error: 0.002, paired: true },
      ],
    },
    verdict: {
      kind: 'measured',
      headline: 'The averaged router scores best, by 0.0018 ± 0.0004 against the newest one: averaging routers does no harm here.',
      findings: ['Experts kept their places in all layers.', 'The averaged router chooses 91.2 % of the experts that members choose.'],
      notTested: ['Any text but the one that was scored.'],
    },
    ...{ bytesRead: 4_200_000, seconds: 38.2, warnings: [] },
  };
}

function sampleLayer(layer: number, members: number, synthetic: boolean): LayerReport {
  const wave = (key: number): number => Math.abs(Math.sin((layer + 1) * 12.9898 + key * 78.233));
  const drift = (pair: number) => ({
    relative: 0.02 + 0.03 * wave(pair),
    cosine: 1 - 0.001 * wave(pair),
    worst: { expert: 5, relative: 0.06 },
    correctionBias: null,
  });
  const load = (key: number) => (synthetic ? null : { maxOverMean: 1.2 + wave(key), entropy: 0.98, dead: 0 });
  const choice = (member: number): MemberChoice => ({
    overlap: { mean: 0.85 + 0.12 * wave(member), standardError: 0.004 },
    top1: { mean: 0.9 + 0.05 * wave(member + 9), standardError: 0.005 },
    mass: { mean: 0.98, standardError: 0.001 },
    flippable: 0.2,
    load: load(member),
  });
  const pairs = Array.from({ length: members - 1 }, (_, pair) => pair);
  return {
    ...{ layer, mtp: false, name: `model.layers.${layer}.mlp.gate.weight`, experts: 8, hidden: 256 },
    identity: pairs.map((pair) => {
      const permuted = layer === 3 && pair === 0;
      const moved = permuted ? [1, 2].map((from) => ({ from, to: 3 - from })) : [];
      const ties = layer === 1 && pair === 1 ? [[4, 6]] : [];
      const margin = { router: permuted ? -0.4 : 0.5 + 0.3 * wave(pair), weights: permuted ? -0.3 : 0.7 + 0.2 * wave(pair + 5) };
      return { status: permuted ? 'permuted' : 'same', moved, by: null, ties, margin } as const;
    }),
    drift: pairs.map(drift),
    overall: members > 2 ? { ...drift(99), relative: 0.1 } : null,
    midpoint: { least: 0.97, expert: 2, mean: 0.99 },
    choice: { layer, tokens: 4096, synthetic, members: Array.from({ length: members }, (_, member) => choice(member)), load: load(50) },
  };
}
