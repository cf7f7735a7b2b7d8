/// <reference path="./phoenix.d.ts" />

import type { Channel } from "phoenix";

/**
 * Makes a channel that is not joined yet ask, each time it joins, for what was broadcast on its topic since it last heard
 * something, where the server keeps the topic (`Mount::keep`). What it missed arrives as ordinary messages behind the reply to its
 * join, which says `_recovered`; false means that there is a hole, and `_reason` says why.
 *
 * @param since Where to begin: the position of an earlier page, `""` (default, as `null`) for nothing old, `"-20"` for the last twenty.
 * @returns The channel's position now, for a later page; the text is opaque.
 * @throws {Error} Where the channel has said `join()` already: that join has asked for nothing.
 */
export function recover(channel: Channel, since?: string | null): () => string;
