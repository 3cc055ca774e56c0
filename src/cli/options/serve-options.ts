import type { Command } from 'commander';
import { flag, valueOption } from './options.ts';
import { parsePath, parseText } from './values.ts';

/** Where `merge serve` listens. */
export function addServe(command: Command): Command {
  return command
    .addOption(
      valueOption(
        '--listen <address>',
        'ADDRESS:PORT, or a port of 127.0.0.1; port 0 is any that is free (default: 127.0.0.1:0)',
        parseText,
      ),
    )
    .addOption(tokenFile())
    .addOption(flag('-q, --quiet', 'print only the address'));
}

/** The page of a study, served while it lives. */
export function addStudyServer(command: Command): Command {
  return command
    .addOption(
      valueOption('--serve <address>', 'serve the page while this runs, at ADDRESS:PORT or a port of 127.0.0.1 (docs/serve.md)', parseText),
    )
    .addOption(tokenFile());
}

const tokenFile = () =>
  valueOption(
    '--serve-token-file <path>',
    'file with what readers have to know, which an address beyond this machine needs; or the variable MERGE_SERVE_TOKEN',
    parsePath,
  );
