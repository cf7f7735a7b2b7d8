//! The heads of HTTP/1 messages: what has to be known of them, and the few changes that proxies make.

use bytes::{Buf, BytesMut};
use httparse::{EMPTY_HEADER, Header, Status};

use crate::body::{Chunk, Framing};

/// The state of the beginning of a buffer.
#[derive(Debug)]
pub(crate) enum Found<T> {
    /// A head, taken out of the buffer.
    Head(T),
    /// The beginning of one.
    Part,
    /// Something else than HTTP/1.
    Foreign,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: Head,
    pub(crate) method: String,
    pub(crate) wants_upgrade: bool,
    pub(crate) framing: Framing,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) status: u16,
    pub(crate) is_event_stream: bool,
    pub(crate) framing: Framing,
}

/// A head as it came, its empty line included.
#[derive(Debug)]
pub(crate) struct Head(Vec<u8>);

impl Request {
    pub(crate) fn take(buffer: &mut BytesMut) -> Found<Self> {
        skip_empty_lines(buffer);
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut fields);
        let len = match parsed.parse(buffer) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) if buffer.len() < HEAD_BYTES_MAX => return Found::Part,
            _ => return Found::Foreign,
        };
        let Some(framing) = framing(parsed.headers, Framing::Length(0)) else { return Found::Foreign };
        let method = parsed.method.unwrap_or_default().to_owned();
        let wants_upgrade = field(parsed.headers, "upgrade").is_some();
        Found::Head(Self { head: Head(buffer.split_to(len).to_vec()), method, wants_upgrade, framing })
    }
}

impl Response {
    /// Takes the head of an answer to a request with this method.
    pub(crate) fn take(buffer: &mut BytesMut, method: &str) -> Found<Self> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut fields);
        let len = match parsed.parse(buffer) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) if buffer.len() < HEAD_BYTES_MAX => return Found::Part,
            _ => return Found::Foreign,
        };
        let status = parsed.code.unwrap_or_default();
        let framing = if method == "HEAD" || matches!(status, 100..200 | 204 | 304) {
            Framing::Length(0)
        } else {
            let Some(framing) = framing(parsed.headers, Framing::UntilEnd) else { return Found::Foreign };
            framing
        };
        let is_event_stream = field(parsed.headers, "content-type")
            .is_some_and(|value| value.to_ascii_lowercase().starts_with(b"text/event-stream"));
        Found::Head(Self { head: Head(buffer.split_to(len).to_vec()), status, is_event_stream, framing })
    }
}

impl Head {
    /// Leaves out the fields with these names.
    pub(crate) fn remove(&mut self, names: &[&str]) {
        let mut is_first = true;
        let kept = self.0.split_inclusive(|byte| *byte == b'\n').filter(|line| {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            let is_removed = names.iter().any(|removed| name.eq_ignore_ascii_case(removed.as_bytes()));
            std::mem::take(&mut is_first) || !is_removed
        });
        self.0 = kept.collect::<Vec<_>>().concat();
    }

    /// Adds a field.
    pub(crate) fn add(&mut self, field: &str) {
        let end = self.0.trim_ascii_end().len();
        self.0.truncate(end);
        self.0.extend_from_slice(format!("\r\n{field}\r\n\r\n").as_bytes());
    }

    /// Makes it one of HTTP/1.0.
    pub(crate) fn make_http10(&mut self) {
        // A response begins with the version, a request's first line ends with it.
        let end = if self.0.starts_with(b"HTTP/1.") {
            "HTTP/1.1".len()
        } else {
            let line = self.0.split(|byte| *byte == b'\n').next().unwrap_or_default();
            line.trim_ascii_end().len()
        };
        self.0[end - 1] = b'0';
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A whole response that a proxy gives itself.
pub(crate) fn own_response(status: u16) -> Vec<u8> {
    let body = format!("<html><body>{status} by the proxy</body></html>\n");
    let len = body.len();
    format!(
        "HTTP/1.1 {status} By Proxy\r\nContent-Type: text/html\r\nContent-Length: {len}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// How the body ends; `None` if that cannot be told.
fn framing(fields: &[Header<'_>], otherwise: Framing) -> Option<Framing> {
    if let Some(codings) = field(fields, "transfer-encoding") {
        let is_chunked = codings.to_ascii_lowercase().ends_with(b"chunked");
        return is_chunked.then_some(Framing::Chunked(Chunk::Size));
    }
    let Some(len) = field(fields, "content-length") else { return Some(otherwise) };
    std::str::from_utf8(len).ok()?.trim().parse().ok().map(Framing::Length)
}

fn field<'a>(fields: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// Some clients end a body with a line break that they do not count, so what comes before a request may be
/// skipped.
fn skip_empty_lines(buffer: &mut BytesMut) {
    let len = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    buffer.advance(len);
}

/// A longer head is passed on without being looked at, as if it were no HTTP.
const HEAD_BYTES_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        match Request::take(&mut BytesMut::from(text)) {
            Found::Head(request) => request,
            other => panic!("{other:?}"),
        }
    }

    fn response(text: &str, method: &str) -> Response {
        match Response::take(&mut BytesMut::from(text), method) {
            Found::Head(response) => response,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_head_is_kept_to_the_byte_and_what_follows_stays() {
        let text = "POST /a HTTP/1.1\r\nhost:x\r\nX-Odd:   spaces  \r\ncontent-length: 3\r\n\r\n";
        let mut buffer = BytesMut::from(format!("{text}abc").as_str());
        let Found::Head(request) = Request::take(&mut buffer) else { panic!("no head") };
        assert_eq!(request.head.as_bytes(), text.as_bytes());
        assert_eq!((&buffer[..], request.framing), (&b"abc"[..], Framing::Length(3)));
        assert!(!request.wants_upgrade);
    }

    #[test]
    fn changes_touch_nothing_else() {
        let mut head =
            request("GET /HTTP/1.1 HTTP/1.1\r\nUPGRADE: websocket\r\nHost: x\r\nConnection: a\r\n\r\n").head;
        head.remove(&["upgrade", "connection"]);
        head.make_http10();
        head.add("Via: y");
        assert_eq!(head.as_bytes(), b"GET /HTTP/1.1 HTTP/1.0\r\nHost: x\r\nVia: y\r\n\r\n");
        let mut head = response("HTTP/1.1 200 OK\r\n\r\n", "GET").head;
        head.make_http10();
        assert_eq!(head.as_bytes(), b"HTTP/1.0 200 OK\r\n\r\n");
    }

    #[test]
    fn the_end_of_a_body_is_known() {
        let chunked = || Framing::Chunked(Chunk::Size);
        let of = |text: &str, method| response(text, method).framing;
        assert_eq!(
            of("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 1\r\n\r\n", "GET"),
            chunked()
        );
        assert_eq!(of("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD"), Framing::Length(0));
        assert_eq!(of("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET"), Framing::Length(0));
        assert_eq!(of("HTTP/1.0 200 OK\r\n\r\n", "GET"), Framing::UntilEnd);
        assert_eq!(request("GET / HTTP/1.1\r\n\r\n").framing, Framing::Length(0));
        assert_eq!(request("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n").framing, chunked());
    }

    #[test]
    fn what_is_not_http_1_is_foreign() {
        let find = |bytes: &[u8]| Request::take(&mut BytesMut::from(bytes));
        assert!(matches!(find(b"\x16\x03\x01\x02\x00"), Found::Foreign));
        assert!(matches!(find(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Found::Foreign));
        assert!(matches!(find(b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n"), Found::Foreign));
        assert!(matches!(find(&[b'a'; HEAD_BYTES_MAX]), Found::Foreign));
        assert!(matches!(find(b"GET / HTTP/1.1\r\nho"), Found::Part));
    }

    #[test]
    fn an_event_stream_is_known_by_its_type() {
        let of = |content_type: &str| {
            response(&format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n"), "GET")
                .is_event_stream
        };
        assert!(of("Text/Event-Stream; charset=utf-8"));
        assert!(!of("text/plain"));
    }
}
