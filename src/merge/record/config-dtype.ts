import type { FloatDtypeName } from '../../base/dtype.ts';
import { pythonJsonOrNone } from '../../base/json/parse.ts';
import { jsonTokens } from '../../base/json/tokens.ts';
import { OTHER_QUANTISATION_KEYS, QUANTISATION_KEYS } from '../../model/quantised/config.ts';

const TORCH_NAMES: Readonly<Record<FloatDtypeName, string>> = { BF16: 'bfloat16', F16: 'float16', F32: 'float32', F64: 'float64' };
/** A dtype as config.json writes it; anything else ("auto", null, "fp8") is left as it is. */
const WRITTEN = /^"(torch\.)?(?:bfloat16|float16|float32|float64|half|float|double|float8_e\w+)"$/;
const REMOVED: ReadonlySet<string> = new Set([...QUANTISATION_KEYS, ...OTHER_QUANTISATION_KEYS]);

/**
 * config.json with `dtype` and `torch_dtype` set to the dtype of the output, in nested configs too. Only
 * these values are touched: parsing and writing it again would turn `1e-05` into `0.00001` and the float
 * `10000.0` into an integer, which a strict loader refuses.
 * @returns the new text, and the changed keys as dotted paths; text that is not JSON comes back as it is
 */
export function rewriteConfigDtype(text: string, dtype: FloatDtypeName): { readonly text: string; readonly changed: readonly string[] } {
  const changed: string[] = [];
  if (!isJson(text)) return { text, changed };
  const path: string[] = [];
  let result = '';
  let copied = 0;
  let key = '';
  let previous = '';
  for (const { start: index, end } of jsonTokens(text)) {
    const token = text.slice(index, end);
    if (token === '{' || token === '[') path.push(previous === ':' ? key : '');
    else if (token === '}' || token === ']') path.pop();
    else if (token.startsWith('"') && previous !== ':') key = JSON.parse(token) as string;
    else if ((key === 'dtype' || key === 'torch_dtype') && !path.includes('quantization_config')) {
      const written = WRITTEN.exec(token);
      const value = `"${written?.[1] ?? ''}${TORCH_NAMES[dtype]}"`;
      if (written !== null && value !== token) {
        result += text.slice(copied, index) + value;
        copied = index + token.length;
        changed.push([...path.filter((part) => part !== ''), key].join('.'));
      }
    }
    previous = token;
  }
  return { text: result + text.slice(copied), changed };
}

/**
 * config.json (or Mistral's params.json) without its quantisation entries, nested ones too: of a model whose weights were dequantised.
 * As above, everything else keeps its text.
 * @returns the new text, and the removed keys as dotted paths
 */
export function withoutQuantisation(text: string): { readonly text: string; readonly removed: readonly string[] } {
  const removed: string[] = [];
  if (!isJson(text)) return { text, removed };
  const tokens = [...jsonTokens(text)].map(({ start: index, end }) => ({ token: text.slice(index, end), index, end }));
  const path: string[] = [];
  let result = '';
  let copied = 0;
  for (let i = 0; i < tokens.length; i++) {
    const { token } = tokens[i]!;
    const key = tokens[i - 1]?.token === ':' ? (JSON.parse(tokens[i - 2]!.token) as string) : '';
    if ((token === '{' || token.startsWith('"')) && REMOVED.has(key)) {
      // Behind the value: an object to its closing brace, or a text.
      let close = i;
      for (let depth = 0; depth > 0 || close === i; close++)
        depth += '{['.includes(tokens[close]!.token) ? 1 : '}]'.includes(tokens[close]!.token) ? -1 : 0;
      // The comma after it goes too, or that before it where it is the last.
      result += text.slice(copied, tokens[i - 2]!.index);
      const isLast = tokens[close]!.token !== ',';
      const before = isLast ? result.trimEnd() : '';
      if (before.endsWith(',')) result = before.slice(0, -1);
      copied = isLast ? tokens[close - 1]!.end : tokens[close + 1]!.index;
      removed.push([...path.filter((part) => part !== ''), key].join('.'));
      i = close - 1;
    } else if (token === '{' || token === '[') path.push(key);
    else if (token === '}' || token === ']') path.pop();
  }
  return { text: result + text.slice(copied), removed };
}

function isJson(text: string): boolean {
  return pythonJsonOrNone(text) !== undefined;
}
