/**
 * Several outputs from one read of the inputs, which the library plans and carries out but `average` has no
 * option for.
 */
import { executePlan } from '../../dist/merge/engine/execute.js';
import { buildPlan } from '../../dist/merge/plan/build.js';

/**
 * @param {object} request
 * @param {string[]} request.inputs
 * @param {{ path: string, weights: number[], members?: number[] }[]} request.outputs
 * @param {number} [request.memory]
 * @param {import('../../dist/merge/engine/execute.js').ExecuteOptions} [request.options]
 */
export async function mergeMany({ inputs, outputs, memory, options = {} }) {
  const plan = await buildPlan({ inputs, outputs, memory });
  const events = executePlan(plan, { sync: false, ...options });
  while (!(await events.next()).done);
}
