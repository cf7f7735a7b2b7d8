//! The session dialect over a WebSocket with the subprotocol `lapwing.1`.
use super::dialect::{Acks, Session};
use super::websocket::{Handshake, Link as Wire};
use super::*;

pub struct Link {
    wire: Wire,
    session: Session,
}

pub struct Resumable {
    handshake: Handshake,
    beat_ms: u32,
    acks: Acks,
    /// scratch for unescaped frames
    text: Vec<u8>,
}

impl Transport for Resumable {
    type Link = Box<Link>;
    const NAME: &'static str = "resumable";
    const RESUMES: bool = true;

    fn new(t: &Target) -> Self {
        let handshake = Handshake::new(t, Some("lapwing.1"));
        Resumable { handshake, beat_ms: t.beat_ms, acks: Acks::default(), text: Vec::new() }
    }

    fn open(&mut self, io: &mut Io, id: usize) -> Result<Box<Link>, Fail> {
        Ok(Box::new(Link { wire: Wire::new(io, id)?, session: Session::default() }))
    }

    fn event(
        &mut self,
        io: &mut Io,
        id: usize,
        link: &mut Box<Link>,
        _role: u64,
        ev: u32,
        sink: &mut impl Sink,
        out: &mut Outbox,
    ) -> Result<(), Fail> {
        let Link { wire, session } = &mut **link;
        let (mut upgraded, mut wanted) = (false, false);
        let text = &mut self.text;
        wire.event(io, &self.handshake, ev, |now, message| {
            match message {
                None => upgraded = true,
                Some(line) => wanted |= session.line(now, line, text, sink, out)?,
            }
            Ok(())
        })?;
        if upgraded {
            wire.write(io, [session.greeting(self.beat_ms).as_bytes()])?;
        }
        if wanted || session.is_ack_due() {
            wire.write(io, [session.ack().as_bytes()])?;
        }
        self.acks.note(id, session);
        Ok(())
    }

    fn send(&mut self, io: &mut Io, _id: usize, link: &mut Box<Link>, out: &Outbox) -> Result<(), Fail> {
        link.session.count_sent(out.frames().count());
        link.wire.write(io, out.frames())
    }

    fn due(&mut self, now: u64) -> Option<usize> {
        self.acks.due(now)
    }

    fn attend(&mut self, io: &mut Io, id: usize, link: &mut Box<Link>) -> Result<(), Fail> {
        if self.acks.is_time(id, &mut link.session) {
            let ack = link.session.ack();
            link.wire.write(io, [ack.as_bytes()])?;
        }
        Ok(())
    }

    fn cut(&mut self, mut link: Box<Link>) -> Option<Box<Link>> {
        link.wire.shut();
        link.session.detach();
        Some(link)
    }

    fn resume(&mut self, io: &mut Io, id: usize, link: &mut Box<Link>) -> Result<(), Fail> {
        link.wire = Wire::new(io, id)?;
        Ok(())
    }

    fn close(&mut self, mut link: Box<Link>) {
        link.wire.shut();
    }
}
