//! The head of a request that is remembered for a while: bounded, and without the buffer that it was read into.

use http::{HeaderMap, HeaderName, HeaderValue, Uri, request::Parts};
use hyper::upgrade::OnUpgrade;

/// Bytes of a head that is remembered, its address and its headers. As servers commonly have it; `http1::configure` and
/// `http2::configure` set the same for all heads.
pub(crate) const BYTES_MAX: usize = 16 * 1024;

/// What a header takes besides its name and value.
const HEADER_BYTES: usize = 104;

/// How many bytes it takes to remember a head.
pub(crate) fn bytes(parts: &Parts) -> usize {
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES);
    parts.uri.path().len() + parts.uri.query().map_or(0, str::len) + headers.sum::<usize>()
}

/// The same head in memory of its own: the parts that a server hands over are slices of its read buffer, which may be twenty
/// times as large and lives as long as any of them.
pub(crate) fn compact(parts: Parts) -> Parts {
    let Parts { method, uri, version, headers, mut extensions, .. } = parts;
    let mut copied = HeaderMap::with_capacity(headers.len());
    for (name, value) in &headers {
        let (name, copy) =
            (HeaderName::from_bytes(name.as_str().as_bytes()), HeaderValue::from_bytes(value.as_bytes()));
        // Neither fails, as both were read before.
        if let (Ok(name), Ok(mut copy)) = (name, copy) {
            copy.set_sensitive(value.is_sensitive());
            copied.append(name, copy);
        }
    }
    extensions.remove::<OnUpgrade>();
    let mut compact = http::Request::new(()).into_parts().0;
    compact.method = method;
    compact.uri = uri.to_string().parse::<Uri>().unwrap_or(uri);
    compact.version = version;
    compact.headers = copied;
    compact.extensions = extensions;
    compact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compact_head_says_the_same() {
        let request = http::Request::get("http://example.test:4000/socket/sse?lapwing=1&x=%20y")
            .header("x-twice", "1")
            .header("x-twice", "2")
            .header("cookie", &b"caf\xe9"[..])
            .extension(7u32);
        let parts = request.body(()).unwrap().into_parts().0;
        let (uri, headers, size) = (parts.uri.clone(), parts.headers.clone(), bytes(&parts));
        let compact = compact(parts);
        assert_eq!((compact.uri.clone(), compact.headers.clone()), (uri, headers));
        assert_eq!((compact.extensions.get::<u32>(), bytes(&compact)), (Some(&7), size));
    }
}
