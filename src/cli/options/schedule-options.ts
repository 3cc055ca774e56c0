import type { Command, Option } from 'commander';
import { parseQuantity } from '../../checkpoints/run/quantity.ts';
import {
  CONTROL_PARAMETERS,
  inRange,
  PARAMETERS,
  type Parameter,
  type ParameterName,
  parameterLabel,
  rangeText,
} from '../../recipe/schedule/parameters.ts';
import { SCHEDULES } from '../../recipe/schedule/registry.ts';
import type { ScheduleName } from '../../recipe/schedule/types.ts';
import { choiceOption, flag, valueOption } from './options.ts';
import { badValue, parseNumber, parsePath, type ValueParser } from './values.ts';

/**
 * The method and every schedule's parameters, as the schedules' own tables have them.
 * @param without schedules that the command cannot offer, with the parameters that only they take
 */
export function addScheduleOptions(command: Command, without: readonly ScheduleName[] = []): Command {
  const schedules = SCHEDULES.filter(({ name }) => !without.includes(name));
  const offered = new Set<ParameterName>([...CONTROL_PARAMETERS, ...schedules.flatMap(({ parameters }) => parameters)]);
  const methods = schedules.map((schedule) => schedule.name);
  command.addOption(
    choiceOption('-m, --method <name>', `${schedules.map((s) => `${s.name}: ${s.summary}`).join('; ')} (default: sma)`, methods),
  );
  for (const name of Object.keys(PARAMETERS) as ParameterName[]) if (offered.has(name)) command.addOption(parameterOption(name));
  return command;
}

function parameterOption(name: ParameterName): Option {
  const parameter: Parameter = PARAMETERS[name];
  const label = `--${parameterLabel(name)}`;
  const text = [usedBy(name), parameter.help, ...details(parameter)].join('');
  switch (parameter.kind) {
    case 'flag':
      return flag(label, text);
    case 'choice':
      return choiceOption(`${label} <name>`, text, parameter.choices ?? []);
    case 'file':
      return valueOption(`${label} <path>`, text, parsePath);
    case 'quantity':
      return valueOption(`${label} <distance>`, text, (given, option) => {
        parseQuantity(given, option);
        return given;
      });
    case 'integer':
      return valueOption(`${label} <n>`, text, numberParser(parameter));
    case 'number':
      return valueOption(`${label} <number>`, text, numberParser(parameter));
  }
}

function usedBy(name: ParameterName): string {
  if (CONTROL_PARAMETERS.some((control) => control === name)) return '';
  const methods = SCHEDULES.filter((schedule) => schedule.parameters.includes(name)).map((schedule) => schedule.name);
  return `${methods.join(', ')}: `;
}

function* details(parameter: Parameter): Generator<string> {
  const range = parameter.range === undefined ? '' : rangeText(parameter.range);
  if (parameter.choices !== undefined) yield `: ${parameter.choices.join(', ')}`;
  if (range !== '') yield `, ${range}`;
  if (parameter.default !== undefined) yield ` (default: ${parameter.default})`;
}

function numberParser(parameter: Parameter): ValueParser<number> {
  const range = parameter.range ?? {};
  const kind = parameter.kind === 'integer' ? 'a whole number' : 'a number';
  return (text, option) => {
    const value = parseNumber(text);
    const fits = Number.isFinite(value) && (parameter.kind !== 'integer' || Number.isSafeInteger(value)) && inRange(value, range);
    if (!fits) throw badValue(option, text, [kind, rangeText(range)].filter((part) => part !== '').join(' '));
    return value;
  };
}
