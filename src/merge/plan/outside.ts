import type { Warning } from '../../base/errors.ts';
import type { OutsidePath } from '../../recipe/outside.ts';
import type { Plan } from './types.ts';

/**
 * A plan that says what its recipe names outside the recipe's folder. Inputs elsewhere are the rule, and so is
 * an output beside the recipe's folder; others are worth a warning.
 */
export function withOutside(plan: Plan, outside: readonly OutsidePath[]): Plan {
  if (outside.length === 0) return plan;
  const outputs = outside.flatMap(({ what, path, beside }) => (what === 'outputs' && beside === undefined ? [path] : []));
  const warning: Warning = {
    code: 'W_OUTSIDE_RECIPE',
    message: `the recipe writes outside the folder that it lies in: ${outputs.slice(0, 3).join(', ')}${outputs.length > 3 ? ` and ${outputs.length - 3} more` : ''}`,
  };
  return { ...plan, outside, warnings: outputs.length === 0 ? plan.warnings : [...plan.warnings, warning] };
}
