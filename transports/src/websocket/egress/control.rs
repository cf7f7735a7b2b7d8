//! What waits to be written between two data frames: control frames, and lines of the session dialect.

use crate::websocket::{
    close_code::CloseCode,
    codec::{ClosePayload, OpCode, append_frame},
};

/// Pongs that wait to be written. A client that pings faster than it reads loses pongs, as RFC 6455 allows.
pub(super) const PONG_BYTES_MAX: usize = 1_024;

/// Whole frames but for what was written of the first; most of the time there are none, and then they take one pointer.
#[derive(Debug, Default)]
pub(super) struct Control(Option<Box<Vec<u8>>>);

impl Control {
    /// Takes off what was written of it, the first of `taken` bytes. Returns how many of them were of what follows it.
    pub(super) fn take_off(&mut self, taken: usize) -> usize {
        let Some(bytes) = &mut self.0 else { return taken };
        let own = bytes.len().min(taken);
        bytes.drain(..own);
        if bytes.is_empty() {
            self.0 = None;
        }
        taken - own
    }

    pub(super) fn queue_pong(&mut self, payload: &[u8]) {
        let bytes = self.0.get_or_insert_default();
        if bytes.len() < PONG_BYTES_MAX {
            append_frame(OpCode::Pong, payload, bytes);
        }
    }

    pub(super) fn queue_line(&mut self, line: &str) {
        append_frame(OpCode::Text, line.as_bytes(), self.0.get_or_insert_default());
    }

    pub(super) fn queue_close(&mut self, code: u16, reason: &str) {
        let code = CloseCode::from_wire(code).unwrap_or(CloseCode::GOING_AWAY);
        let payload = ClosePayload::new(code, reason);
        append_frame(OpCode::Close, payload.as_bytes(), self.0.get_or_insert_default());
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    #[inline]
    pub(super) fn append_to(&self, buffer: &mut Vec<u8>) {
        if let Some(bytes) = &self.0 {
            buffer.extend_from_slice(bytes);
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.map_or_else(Vec::new, |bytes| *bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pongs_wait_up_to_the_bound_and_those_beyond_it_are_lost() {
        let mut control = Control::default();
        (0..20).for_each(|_| control.queue_pong(&[0; 62]));
        assert_eq!(control.into_bytes().len(), PONG_BYTES_MAX, "sixteen of 64 bytes");
    }
}
