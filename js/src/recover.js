// Lets a channel of phoenix.js get what was broadcast on a kept topic while it was not joined.

/**
 * Makes a channel that is not joined yet ask, each time it joins, for what it missed, and returns a function that says its
 * position. A page that keeps that can give it to the next one as `since`; "" asks for nothing old, "-20" for the last twenty.
 * Throws where the channel has said `join()` already, as that join asks for nothing and nobody would notice.
 */
export function recover(channel, since) {
  if (channel.joinedOnce) throw new Error(`the channel ${channel.topic} has joined already: call recover(channel) before join()`);
  // What a page finds where it has kept no position is null.
  let at = since ?? "";
  let isJoined = false;
  // Whether the answer to the join said where that began.
  let isTold = false;
  const { joinPush, trigger } = channel;
  const params = joinPush.payload;
  joinPush.payload = () => {
    isJoined = isTold = false;
    return { ...params(), _since: at };
  };
  joinPush.receive("ok", (reply) => {
    isJoined = true;
    // Which may be null: what a channel answers is its own.
    isTold = typeof reply?._at === "string";
    if (isTold) at = reply._at;
  });
  channel.trigger = (event, payload, ref, joinRef) => {
    if (typeof ref === "string" && ref.startsWith("@")) {
      // It is for a join before this one, or for one that took too long. What is missed comes behind the answer, this with it.
      if (!isJoined) return;
      if (isTold) at = at.replace(/\d*$/, ref.slice(1));
    }
    trigger.call(channel, event, payload, ref, joinRef);
  };
  return () => at;
}
