//! Tickets for `EventSource`, which can carry neither a body nor headers: what would have been in them is kept here for a
//! few seconds.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::request::Parts;
use moka::sync::Cache;
use subtle::ConstantTimeEq as _;

use crate::options::SseOptions;

/// Random bytes of a ticket: the first half finds it, the second proves it.
const BYTES: usize = 32;

type Half = [u8; BYTES / 2];

/// The tickets that were issued and not used.
#[derive(Debug)]
pub(crate) struct Tickets(Cache<Half, Arc<Kept>>);

#[derive(Debug)]
struct Kept {
    proof: Half,
    parts: Parts,
    body: Bytes,
}

impl Tickets {
    pub(crate) fn new(options: &SseOptions) -> Self {
        let cache = Cache::builder()
            .max_capacity(options.tickets_max)
            .time_to_live(options.ticket_lifetime)
            .eviction_policy(moka::policy::EvictionPolicy::lru());
        Self(cache.build())
    }

    /// A ticket for a request and what follows the first line of its body; `None` if the system has no randomness to give.
    pub(crate) fn issue(&self, parts: Parts, body: Bytes) -> Option<String> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).ok()?;
        let (name, proof) = halves(bytes);
        self.0.insert(name, Arc::new(Kept { proof, parts, body }));
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What a ticket is for. It is worth nothing afterwards.
    pub(crate) fn redeem(&self, ticket: &str) -> Option<(Parts, Bytes)> {
        let mut bytes = [0; BYTES + 1];
        if URL_SAFE_NO_PAD.decode_slice(ticket, &mut bytes).ok()? != BYTES {
            return None;
        }
        let (name, proof) = halves(bytes[..BYTES].try_into().ok()?);
        // The cache gives away what has expired and was not swept yet; only looking asks for its age.
        let kept = self.0.contains_key(&name).then(|| self.0.remove(&name))??;
        let is_proven: bool = kept.proof.ct_eq(&proof).into();
        is_proven.then(|| (kept.parts.clone(), kept.body.clone()))
    }
}

fn halves(bytes: [u8; BYTES]) -> (Half, Half) {
    let (mut name, mut proof) = ([0; BYTES / 2], [0; BYTES / 2]);
    name.copy_from_slice(&bytes[..BYTES / 2]);
    proof.copy_from_slice(&bytes[BYTES / 2..]);
    (name, proof)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parts(path: &str) -> Parts {
        http::Request::get(path).body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_ticket_works_once() {
        let tickets = Tickets::new(&SseOptions::default());
        let ticket = tickets.issue(parts("/a"), Bytes::from_static(b"!open 5")).unwrap();
        assert_eq!(ticket.len(), 43);
        let (kept, body) = tickets.redeem(&ticket).unwrap();
        assert_eq!((kept.uri.path(), &body[..]), ("/a", &b"!open 5"[..]));
        assert!(tickets.redeem(&ticket).is_none());
    }

    #[test]
    fn a_ticket_is_not_good_for_long() {
        let options = SseOptions { ticket_lifetime: Duration::from_millis(20), ..SseOptions::default() };
        let tickets = Tickets::new(&options);
        let ticket = tickets.issue(parts("/"), Bytes::new()).unwrap();
        std::thread::sleep(Duration::from_millis(40));
        assert!(tickets.redeem(&ticket).is_none());
    }

    #[test]
    fn what_is_no_ticket_is_none_and_a_wrong_proof_spends_it() {
        let tickets = Tickets::new(&SseOptions::default());
        for text in ["", "abc", "é", &"A".repeat(43), &"A".repeat(1_000)] {
            assert!(tickets.redeem(text).is_none(), "{text:.20}");
        }
        let ticket = tickets.issue(parts("/"), Bytes::new()).unwrap();
        let forged = format!("{}{}", &ticket[..42], if ticket.ends_with('A') { 'E' } else { 'A' });
        assert!(tickets.redeem(&forged).is_none());
        assert!(tickets.redeem(&ticket).is_none());
    }
}
