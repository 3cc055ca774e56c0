import type { DiffCell, DiffDocument, DiffLayerCell, DiffPair, DiffRole } from '../../src/analysis/diff/types.ts';

/**
 * A document as `merge diff` makes it, of numbers that vary by layer, role and expert; names as hostile as
 * asked for.
 */
export function sampleDiff(size: { layers: number; experts: number; checkpoints?: number; name?: string }): DiffDocument {
  const name = size.name ?? 'model.layers.2.mlp.gate.weight';
  const checkpoints = Array.from({ length: size.checkpoints ?? 2 }, (_, i) => ({
    path: `runs/moe/checkpoint-${5000 + 200 * i}`,
    step: 5000 + 200 * i,
    tokens: null,
  }));
  const pairs = checkpoints.flatMap((_, a) => checkpoints.slice(a + 1).map((_, i) => samplePair(a, a + 1 + i, size, name)));
  return {
    ...{ asked: checkpoints.length, found: checkpoints.length, leftOut: [] },
    schema: 'ckpt-merge/diff',
    version: 1,
    checkpoints,
    pairs: pairs.sort((p, q) => Number(q.consecutive) - Number(p.consecutive)),
    tensors: 12 + size.layers * (5 + 3 * size.experts),
    elements: 1_234_567,
    uncompared: [{ name: 'model.rotary.position_ids', reason: 'integer', equal: true }],
    findings: [
      {
        kind: 'nonfinite',
        message: `${name} holds 3 NaN in step 5200`,
        checkpoint: 1,
        pair: null,
        role: 'router',
        layer: 2,
        expert: null,
        tensors: [name],
      },
      {
        kind: 'outlier',
        message: 'expert 3 of layer 1 is 40 times further apart than its neighbours',
        ...{ checkpoint: null, pair: 0, role: 'expert', layer: 1, expert: 3 },
        tensors: ['model.layers.1.mlp.experts.3.up_proj.weight'],
      },
    ],
    verdict: `${name} is not finite in step 5200: merge without that checkpoint.`,
    bytesRead: 312_000_000,
    seconds: 1.4,
    warnings: [],
  };
}

const ROLES: readonly DiffRole[] = ['attn', 'attn_norm', 'norm', 'router', 'router_correction_bias', 'expert', 'shared_expert'];

function samplePair(a: number, b: number, { layers, experts }: { layers: number; experts: number }, name: string): DiffPair {
  const distance = (key: number): DiffCell => {
    const relativeL2 = 0.002 * (b - a) * 10 ** (1.6 * Math.abs(Math.sin(key * 12.9898 + a)));
    return { normA: 10, normB: 10.1, relativeL2, cosine: 1 - relativeL2 ** 2 / 2, max: relativeL2 / 3, tensors: 4, elements: 65_536 };
  };
  const inLayers: DiffLayerCell[] = [
    { ...distance(1), layer: null, role: 'embedding' },
    { ...distance(2), layer: null, role: 'norm' },
  ];
  for (let layer = 0; layer < layers; layer++) {
    ROLES.forEach((role, r) => {
      inLayers.push({ ...distance(layer + 31 * r), layer, role, ...(role === 'norm' && layer === 1 ? { relativeL2: null } : {}) });
    });
  }
  return {
    ...{ a, b, consecutive: b === a + 1, total: distance(0), layers: inLayers },
    roles: ROLES.map((role, r) => ({ ...distance(r), role })),
    experts: Array.from({ length: layers * experts }, (_, i) => {
      const [layer, expert] = [Math.floor(i / experts), i % experts];
      return { ...distance(i), layer, expert };
    }),
    outliers: [{ ...distance(7), name, role: 'router', layer: 2, expert: null }],
  };
}
