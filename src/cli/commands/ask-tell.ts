import { MergeError } from '../../base/errors.ts';
import type { Selection } from '../../recipe/select/types.ts';
import { type DriveOptions, driveSearch } from '../../search/optimise/drive.ts';
import type { Context } from '../terminal/context.ts';
import { interruptible } from '../terminal/interrupt.ts';
import { whileServing } from '../terminal/serving.ts';
import { studyProgress } from '../terminal/study-progress.ts';
import { type StudyFlags, studyOptions } from './study.ts';

/** `merge search --ask-tell`: messages on stdin and stdout, everything else on stderr. */
export async function run({ terminal }: Context, inputs: readonly string[], flags: StudyFlags & Selection): Promise<number> {
  if (flags.json)
    throw new MergeError('E_USAGE', '--json is one document, and --ask-tell writes a line for each message', {
      help: 'The document is result.json in the folder of the search.',
    });
  const options = studyOptions<DriveOptions>(inputs, flags);
  const progress = studyProgress(terminal, flags.quiet);
  const folder = options.dir ?? `${options.output}.search`;
  await whileServing(terminal, folder, flags, () =>
    interruptible(terminal, (signal) => driveSearch(options, { input: process.stdin, output: process.stdout }, progress.event, signal), [
      folder,
    ]).finally(progress.end),
  );
  return 0;
}
