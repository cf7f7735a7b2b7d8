// Lets a channel of phoenix.js get what was broadcast on a kept topic while it was not joined.

/**
 * Makes a channel that is not joined yet ask, each time it joins, for what it missed, and returns a function that says its
 * position. A page that keeps that can give it to the next one as `since`; "" asks for nothing old, "-20" for the last twenty.
 */
export function recover(channel, since = "") {
  let at = since;
  // Whether the answer to the last join said where that began: only from there on do messages say where the channel is.
  let isTold = false;
  const { joinPush, onMessage } = channel;
  const params = joinPush.payload;
  joinPush.payload = () => {
    isTold = false;
    return { ...params(), _since: at };
  };
  joinPush.receive("ok", (reply) => {
    isTold = typeof reply._at === "string";
    if (isTold) at = reply._at;
  });
  channel.onMessage = (event, payload, ref, joinRef) => {
    if (isTold && typeof ref === "string" && ref.startsWith("@")) at = at.replace(/\d*$/, ref.slice(1));
    return onMessage.call(channel, event, payload, ref, joinRef);
  };
  return () => at;
}
