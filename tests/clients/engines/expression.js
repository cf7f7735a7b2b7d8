// What is run in a page.

/** A function and its arguments as an expression whose value is a promise of JSON. */
export function expressionOf(run, args) {
  return `(async () => JSON.stringify((await (${run})(...${JSON.stringify(args)})) ?? null))()`;
}
