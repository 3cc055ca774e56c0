import { MergeError } from '../../errors.ts';
import { type DriveOptions, driveSearch } from '../../search/drive.ts';
import type { StudyEvent } from '../../study/types.ts';
import type { Selection } from '../../trajectory/types.ts';
import type { Context } from '../context.ts';
import { interruptible } from '../interrupt.ts';
import { studyLine } from '../text/study-text.ts';
import { type StudyFlags, studyOptions } from './search.ts';

/** `merge search --ask-tell`: messages on stdin and stdout, everything else on stderr. */
export async function run({ terminal }: Context, inputs: readonly string[], flags: StudyFlags & Selection): Promise<number> {
  if (flags.json)
    throw new MergeError('E_USAGE', '--json is one document, and --ask-tell writes a line for each message', {
      help: 'The document is result.json in the folder of the search.',
    });
  const options = studyOptions<DriveOptions>(inputs, flags);
  const onEvent = (event: StudyEvent): void => {
    if (!flags.quiet || event.type === 'warning') terminal.err.write(studyLine(event, terminal.err.colors));
  };
  await interruptible(terminal, (signal) => driveSearch(options, { input: process.stdin, output: process.stdout }, onEvent, signal), [
    options.dir ?? `${options.output}.search`,
  ]);
  return 0;
}
