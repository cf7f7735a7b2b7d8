//! Bytes to messages. Whatever arrives, reading it neither panics nor allocates more than the message has bytes.

use bytes::{Buf as _, Bytes};

use super::{
    Beat, CHECK_BITS, KEPT, Kept, Message, PayloadKind, Place, Publish, Repair, Slow, Tops, VERSION,
    VERSION_OLDEST, VERSION_SLOW, WireError, WireLimits,
};
use crate::{
    channel::Key,
    id::Instance,
    varint::{self, NoNumber},
};

type Read<T> = Result<T, WireError>;

pub(super) fn message(bytes: &Bytes, limits: &WireLimits) -> Read<(Instance, Message)> {
    if bytes.len() > limits.message_bytes_max {
        return Err(WireError::TooLarge);
    }
    let mut reader = Reader { rest: bytes.clone(), limits };
    let version = reader.byte()?;
    if !(VERSION_OLDEST..=VERSION).contains(&version) {
        return Err(WireError::Version(version));
    }
    let kind = reader.byte()?;
    let from = Instance(reader.rest.try_get_u64().map_err(|_| WireError::Length)?);
    let message = reader.body(kind, version)?;
    if reader.rest.is_empty() { Ok((from, message)) } else { Err(WireError::Length) }
}

struct Reader<'a> {
    rest: Bytes,
    limits: &'a WireLimits,
}

impl Reader<'_> {
    fn body(&mut self, kind: u8, version: u8) -> Read<Message> {
        Ok(match kind {
            1 => Message::Publish(self.publish(version)?),
            2 => Message::Beat(self.beat()?),
            3 => Message::Departed,
            4 => Message::Ask { key: self.key()?, after: self.varint()?, upto: self.varint()? },
            5 => Message::Repair(self.repair()?),
            6 => Message::AskTops { after: self.varint()? },
            7 => Message::Tops(self.tops()?),
            8 => Message::Presence(self.all()),
            9 => Message::Call { id: self.varint()?, body: self.all() },
            10 => Message::Answer { id: self.varint()?, body: self.all() },
            KEPT => Message::Kept(self.kept()?),
            12 => Message::Relay(self.all()),
            13 => Message::Move(self.all()),
            kind => return Err(WireError::Kind(kind)),
        })
    }

    fn publish(&mut self, version: u8) -> Read<Publish> {
        let (number, prev) = (self.varint()?, self.varint()?);
        if prev >= number {
            return Err(WireError::Value);
        }
        let (topic, event) = (self.text()?, self.text()?);
        let kind = match self.byte()? {
            0 => PayloadKind::Json,
            1 => PayloadKind::Binary,
            2 => PayloadKind::JsonAsItIs,
            3 => PayloadKind::BinaryAsItIs,
            _ => return Err(WireError::Value),
        };
        let slow = if version >= VERSION_SLOW { Some(self.slow()?) } else { None };
        Ok(Publish { number, prev, topic, event, kind, slow, payload: self.all() })
    }

    fn slow(&mut self) -> Read<Slow> {
        Ok(match self.byte()? {
            0 => Slow::Close,
            1 => Slow::Volatile,
            2 => Slow::Latest,
            3 => Slow::LatestOf(self.text()?),
            4 => Slow::Few { count: self.varint()?, told_by: self.text()? },
            _ => return Err(WireError::Value),
        })
    }

    fn beat(&mut self) -> Read<Beat> {
        Ok(Beat {
            number: self.varint()?,
            name: self.text()?,
            versions: (self.byte()?, self.byte()?),
            is_draining: self.flag()?,
            tops: self.tops()?,
        })
    }

    fn tops(&mut self) -> Read<Tops> {
        let (top, since, lost) = (self.varint()?, self.varint()?, self.varint()?);
        let part = (self.byte()?, self.byte()?);
        if part.0 >= part.1 || since > top {
            return Err(WireError::Value);
        }
        let count = self.count(self.limits.tops_max, 2)?;
        let mut changed = Vec::with_capacity(count);
        for _ in 0..count {
            changed.push((self.key()?, self.varint()?));
        }
        Ok(Tops { top, since, lost, part, changed })
    }

    fn repair(&mut self) -> Read<Repair> {
        let (key, after, upto) = (self.key()?, self.varint()?, self.varint()?);
        let is_complete = self.flag()?;
        let count = self.count(self.limits.publishes_max, 11)?;
        let mut publishes = Vec::with_capacity(count);
        for _ in 0..count {
            publishes.push(self.counted(self.limits.message_bytes_max)?);
        }
        Ok(Repair { key, after, upto, is_complete, publishes })
    }

    fn kept(&mut self) -> Read<Kept> {
        let (epoch, number) = (self.fixed()?, self.fixed()?);
        let (check, before) = (self.check()?, self.check()?);
        if number == 0 {
            return Err(WireError::Value);
        }
        Ok(Kept { place: Place { epoch, number, check }, before, entry: self.all() })
    }

    fn fixed(&mut self) -> Read<u64> {
        self.rest.try_get_u64().map_err(|_| WireError::Length)
    }

    fn check(&mut self) -> Read<u32> {
        let check = self.rest.try_get_u32().map_err(|_| WireError::Length)?;
        if check >> CHECK_BITS > 0 { Err(WireError::Value) } else { Ok(check) }
    }

    fn key(&mut self) -> Read<Key> {
        self.varint().map(Key)
    }

    fn text(&mut self) -> Read<Box<str>> {
        let bytes = self.counted(self.limits.text_bytes_max)?;
        Ok(std::str::from_utf8(&bytes).map_err(|_| WireError::Value)?.into())
    }

    /// Bytes with their length before them.
    fn counted(&mut self, bytes_max: usize) -> Read<Bytes> {
        let len = usize::try_from(self.varint()?).map_err(|_| WireError::TooLarge)?;
        if len > bytes_max {
            return Err(WireError::TooLarge);
        }
        if len > self.rest.len() {
            return Err(WireError::Length);
        }
        Ok(self.rest.split_to(len))
    }

    /// How many items of at least `item_bytes` follow. Checked against what is left, so that a count alone costs nothing.
    fn count(&mut self, max: usize, item_bytes: usize) -> Read<usize> {
        let count = usize::try_from(self.varint()?).map_err(|_| WireError::TooLarge)?;
        match count {
            _ if count > max => Err(WireError::TooLarge),
            _ if count > self.rest.len() / item_bytes => Err(WireError::Length),
            _ => Ok(count),
        }
    }

    fn all(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    fn flag(&mut self) -> Read<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Value),
        }
    }

    fn byte(&mut self) -> Read<u8> {
        self.rest.try_get_u8().map_err(|_| WireError::Length)
    }

    fn varint(&mut self) -> Read<u64> {
        varint::take(&mut self.rest).map_err(|none| match none {
            NoNumber::Short => WireError::Length,
            NoNumber::TooLarge => WireError::Value,
        })
    }
}
