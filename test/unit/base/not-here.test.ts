import { describe, expect, it } from 'vitest';
import { notHere, whyNothing } from '../../../src/base/not-here.ts';
import { inReadersWords } from '../../../src/base/option-words.ts';

/** What people give where a path belongs, what it is called, and the command that brings it here. */
const ELSEWHERE: readonly (readonly [path: string, problem: RegExp, help: RegExp])[] = [
  ['s3://bucket/run/step-100', /object store/, /aws s3 sync s3:\/\/bucket\/run\/step-100 DIR/],
  ['S3://bucket/run', /object store/, /aws s3 sync/],
  ['gs://bucket/run', /object store/, /gcloud storage rsync --recursive gs:/],
  ['abfss://c@account.dfs.core.windows.net/run', /object store/, /azcopy copy/],
  ['r2://bucket/run', /object store/, /rclone copy/],
  ['hdfs://node/run', /HDFS/, /hdfs dfs -get/],
  ['hf://allenai/OLMo-2-1124-7B@stage1', /Hugging Face Hub/, /hf download allenai\/OLMo-2-1124-7B --revision/],
  ['hf://models/a/b/model.safetensors', /Hugging Face Hub/, /hf download a\/b /],
  ['https://huggingface.co/allenai/OLMo-2/tree/main', /web server/, /hf download allenai\/OLMo-2 /],
  ['https://example.org/model.safetensors', /web server/, /curl -LO https:/],
  ['weka://run', /another machine/, /rclone/],
  ['file:///data/run', /is a URL/, /\/data\/run$/],
];

/** Names of files that only look a little like URLs. */
const PATHS = ['run', './s3:/x', 'step:100', 'C:/run', '/data/a://b', '://x', 's3:', 's3://', 'run/checkpoint-1', '../a/b'];

describe('what is no path of this machine', () => {
  it.each(ELSEWHERE)('%s', (path, problem, help) => {
    expect(notHere(path)).toEqual({ problem: expect.stringMatching(problem), help: expect.stringMatching(help) });
    expect(whyNothing(path)).toEqual(notHere(path));
  });

  it.each(PATHS)('%s is a path', (path) => {
    expect(notHere(path)).toBeNull();
  });
});

describe('why there is nothing at a path', () => {
  it('may be that its bytes are no UTF-8', () => {
    expect(whyNothing('run/checkpoint-\ufffd')?.problem).toMatch(/not UTF-8/);
  });

  it('may be that a repository of the Hub is meant', () => {
    expect(whyNothing('allenai/OLMo-2-1124-7B')?.help).toMatch(/hf download allenai\/OLMo-2-1124-7B/);
    expect(whyNothing('runs/dense/checkpoint-100')).toBeUndefined();
    expect(whyNothing('/runs/dense')).toBeUndefined();
    expect(whyNothing('../dense')).toBeUndefined();
  });
});

it('options of other programs stay as they are for every reader', () => {
  for (const path of ['hf://x/y', 'gs://x/y', 'az://x/y', 'https://huggingface.co/x/y']) {
    const { help } = notHere(path)!;
    expect(inReadersWords(help)).toBe(help);
  }
});
