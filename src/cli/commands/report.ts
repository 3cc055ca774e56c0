import { join } from 'node:path';
import { reportFile } from '../../merge/output/report-file.ts';
import type { Colors } from '../../render/colors.ts';
import { printable } from '../../render/format.ts';
import { storedForecast } from '../../search/forecast/document.ts';
import { forecastText } from '../../search/forecast/text.ts';
import { storedGridScores } from '../../search/grid/report.ts';
import { gridScoresText } from '../../search/grid/text.ts';
import { storedSearch } from '../../search/optimise/report.ts';
import { searchText } from '../../search/optimise/text.ts';
import { readStudy, type StoredStudy } from '../../search/study/read.ts';
import { REPORT_PAGE } from '../../search/study/report-files.ts';
import { storedWatchScores } from '../../upkeep/watch/scores/document.ts';
import { watchScoresText } from '../../upkeep/watch/scores/text.ts';
import { type Context, writeJson } from '../terminal/context.ts';
import { tableWidth } from '../terminal/terminal.ts';

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
  const stored = await readStudy(args[0] as string);
  const { document, page, text } = await reported(stored);
  const out = flags.out ?? join(stored.folder, REPORT_PAGE);
  // The page of the folder is made again by every run of the study: that it is there is nothing to ask about.
  const file = await reportFile(out, flags.force === true || flags.out === undefined);
  await file.write(page);
  if (flags.json) writeJson({ terminal, ...context }, document);
  else if (flags.quiet) terminal.out.write(`${out}\n`);
  else terminal.out.write(`${text(terminal.out.colors, tableWidth(terminal.out))}\nas a page: ${printable(out)}\n`);
  return 0;
}

async function reported(
  stored: StoredStudy,
): Promise<{ document: object; page: string; text: (colors: Colors, columns: number) => string }> {
  if (stored.identity.kind === 'forecast') {
    const document = await storedForecast(stored);
    const written = await storedForecast({ ...stored, ...stored.written });
    const { forecastPage } = await import('../../search/forecast/page.ts');
    return { document, page: forecastPage(written), text: (colors) => forecastText(document, colors) };
  }
  if (stored.identity.kind === 'watch') {
    const document = storedWatchScores(stored);
    const { watchPage } = await import('../../upkeep/watch/scores/page.ts');
    const page = watchPage(storedWatchScores({ ...stored, ...stored.written }), { live: null, waiting: [], left: [], notMerged: [] });
    return { document, page, text: () => watchScoresText(document) };
  }
  if (stored.identity.kind === 'grid') {
    const document = await storedGridScores(stored);
    const written = await storedGridScores({ ...stored, ...stored.written });
    const { gridPage } = await import('../../search/grid/page.ts');
    return { document, page: gridPage(written), text: (colors, columns) => gridScoresText(document, colors, columns) };
  }
  const document = await storedSearch(stored);
  const written = { ...(await storedSearch({ ...stored, ...stored.written })), folder: '.' };
  const { searchPage } = await import('../../search/optimise/page.ts');
  return { document, page: searchPage(written), text: (colors) => searchText(document, colors) };
}
