// Argument: JSON of a plan request. Carries it out and prints the result as JSON, or { code, message } of
// what stood in the way.
import { executePlan } from '../../dist/merge/engine/execute.js';
import { buildPlan } from '../../dist/merge/plan/build.js';

const request = JSON.parse(process.argv[2]);
try {
  const events = executePlan(await buildPlan(request), { threads: 1, resume: request.resume });
  let event = await events.next();
  while (!event.done) event = await events.next();
  process.stdout.write(JSON.stringify(event.value));
} catch (error) {
  process.stdout.write(JSON.stringify({ code: error.code, message: error.message }));
}
