import { type CompletionCommand, type CompletionOption, type CompletionTree, PROGRAMS, quote, type Values } from './tree.ts';

/**
 * The script of `merge completion zsh`: to be sourced after compinit, or saved as `_merge` in a folder on
 * `$fpath`.
 */
export function zshScript({ commands, options }: CompletionTree): string {
  return `#compdef ${PROGRAMS.join(' ')}
# zsh completion of merge and ckpt-merge, made by \`merge completion zsh\`
_merge() {
  local -a commands=(
${commands.map((c) => `    ${quote(`${c.name}:${c.description.replaceAll(':', '\\:')}`)}`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    if [[ $PREFIX == -* ]]; then _arguments ${options.map(spec).join(' ')}; else _describe command commands; fi
    return
  fi
  local command=$words[2]
  shift words; (( CURRENT-- ))
  case $command in
${commands.map(branch).join('\n')}
  esac
}
# compinit runs the file as the function; sourced, it registers itself.
if [[ $funcstack[1] == _merge ]]; then _merge "$@"; else compdef _merge ${PROGRAMS.join(' ')}; fi
`;
}

function branch({ name, options, values }: CompletionCommand): string {
  const specs = [...options.map(spec), ...(values === 'free' ? [] : [quote(`*:argument:${action(values)}`)])];
  return `    ${name}) _arguments ${specs.join(' \\\n      ')} ;;`;
}

/**
 * `'(-o --output)'{-o,--output}'[description]:value:_files'`: the first part keeps an option from being
 * offered twice.
 */
function spec({ names, description, values }: CompletionOption): string {
  const rest = `[${description.replace(/[[\]:]/g, '\\$&')}]${values === null ? '' : `:value:${action(values)}`}`;
  return names.length > 1 ? `'(${names.join(' ')})'{${names.join(',')}}${quote(rest)}` : quote(`${names[0]}${rest}`);
}

function action(values: Values): string {
  return values === 'path' ? '_files' : Array.isArray(values) ? `(${values.join(' ')})` : '';
}
