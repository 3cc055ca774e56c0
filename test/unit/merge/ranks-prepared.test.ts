import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { PLAN_RECORD, REQUEST_RECORD } from '../../../src/base/board/board.ts';
import { FolderBoard } from '../../../src/base/board/folder-board.ts';
import { Presence } from '../../../src/base/board/presence.ts';
import { HeldFolder } from '../../../src/base/disk/held-folder.ts';
import { SYSTEM } from '../../../src/base/disk/system.ts';
import { resolveRecipe } from '../../../src/merge/members/resolve.ts';
import { buildPlan } from '../../../src/merge/plan/build.ts';
import { boardPlace } from '../../../src/merge/ranks/board-place.ts';
import { planRecord, recordText, requestText } from '../../../src/merge/ranks/plan-record.ts';
import { type Planner, SharedPlan } from '../../../src/merge/ranks/shared-plan.ts';
import { entry, fileBytes, temporaryFolder } from '../../support/safetensors.ts';

const RANK = { rank: 1, size: 2, launch: 'one', launcher: 'a test', single: '', job: null };

/** A merge of two checkpoints that the first of two ranks is planning, and the other one is waiting for. */
async function planning() {
  const folder = temporaryFolder();
  for (const [i, name] of ['step-1', 'step-2'].entries()) {
    mkdirSync(join(folder, name));
    const bytes = fileBytes(`{${entry('w', 'F32', [1], 0, 4)}}`, Buffer.from([0, 0, 128, 63 + i]));
    writeFileSync(join(folder, name, 'model.safetensors'), bytes);
  }
  const recipe = { inputs: [join(folder, 'step-1'), join(folder, 'step-2')], outputs: [{ path: join(folder, 'out') }] };
  const planner: Planner = {
    recipe,
    resolve: () => resolveRecipe(recipe),
    build: vi.fn((request, prepared) => buildPlan({ ...request, recipe }, undefined, prepared)),
  };
  const path = join(folder, 'board');
  mkdirSync(path, { mode: 0o700 });
  const presences: Presence[] = [];
  for (const rank of [0, 1]) {
    const at = await HeldFolder.open(SYSTEM, path);
    const sign = { rank, launch: 'one', host: 'a', bytesRead: 0, bytesWritten: 0, seconds: 0 };
    presences.push(new Presence(await FolderBoard.join(SYSTEM, at), 60_000, () => sign));
  }
  const [first, second] = presences as [Presence, Presence];
  for (const presence of presences) await presence.begin();
  expect(await first.take('plan')).toBe(true);
  const resolved = await planner.resolve();
  const plan = await planner.build(resolved);
  const { request } = await boardPlace(recipe);
  const about = { request, launch: 'one', by: first.board.id, size: 2, unitBytes: undefined };
  const record = recordText(await planRecord(plan, resolved, about));
  const looks = vi.spyOn(second.board, 'get');
  const shared = new SharedPlan({ planner, rank: RANK, system: SYSTEM, options: { signal: undefined } });
  const waiting = shared.together(second, path, request).next();
  const end = async () => {
    for (const presence of presences) await presence.end('left');
  };
  return { looks, planner, board: first.board, resolved, plan, record, waiting, end };
}

it('a rank that waits for the plan prepares it meanwhile, and opens no member again', async () => {
  const { looks, planner, board, resolved, plan, record, waiting, end } = await planning();
  try {
    const text = requestText(resolved);
    await board.put(REQUEST_RECORD, text);
    await vi.waitFor(async () => expect(await Promise.all(looks.mock.results.map(({ value }) => value))).toContain(text), 10_000);
    await board.put(PLAN_RECORD, record);
    const { value } = await waiting;
    expect((value as { plan: typeof plan }).plan.outputs[0]!.digest).toBe(plan.outputs[0]!.digest);
    const [, prepared] = vi.mocked(planner.build).mock.lastCall!;
    for (const [m, { checkpoint }] of (value as { plan: typeof plan }).plan.members.entries())
      expect(checkpoint).toBe(prepared!.checkpoints[m]);
    expect(prepared!.checkpoints.map(({ path }) => path)).toEqual(resolved.inputs);
  } finally {
    await end();
  }
});

it.each([
  ['is no document', 'x'],
  ['names what is not there', recordText({ resolved: { inputs: ['/nowhere/step-1'], outputs: [{ path: '/nowhere/out' }] } })],
  ['was changed', recordText({ resolved: { inputs: ['/nowhere/step-1'], outputs: [] } }).replace('step-1', 'step-2')],
])('a request on the board that %s changes nothing', async (_, note) => {
  const { board, plan, record, waiting, end } = await planning();
  try {
    await board.put(REQUEST_RECORD, note);
    await board.put(PLAN_RECORD, record);
    const { value } = await waiting;
    expect((value as { plan: typeof plan }).plan.outputs[0]!.digest).toBe(plan.outputs[0]!.digest);
  } finally {
    await end();
  }
});
