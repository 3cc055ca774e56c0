import { dirname } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { type ReportFile, reportFile } from '../../merge/output/report-file.ts';
import { writtenDocument } from '../../merge/record/written-document.ts';
import { printable } from '../../render/format.ts';
import { type Context, writeJson } from './context.ts';

/** How a command that makes a report gives it out. */
export interface ReportOutputFlags {
  /** Where the report goes as a page, too. */
  readonly out?: string;
  readonly force?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** A report in the forms in which it may be asked for. */
export interface ReportForms<D extends object> {
  readonly document: D;
  /** Paths that it names. */
  readonly paths: readonly string[];
  readonly text: () => string;
  /** @param written the document without absolute paths */
  readonly page: (written: D) => Promise<string>;
}

/** Prints a report, and writes its page. */
export type PrintReport = <D extends object>(forms: ReportForms<D>) => Promise<void>;

/**
 * Looks at where a report will go, before the work that it is about.
 * @throws MergeError E_USAGE for `--quiet` without a page; what {@link reportFile} throws
 */
export async function reportOutput(context: Context, { out, force, json, quiet }: ReportOutputFlags): Promise<PrintReport> {
  if (quiet && out === undefined) {
    const help = 'Name the page with --out FILE.html; for a script there is --json.';
    throw new MergeError('E_USAGE', '--quiet prints only the path of the page, and there is to be none', { help });
  }
  const file: ReportFile | null = out === undefined ? null : await reportFile(out, force);
  const stdout = context.terminal.out;
  return async ({ document, paths, text, page }) => {
    if (file !== null) await file.write(await page(writtenDocument(document, dirname(out!), paths)));
    if (json) writeJson(context, document);
    else if (quiet) stdout.write(`${out}\n`);
    else stdout.write(`${text()}${file === null ? '' : `\nas a page: ${printable(out!)}\n`}`);
  };
}
