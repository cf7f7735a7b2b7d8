//! HTTP/1.1 as the long-polling transports and the way up beside an event
//! stream need it: one keep-alive socket with one request at a time, and the
//! lines that wait for the next POST.
use super::*;
use crate::protocol::number;
use crate::sys::{OUT, READABLE};

#[derive(Default)]
pub(crate) struct Http {
    fd: Option<RawFd>,
    connected: bool,
    /// a request is out whose response is not in yet
    pub busy: bool,
    rx: Vec<u8>,
    tx: Vec<u8>,
    /// the request that is out, if it may be repeated because the server closed
    /// the kept connection at the moment it was written
    again: Vec<u8>,
}

impl Http {
    /// Sends a request, connecting first if need be. One that is safe to
    /// `repeat` goes out again when a kept connection turns out to be closed.
    pub fn request(&mut self, io: &mut Io, id: usize, role: u64, bytes: Vec<u8>, repeat: bool) -> Result<(), Fail> {
        self.busy = true;
        match (self.fd, self.connected) {
            (None, _) => self.start(io, id, role, bytes),
            (Some(_), false) => {
                self.tx.extend_from_slice(&bytes);
                Ok(())
            }
            (Some(fd), true) => match write_or_queue(fd, &mut self.tx, &bytes) {
                Err(_) if repeat => self.start(io, id, role, bytes),
                sent => {
                    if repeat {
                        self.again = bytes;
                    }
                    sent
                }
            },
        }
    }

    /// Sends a request on a new connection.
    fn start(&mut self, io: &mut Io, id: usize, role: u64, bytes: Vec<u8>) -> Result<(), Fail> {
        self.shut();
        *self = Http { fd: Some(io.connect(id, role)?), busy: true, tx: bytes, ..Http::default() };
        Ok(())
    }

    /// Something happened on the socket; `each` gets a response. Returns whether there was one.
    pub fn event(
        &mut self,
        io: &mut Io,
        id: usize,
        role: u64,
        ev: u32,
        mut each: impl FnMut(u64, &Response) -> Result<(), Fail>,
    ) -> Result<bool, Fail> {
        let Some(fd) = self.fd else { return Ok(false) };
        if ev & OUT != 0 {
            self.connected = true;
            flush(fd, &mut self.tx)?;
        }
        if ev & READABLE == 0 {
            return Ok(false);
        }
        let (mut responses, mut close) = (0, false);
        let read = pump(io, fd, &mut self.rx, ev, |now, bytes| {
            let mut used = 0;
            while let Some(r) = response(&bytes[used..])? {
                used += r.size;
                responses += 1;
                close |= r.close;
                each(now, &r)?;
            }
            Ok(used)
        });
        if responses > 1 || (responses == 1 && !self.busy) {
            return Err("a response nobody asked for".into());
        }
        if responses == 1 {
            self.busy = false;
            self.again = Vec::new();
        }
        match read {
            // The server may close an idle connection; one with a request out it may not,
            // unless they crossed.
            Err(e) if e == CLOSED || e.starts_with("recv:") => match std::mem::take(&mut self.again) {
                _ if !self.busy => self.shut(),
                again if again.is_empty() => return Err(e),
                again => self.start(io, id, role, again)?,
            },
            Err(e) => return Err(e),
            Ok(()) if close => self.shut(),
            Ok(()) => {}
        }
        Ok(responses == 1)
    }

    pub fn shut(&mut self) {
        if let Some(fd) = self.fd.take() {
            sys::close(fd);
        }
        *self = Http::default();
    }
}

/// Frames that wait for the next POST, one a line.
#[derive(Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    pub count: usize,
}

impl Lines {
    pub fn extend(&mut self, out: &Outbox) {
        for f in out.frames() {
            if self.count > 0 {
                self.bytes.push(b'\n');
            }
            self.bytes.extend_from_slice(f);
            self.count += 1;
        }
    }
    /// The first `max` lines, and how many these are.
    pub fn take(&mut self, max: usize) -> (Vec<u8>, usize) {
        if self.count <= max {
            return (std::mem::take(&mut self.bytes), std::mem::take(&mut self.count));
        }
        let end = memchr::memchr_iter(b'\n', &self.bytes).nth(max - 1).expect("as many lines as were counted");
        let rest = self.bytes.split_off(end + 1);
        let mut taken = std::mem::replace(&mut self.bytes, rest);
        taken.pop();
        self.count -= max;
        (taken, max)
    }
}

pub(crate) struct Response<'a> {
    pub status: u64,
    close: bool,
    pub gzip: bool,
    pub body: &'a [u8],
    size: usize,
}

/// The head of a response.
pub(crate) struct Head {
    pub status: u64,
    pub close: bool,
    /// the body's length; None if it comes in chunks, or does not say
    pub length: Option<usize>,
    pub chunked: bool,
    pub gzip: bool,
    /// bytes of the head itself
    pub size: usize,
}

/// Reads the head of a response once it is complete.
pub(crate) fn response_head(b: &[u8]) -> Result<Option<Head>, Fail> {
    let Some(end) = memchr::memmem::find(b, b"\r\n\r\n") else { return Ok(None) };
    let mut head = Head { status: 0, close: false, length: None, chunked: false, gzip: false, size: end + 4 };
    for (i, line) in b[..end].split(|&c| c == b'\n').enumerate() {
        if i == 0 {
            head.status = line.strip_prefix(b"HTTP/1.1 ").and_then(number).ok_or("not HTTP/1.1")?;
        } else if let Some(colon) = memchr::memchr(b':', line) {
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                head.length = number(value).map(|n| n as usize);
            } else if name.eq_ignore_ascii_case(b"connection") {
                head.close = value.eq_ignore_ascii_case(b"close");
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                head.chunked = value.eq_ignore_ascii_case(b"chunked");
            } else if name.eq_ignore_ascii_case(b"content-encoding") {
                head.gzip = value.eq_ignore_ascii_case(b"gzip");
            }
        }
    }
    if head.status == 204 {
        head.length = Some(0);
    }
    Ok(Some(head))
}

/// The next whole HTTP response with a Content-Length, or None.
pub(crate) fn response(b: &[u8]) -> Result<Option<Response<'_>>, Fail> {
    let Some(h) = response_head(b)? else { return Ok(None) };
    if h.chunked {
        return Err("chunked responses are not supported here".into());
    }
    let size = h.size + h.length.ok_or("response without Content-Length")?;
    let Head { status, close, gzip, .. } = h;
    Ok((b.len() >= size).then(|| Response { status, close, gzip, body: &b[h.size..size], size }))
}

/// Decodes a JSON string up to and including its closing quote; returns the length.
pub(crate) fn unescape(b: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    out.clear();
    let mut i = 0;
    loop {
        let n = memchr::memchr2(b'"', b'\\', &b[i..])?;
        out.extend_from_slice(&b[i..i + n]);
        i += n;
        if b[i] == b'"' {
            return Some(i + 1);
        }
        let c = *b.get(i + 1)?;
        i += 2;
        match c {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => {
                // Nothing we look for is outside ASCII; other characters become '?'.
                let v = u32::from_str_radix(std::str::from_utf8(b.get(i..i + 4)?).ok()?, 16).ok()?;
                out.push(u8::try_from(v).ok().filter(u8::is_ascii).unwrap_or(b'?'));
                i += 4;
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_responses() {
        let mut t = Vec::new();
        assert_eq!(unescape(br#"[\"a\",\"\\u\u0041\"]" tail"#, &mut t), Some(22));
        assert_eq!(t, br#"["a","\uA"]"#);
        assert_eq!(unescape(br#"no end\"#, &mut t), None);
        let r = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 3\r\n\r\nabcHTTP";
        assert!(response(&r[..r.len() - 5]).unwrap().is_none());
        let r = response(r).unwrap().unwrap();
        assert_eq!((r.status, r.close, r.body), (200, false, &b"abc"[..]));
    }

    #[test]
    fn lines_go_in_batches() {
        let (mut out, mut lines) = (Outbox::default(), Lines::default());
        ["a", "b", "c"].iter().for_each(|f| out.push(f.as_bytes()));
        lines.extend(&out);
        assert_eq!(lines.take(2), (b"a\nb".to_vec(), 2));
        assert_eq!(lines.take(2), (b"c".to_vec(), 1));
        assert_eq!(lines.take(2), (Vec::new(), 0));
    }
}
