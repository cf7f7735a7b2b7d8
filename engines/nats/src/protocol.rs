//! The lines of NATS, to bytes and back.
//!
//! ```text
//!   server:  INFO {…}   MSG subject sid [reply] bytes ↵ payload   HMSG … head-bytes bytes ↵ head payload   PING   PONG   +OK   -ERR 'why'
//!   node:    CONNECT {…}   PUB subject bytes ↵ payload   HPUB subject reply head-bytes bytes ↵ head payload   SUB subject sid   UNSUB sid
//!            PING   PONG
//! ```

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// The longest line but INFO's, which lists the servers.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The longest payload: what a node sends at most, and what is around it.
const PAYLOAD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a head begins with.
const HEAD: &str = "NATS/1.0\r\n";

/// Payloads up to here are copied, so that a small one that is kept does not keep the buffer in which it came.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Info(Box<Info>),
    /// The head is empty where there is none.
    Message {
        subject: String,
        head: Bytes,
        payload: Bytes,
    },
    Ping,
    Pong,
    Ok,
    Error(String),
}

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Info {
    /// The largest payload that it takes.
    pub(crate) max_payload: Option<usize>,
    pub(crate) tls_required: bool,
    /// The name of the cluster that it belongs to.
    pub(crate) cluster: Option<String>,
    /// Addresses of all servers of the cluster.
    pub(crate) connect_urls: Vec<String>,
    /// It is about to go.
    pub(crate) ldm: bool,
    /// Whether this server keeps anything itself.
    pub(crate) jetstream: bool,
}

/// What a node says of itself.
#[derive(Debug, Serialize)]
pub(crate) struct Connect<'a> {
    pub(crate) verbose: bool,
    pub(crate) pedantic: bool,
    pub(crate) tls_required: bool,
    /// A node lives by its own messages that come back.
    pub(crate) echo: bool,
    pub(crate) lang: &'a str,
    pub(crate) version: &'a str,
    /// 1: the server may say INFO again.
    pub(crate) protocol: u8,
    /// Messages come with their heads …
    pub(crate) headers: bool,
    /// … and a request that nobody hears is answered with the status 503.
    pub(crate) no_responders: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth_token: Option<&'a str>,
}

/// What came is nothing that a NATS says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbled;

impl fmt::Display for Garbled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server does not speak the protocol of NATS")
    }
}

impl std::error::Error for Garbled {}

/// Takes the next thing that was said from the front of what has come; none if it is not whole yet.
pub(crate) fn read(buffer: &mut BytesMut) -> Result<Option<Said>, Garbled> {
    let Some(end) = buffer.windows(2).position(|pair| pair == b"\r\n") else {
        return if buffer.len() > LINE_BYTES_MAX { Err(Garbled) } else { Ok(None) };
    };
    let line = std::str::from_utf8(&buffer[..end]).map_err(|_| Garbled)?;
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let said = match word.to_ascii_uppercase().as_str() {
        "MSG" => return read_message(buffer, end, false),
        "HMSG" => return read_message(buffer, end, true),
        "INFO" => Said::Info(Box::new(serde_json::from_str(rest).map_err(|_| Garbled)?)),
        "PING" => Said::Ping,
        "PONG" => Said::Pong,
        "+OK" => Said::Ok,
        "-ERR" => Said::Error(rest.trim().trim_matches('\'').to_owned()),
        _ => return Err(Garbled),
    };
    buffer.advance(end + 2);
    Ok(Some(said))
}

fn read_message(buffer: &mut BytesMut, end: usize, has_head: bool) -> Result<Option<Said>, Garbled> {
    let line = std::str::from_utf8(&buffer[..end]).map_err(|_| Garbled)?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let (subject, head, len) = match (&words[..], has_head) {
        ([_, subject, _, len] | [_, subject, _, _, len], false) => (*subject, 0, number(len)?),
        ([_, subject, _, head, len] | [_, subject, _, _, head, len], true) => {
            (*subject, number(head)?, number(len)?)
        }
        _ => return Err(Garbled),
    };
    if len > PAYLOAD_BYTES_MAX || head > len {
        return Err(Garbled);
    }
    let (from, until) = (end + 2, end + 2 + len);
    if buffer.len() < until + 2 {
        buffer.reserve(until + 2 - buffer.len());
        return Ok(None);
    }
    if &buffer[until..until + 2] != b"\r\n" {
        return Err(Garbled);
    }
    let subject = subject.to_owned();
    let mut payload = if len <= COPIED_BYTES_MAX {
        let copy = Bytes::copy_from_slice(&buffer[from..until]);
        buffer.advance(until + 2);
        copy
    } else {
        buffer.advance(from);
        let payload = buffer.split_to(len).freeze();
        buffer.advance(2);
        payload
    };
    let head = payload.split_to(head);
    Ok(Some(Said::Message { subject, head, payload }))
}

fn number(word: &str) -> Result<usize, Garbled> {
    word.parse().map_err(|_| Garbled)
}

/// The status that a head has, if any.
pub(crate) fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"NATS/1.0 ")?;
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

/// The value of a field of a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").skip(1);
    lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

pub(crate) fn write_publish(subject: &str, payload: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(format!("PUB {subject} {}\r\n", payload.len()).as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Publishes with fields of a head, each a line without its end, and says where an answer is to go.
pub(crate) fn write_request(
    subject: &str,
    reply: &str,
    fields: &[String],
    payload: &[u8],
    out: &mut BytesMut,
) {
    let head_bytes = head_bytes(fields);
    let bytes = head_bytes + payload.len();
    out.extend_from_slice(format!("HPUB {subject} {reply} {head_bytes} {bytes}\r\n{HEAD}").as_bytes());
    for field in fields {
        out.extend_from_slice(field.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// How long a head with these fields is.
pub(crate) fn head_bytes(fields: &[String]) -> usize {
    HEAD.len() + fields.iter().map(|field| field.len() + 2).sum::<usize>() + 2
}

pub(crate) fn write_subscribe(subject: &str, sid: u64, out: &mut BytesMut) {
    out.extend_from_slice(format!("SUB {subject} {sid}\r\n").as_bytes());
}

pub(crate) fn write_unsubscribe(sid: u64, out: &mut BytesMut) {
    out.extend_from_slice(format!("UNSUB {sid}\r\n").as_bytes());
}

pub(crate) fn write_ping(out: &mut BytesMut) {
    out.extend_from_slice(b"PING\r\n");
}

pub(crate) fn write_pong(out: &mut BytesMut) {
    out.extend_from_slice(b"PONG\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is said, when it comes in pieces of so many bytes.
    fn read_all(bytes: &[u8], piece: usize) -> Result<Vec<Said>, Garbled> {
        let (mut buffer, mut said) = (BytesMut::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Some(it) = read(&mut buffer)? {
                said.push(it);
            }
        }
        assert!(buffer.is_empty(), "nothing is left");
        Ok(said)
    }

    #[test]
    fn what_a_server_says_is_read_however_it_is_cut() {
        let large = "x".repeat(COPIED_BYTES_MAX + 1);
        let text = format!(
            "INFO {{\"server_id\":\"N\",\"max_payload\":1048576,\"ldm\":true,\"connect_urls\":[\"a:1\"]}} \r\n+OK\r\nPING\r\n\
             MSG lw.chat.c 1 4\r\n\r\n\r\n\r\nMSG lw.chat.c 1 reply 2\r\nhi\r\nMSG a 2 0\r\n\r\npong\r\nMSG b 3 {}\r\n{large}\r\n\
             HMSG d 4 reply 16 18\r\nNATS/1.0 503\r\n\r\nhi\r\n-ERR 'Authorization Violation'\r\n",
            large.len(),
        );
        let message = |subject: &str, payload: &str| Said::Message {
            subject: subject.to_owned(),
            head: Bytes::new(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        };
        let info = Info {
            max_payload: Some(1_048_576),
            ldm: true,
            connect_urls: vec!["a:1".to_owned()],
            ..Info::default()
        };
        let expected = [
            Said::Info(Box::new(info)),
            Said::Ok,
            Said::Ping,
            message("lw.chat.c", "\r\n\r\n"),
            message("lw.chat.c", "hi"),
            message("a", ""),
            Said::Pong,
            message("b", &large),
            Said::Message {
                subject: "d".to_owned(),
                head: Bytes::from_static(b"NATS/1.0 503\r\n\r\n"),
                payload: Bytes::from_static(b"hi"),
            },
            Said::Error("Authorization Violation".to_owned()),
        ];
        for piece in [1, 2, 3, 7, 100, text.len()] {
            assert_eq!(read_all(text.as_bytes(), piece).unwrap(), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_message_is_read_with_its_last_byte_and_not_before() {
        for text in ["MSG a 1 2\r\nhi\r\n", "HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"] {
            let mut buffer = BytesMut::from(&text.as_bytes()[..text.len() - 1]);
            assert_eq!(read(&mut buffer), Ok(None));
            buffer.extend_from_slice(b"\n");
            assert!(
                matches!(read(&mut buffer), Ok(Some(Said::Message { .. }))) && buffer.is_empty(),
                "{text}"
            );
        }
    }

    #[test]
    fn the_longest_line_and_the_largest_payload_are_read() {
        let mut line = BytesMut::from("x".repeat(LINE_BYTES_MAX).as_bytes());
        assert_eq!(read(&mut line), Ok(None));
        let payload = "x".repeat(PAYLOAD_BYTES_MAX);
        let said = read_all(format!("MSG a 1 {PAYLOAD_BYTES_MAX}\r\n{payload}\r\n").as_bytes(), usize::MAX);
        assert!(matches!(&said.unwrap()[..], [Said::Message { payload: read, .. }] if *read == payload));
    }

    #[test]
    fn a_small_payload_does_not_keep_the_buffer_in_which_it_came() {
        for (len, is_copied) in [(COPIED_BYTES_MAX, true), (COPIED_BYTES_MAX + 1, false)] {
            let text = format!("MSG a 1 {len}\r\n{}\r\nPING\r\n", "x".repeat(len));
            let mut buffer = BytesMut::from(text.as_bytes());
            let Ok(Some(Said::Message { payload, .. })) = read(&mut buffer) else { panic!("it is whole") };
            assert_eq!((payload.len(), payload.is_unique(), &buffer[..]), (len, is_copied, &b"PING\r\n"[..]));
        }
    }

    #[test]
    fn what_is_no_nats_is_an_error_and_takes_no_memory() {
        let too_large = format!("MSG a 1 {}\r\n", PAYLOAD_BYTES_MAX + 1);
        let endless = "x".repeat(LINE_BYTES_MAX + 1);
        for text in [
            "HTTP/1.1 400 Bad Request\r\n",
            "MSG a\r\n",
            "MSG a 1 -1\r\n",
            "MSG a 1 2\r\nhi!!",
            "HMSG a 1 3 2\r\nhi\r\n",
            "HMSG a 1 2\r\nhi\r\n",
            "INFO {\r\n",
            "\r\n",
            &too_large,
            &endless,
        ] {
            let mut buffer = BytesMut::from(text.as_bytes());
            assert_eq!(read(&mut buffer), Err(Garbled), "{}", &text[..text.len().min(30)]);
        }
        assert!(Garbled.to_string().contains("does not speak the protocol of NATS"));
        let mut buffer = BytesMut::from(&b"MSG \xff 1 2\r\nhi\r\n"[..]);
        assert_eq!(read(&mut buffer), Err(Garbled));
    }

    #[test]
    fn what_a_node_says_is_one_line_each() {
        let mut out = BytesMut::new();
        write_publish("a.b", b"hi\r\n", &mut out);
        write_subscribe("a.*", 7, &mut out);
        write_unsubscribe(7, &mut out);
        write_ping(&mut out);
        write_pong(&mut out);
        assert_eq!(&out[..], b"PUB a.b 4\r\nhi\r\n\r\nSUB a.* 7\r\nUNSUB 7\r\nPING\r\nPONG\r\n");
    }

    #[test]
    fn a_request_has_a_head_that_is_read_again() {
        let fields = ["A: 1".to_owned(), "Ab: x y".to_owned()];
        let mut out = BytesMut::new();
        write_request("s", "r", &fields, b"hello", &mut out);
        assert_eq!(&out[..], b"HPUB s r 27 32\r\nNATS/1.0\r\nA: 1\r\nAb: x y\r\n\r\nhello\r\n");
        assert_eq!(head_bytes(&fields), 27);
        let head = "NATS/1.0\r\nA: 1\r\nAb: x y\r\n\r\n";
        assert_eq!([field(head, "A"), field(head, "Ab"), field(head, "b")], [Some("1"), Some("x y"), None]);
        assert_eq!(
            [status(head.as_bytes()), status(b"NATS/1.0 503\r\n\r\n"), status(b"")],
            [None, Some(503), None]
        );
    }
}
