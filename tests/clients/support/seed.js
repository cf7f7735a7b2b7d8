// The seed of a run: what is left to chance in it follows from this number, and it is said wherever something fails.

/** `SEED` repeats another run. */
export const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 1_000_000));

/** Whether somebody asked for this seed, and for no other. */
export const isGiven = process.env.SEED !== undefined;
