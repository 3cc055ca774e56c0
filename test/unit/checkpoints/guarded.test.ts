import { expect, it } from 'vitest';
import { find } from '../../../src/checkpoints/containers/found.ts';
import { guarded } from '../../../src/checkpoints/containers/guarded.ts';
import { OpenCache } from '../../../src/checkpoints/containers/open-cache.ts';
import { mergeError } from '../../support/safetensors.ts';

const failing = (error: Error) =>
  guarded(
    { kind: 'torch.save', recognise: () => true, open: () => Promise.reject(error), list: () => Promise.reject(error) },
    'E_TORCH_FILE',
  );

it.each([new RangeError('Maximum call stack size exceeded'), new TypeError('x is undefined')])(
  'what a reader of pickles ends with (%s) is a fault of that file, with its cause',
  async (cause) => {
    const [found, cache] = [await find('/'), new OpenCache()];
    const container = failing(cause);
    for (const open of [() => container.open(found, cache), () => container.list!(found, cache, null)]) {
      const error = await mergeError(open);
      expect(error).toMatchObject({ code: 'E_TORCH_FILE', details: { file: '/' }, cause });
      expect(error.message).toContain(cause.message);
    }
  },
);

it('what is no fault of the file passes', async () => {
  const cause = new DOMException('stopped', 'AbortError');
  await expect(failing(cause).open(await find('/'), new OpenCache())).rejects.toBe(cause);
});
