//! The session dialect over long-polling: role 0 is the socket that always has
//! a poll out, role 1 the socket for POSTs. A poll says what was received.
use super::dialect::{DOWN, POST, Session, Up, request};
use super::gzip::Gzip;
use super::http::Http;
use super::*;

const SEGMENT: &str = "/longpoll";

#[derive(Default)]
pub struct Link {
    session: Session,
    poll: Http,
    up: Up,
}

pub struct Poll {
    target: Target,
    /// scratch for unescaped frames
    text: Vec<u8>,
}

impl Poll {
    fn poll(&self, io: &mut Io, id: usize, l: &mut Link) -> Result<(), Fail> {
        let is_begun = l.session.is_begun();
        let req = request(&self.target, SEGMENT, l.session.poll(self.target.beat_ms).as_bytes());
        l.poll.request(io, id, DOWN, req, is_begun)
    }
}

impl Transport for Poll {
    type Link = Box<Link>;
    const NAME: &'static str = "poll";
    const RESUMES: bool = true;
    const BEATS: bool = false;

    fn new(target: &Target) -> Self {
        Poll { target: target.clone(), text: Vec::new() }
    }

    fn open(&mut self, io: &mut Io, id: usize) -> Result<Box<Link>, Fail> {
        let mut l = Box::<Link>::default();
        self.poll(io, id, &mut l)?;
        Ok(l)
    }

    fn event(
        &mut self,
        io: &mut Io,
        id: usize,
        l: &mut Box<Link>,
        role: u64,
        ev: u32,
        sink: &mut impl Sink,
        out: &mut Outbox,
    ) -> Result<(), Fail> {
        if role == POST {
            l.up.event(io, id, ev, &l.session, self.target.keep_post)?;
            return l.up.post(io, id, &self.target, SEGMENT, &mut l.session, false);
        }
        let Link { session, poll, .. } = &mut **l;
        let mut inflated = std::mem::take(&mut io.inflated);
        let polled = poll.event(io, id, DOWN, ev, |now, r| {
            if r.status != 200 {
                return Err(format!("poll answered {} {}", r.status, String::from_utf8_lossy(r.body)));
            }
            let mut plain = std::mem::take(&mut inflated.plain);
            plain.clear();
            if r.gzip {
                let mut gzip = Gzip::default();
                gzip.read(r.body, &mut inflated, &mut plain)?;
                if !gzip.is_over() {
                    return Err("an answer that is half of gzip".into());
                }
            }
            let body = if r.gzip { &plain[..] } else { r.body };
            for line in body.split(|&c| c == b'\n') {
                // What is said here is acknowledged by the next poll, which follows at once.
                session.line(now, line, &mut self.text, sink, out)?;
            }
            inflated.plain = plain;
            Ok(())
        });
        io.inflated = inflated;
        polled?;
        if l.poll.busy { Ok(()) } else { self.poll(io, id, l) }
    }

    fn send(&mut self, io: &mut Io, id: usize, l: &mut Box<Link>, out: &Outbox) -> Result<(), Fail> {
        l.up.extend(out);
        l.up.post(io, id, &self.target, SEGMENT, &mut l.session, false)
    }

    fn cut(&mut self, mut l: Box<Link>) -> Option<Box<Link>> {
        l.poll.shut();
        l.up.shut();
        l.session.detach();
        Some(l)
    }

    fn resume(&mut self, io: &mut Io, id: usize, l: &mut Box<Link>) -> Result<(), Fail> {
        self.poll(io, id, l)
    }

    fn close(&mut self, mut l: Box<Link>) {
        l.poll.shut();
        l.up.shut();
    }
}
