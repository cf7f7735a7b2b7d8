//! Tickets for `EventSource`, which can carry neither a body nor headers: what would have been in them is kept here for a
//! few seconds, as the mount's clock counts them: a client whose request lay in a socket while the program stood still is not late.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::request::Parts;
use subtle::ConstantTimeEq as _;

use crate::{
    budget::{Budget, Charge},
    elsewhere::{Kind, Marks, TOKEN_BYTES_MAX, Whose},
    http::head,
    options::SseOptions,
    session::life::Tick,
};

/// What a ticket takes besides what it is for.
const KEPT_BYTES: usize = 512;

/// Random bytes of a ticket: the first half finds it, the second proves it.
const BYTES: usize = 32;

type Half = [u8; BYTES / 2];

/// The tickets that were issued and not used. A cache would not do: it gives back what has expired when it comes to it.
#[derive(Debug)]
pub(crate) struct Tickets {
    table: Mutex<Table>,
    marks: Marks,
    lifetime: Duration,
    tickets_max: usize,
}

#[derive(Debug, Default)]
struct Table {
    kept: HashMap<Half, Kept>,
    /// Their names and when they were issued, the oldest first; those that were used are left out now and then.
    order: VecDeque<(Half, Tick)>,
}

#[derive(Debug)]
struct Kept {
    proof: Half,
    /// The head of the request, if the handler is to be asked about it.
    parts: Option<Parts>,
    line: Box<str>,
    _charge: Charge,
}

impl Tickets {
    pub(crate) fn new(options: &SseOptions, marks: Marks) -> Self {
        let tickets_max = usize::try_from(options.tickets_max).unwrap_or(usize::MAX);
        Self { table: Mutex::default(), marks, lifetime: options.ticket_lifetime, tickets_max }
    }

    /// A ticket for a line and, if the handler is to be asked, the head of the request; `None` if the system has no randomness to
    /// give, or the mount no room.
    pub(crate) fn issue(
        &self,
        parts: Option<Parts>,
        line: &str,
        budget: &Arc<Budget>,
        now: Tick,
    ) -> Option<String> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).ok()?;
        let (name, proof) = halves(bytes);
        let parts = parts.map(head::compact);
        let charge =
            budget.try_charge(KEPT_BYTES + line.len() + parts.as_ref().map_or(0, head::bytes)).ok()?;
        let mut table = self.table();
        table.forget(now, self.lifetime, self.tickets_max.saturating_sub(1));
        table.order.push_back((name, now));
        table.kept.insert(name, Kept { proof, parts, line: line.into(), _charge: charge });
        Some(self.marks.write(Kind::Ticket, &bytes))
    }

    /// Gives back what expired.
    pub(crate) fn sweep(&self, now: Tick) {
        self.table().forget(now, self.lifetime, self.tickets_max);
    }

    /// What a ticket is for. It is worth nothing afterwards.
    pub(crate) fn redeem(&self, ticket: &str, now: Tick) -> Option<(Option<Parts>, Box<str>)> {
        let mut bytes = [0; TOKEN_BYTES_MAX + 2];
        let (Whose::Here, bytes) = self.marks.read(Kind::Ticket, ticket, &mut bytes)? else { return None };
        let (name, proof) = halves(bytes.try_into().ok()?);
        let mut table = self.table();
        table.forget(now, self.lifetime, self.tickets_max);
        let kept = table.kept.remove(&name)?;
        drop(table);
        let is_proven: bool = kept.proof.ct_eq(&proof).into();
        is_proven.then_some((kept.parts, kept.line))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing under this lock can panic half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Drops what has expired, and the oldest while there are more than `tickets_max`.
    fn forget(&mut self, now: Tick, lifetime: Duration, tickets_max: usize) {
        while let Some((name, issued)) = self.order.front() {
            if now.since(*issued) < lifetime && self.kept.len() <= tickets_max && self.kept.contains_key(name)
            {
                break;
            }
            self.kept.remove(name);
            self.order.pop_front();
        }
        if self.order.len() > 2 * self.kept.len() + 64 {
            self.order.retain(|(name, _)| self.kept.contains_key(name));
        }
        if self.kept.is_empty() {
            // After a storm nothing of it stays.
            self.kept.shrink_to_fit();
            self.order.shrink_to_fit();
        }
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
    use super::*;

    /// A clock that has just begun, and one that shows 21 ms.
    const NOW: Tick = Tick(1);
    const LATER: Tick = Tick(21);

    fn budget() -> Arc<Budget> {
        Arc::new(Budget::new(usize::MAX))
    }

    #[test]
    fn what_expired_is_given_back_by_the_sweep() {
        let options = SseOptions::default().ticket_lifetime(Duration::from_millis(20));
        let (tickets, budget) = (Tickets::new(&options, Marks::default()), budget());
        for _ in 0..100 {
            tickets.issue(Some(parts("/a")), "!open 5", &budget, NOW).unwrap();
        }
        tickets.sweep(Tick(20));
        assert!(budget.held() >= 100 * KEPT_BYTES);
        tickets.sweep(LATER);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn the_oldest_is_forgotten_first_and_used_ones_leave_nothing_behind() {
        let options = SseOptions::default().tickets_max(2);
        let (tickets, budget) = (Tickets::new(&options, Marks::default()), budget());
        let [first, second, third] =
            ["a", "b", "c"].map(|line| tickets.issue(None, line, &budget, NOW).unwrap());
        assert!(tickets.redeem(&first, NOW).is_none());
        assert!(tickets.redeem(&third, NOW).is_some() && tickets.redeem(&second, NOW).is_some());
        for _ in 0..1_000 {
            let ticket = tickets.issue(None, "d", &budget, NOW).unwrap();
            tickets.redeem(&ticket, NOW).unwrap();
        }
        assert_eq!((budget.held(), tickets.table().kept.len()), (0, 0));
        assert!(tickets.table().order.len() < 100);
    }

    #[test]
    fn there_is_no_ticket_beyond_the_budget() {
        let (tickets, budget) =
            (Tickets::new(&SseOptions::default(), Marks::default()), Arc::new(Budget::new(600)));
        assert!(tickets.issue(None, "!open 5", &budget, NOW).is_some());
        assert!(tickets.issue(None, "!open 5", &budget, NOW).is_none());
    }

    fn parts(path: &str) -> Parts {
        http::Request::get(path).body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_ticket_works_once() {
        let tickets = Tickets::new(&SseOptions::default(), Marks::default());
        let ticket = tickets.issue(Some(parts("/a")), "!open 5", &budget(), NOW).unwrap();
        assert_eq!(ticket.len(), 43);
        let (kept, body) = tickets.redeem(&ticket, NOW).unwrap();
        assert_eq!((kept.unwrap().uri.path(), &*body), ("/a", "!open 5"));
        assert!(tickets.redeem(&ticket, NOW).is_none());
    }

    #[test]
    fn a_ticket_is_not_good_for_long() {
        let options = SseOptions::default().ticket_lifetime(Duration::from_millis(20));
        let tickets = Tickets::new(&options, Marks::default());
        let [early, late] = ["a", "b"].map(|line| tickets.issue(None, line, &budget(), NOW).unwrap());
        assert!(tickets.redeem(&early, Tick(20)).is_some());
        assert!(tickets.redeem(&late, LATER).is_none());
    }

    #[test]
    fn what_is_no_ticket_is_none_and_a_wrong_proof_spends_it() {
        let tickets = Tickets::new(&SseOptions::default(), Marks::default());
        for text in ["", "abc", "é", &"A".repeat(43), &"A".repeat(1_000)] {
            assert!(tickets.redeem(text, NOW).is_none(), "{text:.20}");
        }
        let ticket = tickets.issue(None, "", &budget(), NOW).unwrap();
        let forged = format!("{}{}", &ticket[..42], if ticket.ends_with('A') { 'E' } else { 'A' });
        assert!(tickets.redeem(&forged, NOW).is_none());
        assert!(tickets.redeem(&ticket, NOW).is_none());
    }
}
