// Merges and prints the memory it took: a process of its own, so that nothing else is counted. Arguments:
// JSON {inputs, outputs, options}.
import { executePlan } from '../../dist/merge/engine/execute.js';
import { buildPlan } from '../../dist/merge/plan/build.js';

const { inputs, outputs, options, memory } = JSON.parse(process.argv[2]);
const plan = await buildPlan({ inputs, outputs, memory });
let result;
for await (const event of executePlan(plan, { ...options, sync: false })) if (event.type === 'done') result = event.result;
console.log(JSON.stringify({ ...result, peakMemoryBytes: plan.peakMemoryBytes, warnings: [] }));
