// What is known of a path, kept for the next page. Storage may be missing, forbidden or full: then it is simply forgotten.

/** What was saved under a key less than `ageMsMax` ago. */
export function recall(storage, key, now, ageMsMax) {
  try {
    const { at, value } = JSON.parse(storage.getItem(key));
    return now - at < ageMsMax && now >= at ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Saves a value. */
export function remember(storage, key, now, value) {
  try {
    storage.setItem(key, JSON.stringify({ at: now, value }));
  } catch {
    // Not worth more than the attempt.
  }
}
