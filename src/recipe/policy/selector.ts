import { globMatches, globParts } from '../../base/glob.ts';
import { SELECTOR_KEYS, type SelectorKey } from './keys.ts';
import { roleTest } from './roles.ts';
import type { PolicyTensor, Selector, Several } from './types.ts';

/** How many layers and experts there are: what negative numbers count back from. */
export interface ModelExtent {
  readonly layers: number;
  /** One past the last layer of multi-token prediction, which may be counted on from the model's. */
  readonly mtpLayers: number;
  readonly experts: number;
}

type Test = (tensor: PolicyTensor) => boolean;

/** The items of a list, or of a text with `|` or `,` between them. */
export function listItems(value: Several<number | string>): string[] {
  return (Array.isArray(value) ? value : [value]).flatMap((item) => String(item).split(/[|,]/)).map((item) => item.trim());
}

/**
 * `7`, `0-3`, `-1`, `4--1`: first and last, negative ones counted from the end; null where the text is no
 * range, or one that runs backwards.
 */
export function parseRange(text: string): readonly [first: number, last: number] | null {
  const match = /^(-?\d{1,9})(?:-(-?\d{1,9}))?$/.exec(text);
  if (match === null) return null;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  return first < 0 === last < 0 && first > last ? null : [first, last];
}

/** One past the highest layer and expert. */
export function extentOf(tensors: readonly PolicyTensor[]): ModelExtent {
  let [layers, mtpLayers, experts] = [0, 0, 0];
  for (const { role } of tensors) {
    if (typeof role.layer === 'number') {
      if (role.mtp) mtpLayers = Math.max(mtpLayers, role.layer + 1);
      else layers = Math.max(layers, role.layer + 1);
    }
    if (typeof role.expert === 'number') experts = Math.max(experts, role.expert + 1);
  }
  return { layers, mtpLayers, experts };
}

/** Whether a selector that has no problems fits a tensor. */
export function selectorTest(selector: Selector, extent: ModelExtent): Test {
  const tests = SELECTOR_KEYS.flatMap((key) => (selector[key] === undefined ? [] : [TESTS[key](selector, extent)]));
  return (tensor) => tests.every((test) => test(tensor));
}

const TESTS: Readonly<Record<SelectorKey, (selector: Selector, extent: ModelExtent) => Test>> = {
  role: ({ role }) => roleTest(listItems(role!)),
  layers: ({ layers, role }, extent) => {
    const ofMtp = aboutMtp({ role });
    const inRanges = rangeTest(layers!, ofMtp ? extent.mtpLayers : extent.layers);
    return (tensor) => tensor.role.mtp === ofMtp && inRanges(tensor.role.layer);
  },
  experts: ({ experts }, extent) => {
    const inRanges = rangeTest(experts!, extent.experts);
    return (tensor) => inRanges(tensor.role.expert);
  },
  name: ({ name }) => {
    const parts = globParts(name!);
    return (tensor) => globMatches(parts, tensor.name);
  },
  stored: ({ stored }) => {
    const dtypes = new Set(listItems(stored!).map((dtype) => dtype.toUpperCase()));
    return (tensor) => dtypes.has(tensor.dtype);
  },
};

/** Whether a selector's layers are those of multi-token prediction. */
export function aboutMtp({ role }: Selector): boolean {
  return role !== undefined && listItems(role).includes('mtp');
}

/** A tensor that holds all layers or experts is in no range: it cannot be treated in part. */
function rangeTest(value: Several<number>, count: number): (index: number | 'all' | null) => boolean {
  const ranges = listItems(value).map((item) => parseRange(item)!.map((i) => (i < 0 ? count + i : i)) as [number, number]);
  return (index) => typeof index === 'number' && ranges.some(([first, last]) => index >= first && index <= last);
}
