import { describe, expect, it } from 'vitest';
import { ScanCache } from '../../../src/checkpoints/containers/safetensors/header-cache.ts';
import { scanIndex } from '../../../src/checkpoints/containers/safetensors/scan-index.ts';

const NAMES = Array.from({ length: 60 }, (_, i) => `model.layers.${i % 7}.w${i}`);
const OTHERS = [...NAMES, 'other', 'model.layers.0', ''];

function index(names: readonly string[], shards = 3): Buffer {
  const entries = names.map((name, i) => `${JSON.stringify(name)}:"model-${(i * 5) % shards}.safetensors"`);
  return Buffer.from(`{"weight_map":{${entries.join(',')}}}`);
}

/** In an order that a number decides. */
function shuffled(names: readonly string[], seed: number): readonly string[] {
  const keys = new Map(names.map((name, i) => [name, Math.imul(seed * 7919 + i + 1, 2654435761) >>> 0]));
  return [...names].sort((a, b) => keys.get(a)! - keys.get(b)!);
}

const swapped = (at: number) => NAMES.map((name, i) => (i === at ? NAMES[at + 1]! : i === at + 1 ? NAMES[at]! : name));

describe('indexes of the steps of a run, each read after the others', () => {
  it.each([
    ['two names changed places', [NAMES, swapped(3), swapped(30), NAMES, swapped(58)]],
    ['all changed places', [NAMES, shuffled(NAMES, 1), shuffled(NAMES, 2), shuffled(NAMES, 3)]],
    ['of fewer names, and more again', [NAMES, shuffled(NAMES.slice(0, 20), 4), NAMES, NAMES.slice(10)]],
    ['of more names', [NAMES, [...NAMES, 'x'], ['x', ...shuffled(NAMES, 5), 'y'], NAMES]],
    ['of other names', [NAMES, NAMES.map((name) => `${name}.scale`), shuffled(NAMES, 6)]],
    ['of none', [[], NAMES, [], shuffled(NAMES, 7)]],
  ] as const)('%s: are what they are alone', (_, steps) => {
    const cache = new ScanCache();
    for (const names of steps) {
      const [together, alone] = [cache.index(index(names), 'i'), scanIndex(index(names), 'i')];
      expect(together.names).toEqual(names);
      expect({ shards: together.shards, shardOf: together.shardOf }).toEqual({ shards: alone.shards, shardOf: alone.shardOf });
      for (const asked of [OTHERS, shuffled(OTHERS, 8), together.names]) {
        expect(asked.map((name) => together.entryOf(name))).toEqual(asked.map((name) => alone.names.indexOf(name)));
      }
    }
  });

  it.each([
    [3, 1],
    [59, 0],
    [59, 58],
  ])('name %i again in the place of %i is refused, where it stands', (at, which) => {
    for (const names of [swapped(20), shuffled(NAMES, 9), ['new', ...NAMES]]) {
      const twice = names.with(at, names[which]!);
      const cache = new ScanCache();
      cache.index(index(NAMES), 'i');
      const message = (read: () => unknown): string => {
        try {
          read();
        } catch (error) {
          return (error as Error).message;
        }
        return '';
      };
      const [together, alone] = [message(() => cache.index(index(twice), 'i')), message(() => scanIndex(index(twice), 'i'))];
      expect(alone).toMatch(/weight_map names this tensor twice/);
      expect(together).toBe(alone);
    }
  });
});
