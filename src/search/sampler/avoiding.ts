import type { Process } from '../gaussian-process/process.ts';
import type { Point } from '../gaussian-process/types.ts';

/**
 * How far the neighbourhood of a failed trial reaches on each axis, in standard deviations of a bell: a tenth
 * of the cube. Ours.
 */
const NEIGHBOURHOOD = 0.1;

/**
 * A process whose prediction goes over to the worst score seen, without doubt, towards points that failed:
 * there is nothing to be gained there. What caused a failure need not be a matter of the score, so the model
 * itself hears nothing of it.
 */
export function avoiding(process: Process, failed: readonly Point[], worst: number): Process {
  if (failed.length === 0) return process;
  const width = NEIGHBOURHOOD * Math.sqrt(process.axes.length);
  const nearness = (point: Point): number =>
    Math.max(...failed.map((other) => Math.exp(-0.5 * point.reduce((sum, x, d) => sum + ((x - other[d]!) / width) ** 2, 0))));
  return {
    ...process,
    predict: (points) => {
      const { mean, std } = process.predict(points);
      const near = points.map(nearness);
      return { mean: mean.map((m, i) => m + near[i]! * (worst - m)), std: std.map((s, i) => s * (1 - near[i]!)) };
    },
  };
}
