/** How often a campaign is fought: 1, or as CKPT_TEST_TIMES says (.ci/full). */
export const TIMES = Math.max(1, Number(process.env.CKPT_TEST_TIMES ?? 1));

/**
 * The seed of a campaign: its own, moved by CKPT_TEST_SEED (.ci/full gives the day, so that each run tries
 * other moments; the seed is printed with what came of it).
 */
export const seedOf = (own: number): number => (own + Number(process.env.CKPT_TEST_SEED ?? 0)) % 2 ** 31;

/** A guard against hanging for what takes a tenth of it on a free machine, in milliseconds. */
export const CAMPAIGN_MS = 600_000 * TIMES;
