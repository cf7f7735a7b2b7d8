// Bytes, which are what limits count, of texts, which JavaScript counts otherwise. Pure.

/** The bytes of a frame, or of any text in UTF-8. Half a character becomes a replacement character of three. */
export function bytesOf(frame) {
  if (typeof frame !== "string") return frame.byteLength;
  let bytes = 0;
  for (let at = 0; at < frame.length; at += 1) {
    const code = frame.codePointAt(at);
    if (code > 0xffff) at += 1;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes;
}

/** A copy of the bytes in a buffer or a view, of whatever realm; `undefined` if there are none. */
export function copyOf(data) {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice().buffer;
  // The class would be another one in another frame, or where a test environment brings its own.
  const isBuffer = /^\[object (Shared)?ArrayBuffer\]$/.test(Object.prototype.toString.call(data));
  return isBuffer ? new Uint8Array(new Uint8Array(data)).buffer : undefined;
}
