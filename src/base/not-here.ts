/** Where a path points that names no place of this machine, and how to bring what lies there here. */
interface Elsewhere {
  readonly place: string;
  readonly bring: (path: string) => string;
}

const copied = (command: string) => (path: string) =>
  `Copy it here first, or name the folder where it is mounted: \`${command.replace('PATH', path)}\``;

const hubCommand = (repository: string) => `\`hf download ${repository} --revision REVISION\``;

const hubDownload = (repository: string) => `Download it first, and name the folder that this prints: ${hubCommand(repository)}`;

/** By the scheme of a URL. */
const SCHEMES: Readonly<Record<string, Elsewhere>> = {
  s3: { place: 'in an object store', bring: copied('aws s3 sync PATH DIR') },
  gs: { place: 'in an object store', bring: copied('gcloud storage rsync --recursive PATH DIR') },
  gcs: { place: 'in an object store', bring: copied('gcloud storage rsync --recursive PATH DIR') },
  az: { place: 'in an object store', bring: copied('azcopy copy PATH DIR --recursive') },
  abfs: { place: 'in an object store', bring: copied('azcopy copy PATH DIR --recursive') },
  abfss: { place: 'in an object store', bring: copied('azcopy copy PATH DIR --recursive') },
  r2: { place: 'in an object store', bring: copied('rclone copy PATH DIR') },
  oss: { place: 'in an object store', bring: copied('rclone copy PATH DIR') },
  hdfs: { place: 'in HDFS', bring: copied('hdfs dfs -get PATH DIR') },
  hf: { place: 'in the Hugging Face Hub', bring: (path) => hubDownload(repositoryOf(path)) },
  http: {
    place: 'on a web server',
    bring: (path) => (HUB_PAGE.test(path) ? hubDownload(repositoryOf(path)) : copied('curl -LO PATH')(path)),
  },
};

const HUB_PAGE = /^https?:\/\/(?:www\.)?(?:huggingface\.co|hf\.co)\//i;
const SCHEME = /^([a-z][a-z0-9+.-]*):\/\/(?=.)/i;
/** What `hf download` takes; a path of two names that is not there may be meant so. */
const REPOSITORY = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/** Of `hf://models/org/name@main/file` and of the page of a repository: `org/name`. */
function repositoryOf(url: string): string {
  const [org = 'ORG', name = 'NAME'] = url
    .replace(HUB_PAGE, '')
    .replace(SCHEME, '')
    .replace(/^models\//, '')
    .split('/');
  return `${org}/${name.replace(/@.*$/, '')}`;
}

/**
 * Why a path names nothing on this machine, in words, and what to do; null where it is a path as others are.
 */
export function notHere(path: string): { readonly problem: string; readonly help: string } | null {
  const scheme = SCHEME.exec(path)?.[1]?.toLowerCase();
  if (scheme === undefined) return null;
  if (scheme === 'file') return { problem: 'is a URL', help: `Name the path itself: ${path.slice('file://'.length)}` };
  const { place, bring } = SCHEMES[scheme === 'https' ? 'http' : scheme] ?? {
    place: 'on another machine',
    bring: copied('rclone copy PATH DIR'),
  };
  return { problem: `lies ${place}, and only files of this machine are used`, help: bring(path) };
}

/**
 * Why there is nothing at a path, where the path itself tells: a URL, a name whose bytes are no UTF-8 (Node
 * shows them as U+FFFD, and opens no such name), a repository of the Hub.
 * @returns undefined for what only its absence explains
 */
export function whyNothing(path: string): { readonly problem: string; readonly help: string } | undefined {
  const url = notHere(path);
  if (url !== null) return url;
  if (path.includes(NOT_UTF8)) {
    return {
      problem: 'its name is not UTF-8, and such names cannot be opened',
      help: 'Rename it, or name it by a link whose name is UTF-8.',
    };
  }
  if (!REPOSITORY.test(path)) return undefined;
  return {
    problem: 'there is nothing at this path',
    help: `Check the path. For a repository of the Hugging Face Hub: ${hubCommand(path)}`,
  };
}

/** What Node's strings have where the bytes of a path are no UTF-8. */
export const NOT_UTF8 = '\ufffd';
