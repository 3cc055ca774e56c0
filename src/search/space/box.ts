import { MergeError } from '../../base/errors.ts';
import type { Point } from '../gaussian-process/cube.ts';
import type { Dimension } from './dimension.ts';
import type { Params, ParamValue, Space, SpaceParameter } from './types.ts';

/** A space but for what follows from its dimensions. */
export interface BoxParts extends Pick<Space, 'name' | 'members' | 'roles' | 'candidate' | 'locate'> {
  readonly dimensions: readonly Dimension[];
  /** Points to try first: rounded to levels here, and each kept once. */
  readonly initial: readonly Point[];
}

/** The space of all combinations of its dimensions' values. */
export function boxSpace({ dimensions, initial, ...parts }: BoxParts): Space {
  const rounded = initial.map((point) =>
    dimensions.map(({ axis, at, place }, k) => (axis.kind === 'real' ? point[k]! : place(at(point[k]!))!)),
  );
  return { ...parts, ...boxOf(dimensions), initial: [...new Map(rounded.map((point) => [point.join(), point])).values()] };
}

/** What of a space follows from its dimensions. */
export function boxOf(dimensions: readonly Dimension[]): Pick<Space, 'parameters' | 'axes' | 'decode' | 'encode'> {
  return {
    parameters: dimensions.map(({ parameter }) => parameter),
    axes: dimensions.map(({ axis }) => axis),
    decode: (point) => Object.fromEntries(dimensions.map(({ parameter, at }, axis) => [parameter.name, at(point[axis]!)])),
    encode: (params) => encode(dimensions, params),
  };
}

function encode(dimensions: readonly Dimension[], params: Params): Point | null {
  const parameters = dimensions.map(({ parameter }) => parameter);
  const names = parameters.map(({ name }) => name);
  const unknown = Object.keys(params).filter((name) => !names.includes(name));
  const missing = names.filter((name) => !Object.hasOwn(params, name));
  const problems = [
    ...(unknown.length === 0 ? [] : [`${unknown.map((name) => JSON.stringify(name)).join(', ')} unknown`]),
    ...(missing.length === 0 ? [] : [`${missing.join(', ')} missing`]),
    ...parameters.flatMap((parameter) => (Object.hasOwn(params, parameter.name) ? typeProblem(parameter, params[parameter.name]!) : [])),
  ];
  if (problems.length > 0) {
    throw new MergeError('E_PARAMS', `parameters that do not fit the space: ${problems.join('; ')}`, {
      details: { unknown, missing, parameters: names },
      help: `The parameters are ${names.join(', ')}; give each of them once.`,
    });
  }
  const point = dimensions.map(({ parameter, place }) => place(params[parameter.name]!));
  return point.every((coordinate) => coordinate !== null) ? point : null;
}

function typeProblem({ name, kind, values }: SpaceParameter, value: ParamValue): string[] {
  const wanted =
    kind === 'integer'
      ? Number.isInteger(value) || 'a whole number'
      : kind === 'real'
        ? Number.isFinite(value) || 'a finite number'
        : typeof value === typeof values![0] || `one of ${values!.join(', ')}`;
  return wanted === true ? [] : [`${name} must be ${wanted}, not ${shown(value)}`];
}

/** A value that came from another program, as it goes into a message. */
function shown(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
