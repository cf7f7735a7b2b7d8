// All attacks.

import { silent, tickets } from "./heads.js";
import { joins } from "./joins.js";
import { messages } from "./messages.js";
import { names, waiting } from "./names.js";
import { chunks, frames, unread } from "./pieces.js";
import { pollsOfSessions, pollsOfStock } from "./polls.js";
import { posts } from "./posts.js";
import { neverCarried, resets } from "./sessions.js";
import { heartbeats, joinsAndLeaves, tooFast } from "./speed.js";

export const kinds = [joins, pollsOfSessions, pollsOfStock, chunks, frames, unread, resets, neverCarried, names, waiting, tickets, silent, messages, posts, heartbeats, joinsAndLeaves, tooFast];
