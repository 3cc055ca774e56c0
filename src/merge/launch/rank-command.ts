/** The first word of the command line of a rank that is started so; the path of its order and the digest follow. */
export const RANK_COMMAND = '@rank';
