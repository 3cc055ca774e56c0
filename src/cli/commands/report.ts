import { join } from 'node:path';
import { reportFile } from '../../publish/report-file.ts';
import { REPORT_PAGE } from '../../search/files.ts';
import { readSearch } from '../../search/report.ts';
import { type Context, writeJson } from '../context.ts';
import { printable } from '../format.ts';
import { searchText } from '../text/search-text.ts';

interface ReportFlags {
  readonly out?: string;
  readonly force?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** `merge report`. */
export async function run(
  { terminal, ...context }: Context,
  args: readonly (string | readonly string[])[],
  flags: ReportFlags,
): Promise<number> {
  const document = await readSearch(args[0] as string);
  const out = flags.out ?? join(document.folder, REPORT_PAGE);
  // The page of the folder is made again by every run of the search: that it is there is nothing to ask about.
  const file = await reportFile(out, flags.force === true || flags.out === undefined);
  await file.write((await import('../../html/search-page.ts')).searchPage(document));
  if (flags.json) writeJson({ terminal, ...context }, document);
  else if (flags.quiet) terminal.out.write(`${out}\n`);
  else terminal.out.write(`${searchText(document, terminal.out.colors)}\n\nas a page: ${printable(out)}\n`);
  return 0;
}
