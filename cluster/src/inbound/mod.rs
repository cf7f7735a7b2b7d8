//! What one peer publishes: in order, once, and with every hole found.
//!
//! For each channel there is a number up to which everything is settled: delivered, told as lost, or published before this
//! node listened. Most channels have none of their own and share the peer's `covered`.
//!
//! ```text
//!   publish n, prev p:   n ≤ settled           a duplicate: dropped
//!                        p ≤ settled < n       the next one: delivered, settled = n
//!                        settled < p           a hole: held back; settled..p is asked for
//!   tops (in beats):     last > settled        the tail is missing: settled..last is asked for
//! ```
//!
//! A hole of which something is not to be had any more is told as a gap *up to its end*, as far as that is known, before anything in it or behind it is delivered.
//! The answers may come in pieces, and the publisher forget more between them: whatever else of that hole turns out to be lost lies in the gap that was told
//! (`told`), and is not told again. So one hole is one gap, however it is repaired.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use crate::{
    channel::Key,
    config::Config,
    gap::GapCause,
    wire::{Publish, Tops},
};

/// What a publication costs besides its payload while it is held back.
const HELD_BYTES: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct Inbound {
    /// Up to where channels without an entry are settled; none before the first beat.
    covered: Option<u64>,
    /// The publication by which it was heard of, if it has not said yet what it could not keep before that.
    begun: Option<u64>,
    streams: BTreeMap<Key, Stream>,
    /// Whether something may have been missed of which the peer has not told since.
    is_behind: bool,
    /// The parts of a list of last numbers that have come so far: its top, and the next part.
    parts: Option<(u64, u8)>,
    held_bytes: usize,
}

#[derive(Debug)]
struct Stream {
    settled: Settled,
    held: BTreeMap<u64, Publish>,
    hole: Option<Hole>,
    /// Up to where a gap was told, which may lie beyond `settled`.
    told: u64,
    /// What was published between the peer's last beat and the first publication that came: before this node listened, unless
    /// the peer could not hand it to the engine, which its next beat says.
    doubt: Option<Doubt>,
}

/// What was published behind one number and up to another, before the first publication that came.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    after: u64,
    upto: u64,
    first: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    /// Everything up to this number.
    Upto(u64),
    /// Not known: the channel was confirmed after the peer's last beat, and nothing came since. What came up to `floor` belongs to an
    /// earlier subscription.
    Fresh { floor: u64 },
}

/// Something that is missing and was asked for.
#[derive(Clone, Copy, Debug)]
struct Hole {
    upto: u64,
    /// Up to where it was asked for: what was found to be missing later is not in the question.
    asked_upto: u64,
    since: Duration,
    due: Duration,
    asked: u32,
}

/// Who a list of last numbers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// A beat: what changed lately.
    Lately,
    /// An answer: all that the peer still knows.
    All,
}

/// What is to be done after something came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Deliver(Key, Publish),
    Gap { key: Key, after: u64, upto: u64, cause: GapCause },
    GapAll { cause: GapCause },
    Ask { key: Key, after: u64, upto: u64 },
    AskTops { after: u64 },
}

type Steps = Vec<Step>;

impl Inbound {
    /// A channel is delivered from now on.
    pub(crate) fn handle_confirmed(&mut self, key: Key) {
        if self.covered.is_some() {
            self.streams.entry(key).or_insert_with(|| Stream::new(Settled::FRESH));
        }
    }

    /// A channel is not delivered any more.
    pub(crate) fn handle_unsubscribed(&mut self, key: Key) {
        if let Some(stream) = self.streams.get_mut(&key) {
            self.held_bytes -= stream.held.values().map(cost).sum::<usize>();
            // An engine may still deliver what it was given before, again.
            let floor = match stream.settled {
                Settled::Upto(settled) => settled,
                Settled::Fresh { floor } => floor,
            };
            *stream = Stream::new(Settled::Fresh { floor });
        }
    }

    /// The connection is lost, or something on it. `is_owed` says what may not be missed here.
    ///
    /// Of a channel that was confirmed since the peer's last beat it is not known what was published before that. All of it counts as owed
    /// then, and is asked for: half a second too much is better than a doubt.
    pub(crate) fn handle_down(&mut self, is_owed: impl Fn(Key) -> bool) {
        self.parts = None;
        self.is_behind = true;
        let Some(covered) = self.covered else { return };
        for (key, stream) in &mut self.streams {
            if let Settled::Fresh { floor } = stream.settled
                && is_owed(*key)
            {
                stream.settled = Settled::Upto(covered.max(floor));
            }
        }
    }

    /// What is to be asked when the connection is back: the last numbers, and what was asked before.
    pub(crate) fn handle_up(&mut self, now: Duration, config: &Config) -> Steps {
        let mut steps = Steps::new();
        if let Some(after) = self.covered {
            steps.push(Step::AskTops { after });
        }
        for (key, stream) in &mut self.streams {
            if let (Some(hole), Settled::Upto(after)) = (&mut stream.hole, stream.settled) {
                hole.begin_question(now, config);
                steps.push(Step::Ask { key: *key, after, upto: hole.upto });
            }
        }
        steps
    }

    /// What was asked before, as the peer may not have heard it. It changes nothing about when that is given up.
    pub(crate) fn questions(&self) -> Steps {
        self.streams.iter().filter_map(|(key, stream)| stream.question(*key)).collect()
    }

    /// A publication came, on whichever channel. Returns whether it is the first that is heard of this peer: what is before it was
    /// published before this node listened, or may be missing.
    pub(crate) fn begin(&mut self, number: u64) -> bool {
        let is_first = self.covered.is_none();
        self.covered.get_or_insert(number - 1);
        if is_first {
            self.begun = Some(number);
        }
        is_first
    }

    /// A publication came, after [`Inbound::begin`].
    pub(crate) fn handle_publish(
        &mut self,
        now: Duration,
        key: Key,
        publish: Publish,
        config: &Config,
    ) -> Steps {
        let mut steps = Steps::new();
        let covered = self.covered.unwrap_or(0);
        let stream = self.streams.entry(key).or_insert_with(|| Stream::new(Settled::Upto(covered)));
        match stream.settled {
            // It is older than the subscription: a closed connection's, that the engine found late.
            Settled::Fresh { floor } if publish.number <= covered.max(floor) => {}
            Settled::Fresh { floor } => {
                let (after, upto) = (covered.max(floor), publish.prev);
                let first = publish.number;
                stream.doubt = (upto > after).then_some(Doubt { after, upto, first });
                stream.settled = Settled::Upto(publish.number);
                steps.push(Step::Deliver(key, publish));
            }
            Settled::Upto(settled) if publish.number <= settled => {}
            Settled::Upto(settled) if publish.prev <= settled => {
                stream.settled = Settled::Upto(publish.number);
                if let Some(hole) = &mut stream.hole {
                    // What is missing comes by itself; the question stands.
                    hole.asked = 1;
                }
                steps.push(Step::Deliver(key, publish));
                self.advance(now, key, 0, config, &mut steps);
            }
            Settled::Upto(_) => self.hold(now, key, publish, config, &mut steps),
        }
        steps
    }

    /// The last numbers of the peer's channels came, in a beat or as an answer. `is_owed` says which may not be missed here.
    pub(crate) fn handle_tops(
        &mut self,
        now: Duration,
        tops: &Tops,
        says: Says,
        is_owed: impl Fn(Key) -> bool,
        config: &Config,
    ) -> Steps {
        let mut steps = Steps::new();
        let says_nothing = says == Says::Lately && tops.says_nothing();
        if says_nothing && self.covered.is_none() {
            return steps;
        }
        let covered = self.covered.unwrap_or(tops.top);
        if tops.top < covered {
            return steps;
        }
        // What is between the two is not said here, and may be lost: it has to be asked for.
        let is_far = says == Says::Lately && tops.since > covered;
        for (key, last) in tops.changed.iter().filter(|(key, _)| is_owed(*key)) {
            let is_fresh = |stream: &Stream| matches!(stream.settled, Settled::Fresh { .. });
            if is_far && self.streams.get(key).is_some_and(is_fresh) {
                continue;
            }
            self.handle_last(now, (*key, *last), (covered, tops), config, &mut steps);
        }
        if says == Says::All && !self.is_last_part(tops) {
            return steps;
        }
        if says == Says::Lately && !says_nothing && self.begun.is_some_and(|begun| begun <= tops.top) {
            self.begun = None;
        }
        match says {
            Says::Lately if is_far => {
                self.is_behind = true;
                steps.push(Step::AskTops { after: covered });
                return steps;
            }
            Says::All if tops.since > covered => {
                steps.push(Step::GapAll { cause: GapCause::Overwritten });
                self.streams.values_mut().for_each(|stream| stream.told = stream.told.max(tops.top));
            }
            _ => {}
        }
        for (key, stream) in &mut self.streams {
            steps.extend(stream.resolve(*key, tops));
        }
        if says_nothing {
            return steps;
        }
        // Streams that are settled up to here need no entry of their own.
        self.streams.retain(|_, stream| {
            let (Settled::Upto(settled) | Settled::Fresh { floor: settled }) = stream.settled;
            let is_ahead = settled > tops.top;
            is_ahead || stream.hole.is_some() || !stream.held.is_empty()
        });
        self.covered = Some(tops.top);
        self.is_behind = false;
        steps
    }

    /// A channel's last number is known.
    fn handle_last(
        &mut self,
        now: Duration,
        (key, last): (Key, u64),
        (covered, tops): (u64, &Tops),
        config: &Config,
        steps: &mut Steps,
    ) {
        let is_known = self.covered.is_some();
        let stream = match self.streams.get_mut(&key) {
            Some(stream) => stream,
            None if is_known && last > covered => {
                self.streams.entry(key).or_insert_with(|| Stream::new(Settled::Upto(covered)))
            }
            None => return,
        };
        match stream.settled {
            Settled::Fresh { floor } => {
                // What the peer has not handed to the engine yet is still to come.
                let upto = last.min(tops.top).max(covered).max(floor);
                if tops.lost > covered && upto > covered {
                    steps.push(Step::Gap { key, after: covered, upto, cause: GapCause::Uncertain });
                }
                stream.settled = Settled::Upto(upto);
            }
            Settled::Upto(settled) if last > settled => steps.extend(stream.miss(now, key, last, config)),
            Settled::Upto(_) => {}
        }
    }

    /// Whether this is the last part of a list of which all parts have come.
    fn is_last_part(&mut self, tops: &Tops) -> bool {
        let (part, parts) = tops.part;
        let is_next = part == 0 || self.parts == Some((tops.top, part));
        self.parts = (is_next && part + 1 < parts).then_some((tops.top, part + 1));
        is_next && part + 1 == parts
    }

    /// The answer to a question came: its publications, oldest first, up to `upto`.
    pub(crate) fn handle_repair(
        &mut self,
        now: Duration,
        (key, after, upto): (Key, u64, u64),
        is_complete: bool,
        publishes: Vec<Publish>,
        config: &Config,
    ) -> Steps {
        let mut steps = Steps::new();
        let Some(stream) = self.streams.get_mut(&key) else { return steps };
        let (Some(hole), Settled::Upto(settled)) = (stream.hole, stream.settled) else { return steps };
        let upto = upto.min(hole.upto);
        if after > settled || upto <= settled {
            // The answer to a question that was asked twice.
            return steps;
        }
        if !is_complete {
            steps.extend(stream.lose(key, upto, hole, GapCause::Overwritten));
        }
        let is_asked = |publish: &Publish| settled < publish.number && publish.number <= upto;
        let mut found: BTreeMap<u64, Publish> =
            publishes.into_iter().filter(is_asked).map(|publish| (publish.number, publish)).collect();
        // What is held back may be forgotten there by now.
        while let Some(first) = stream.held.first_entry()
            && *first.key() <= upto
        {
            let held = first.remove();
            self.held_bytes -= cost(&held);
            found.entry(held.number).or_insert(held);
        }
        steps.extend(found.into_values().map(|publish| Step::Deliver(key, publish)));
        stream.settled = Settled::Upto(upto);
        stream.hole = None;
        self.advance(now, key, hole.upto, config, &mut steps);
        if let Some(stream) = self.streams.get_mut(&key)
            && let (Some(rest), Settled::Upto(settled)) = (&mut stream.hole, stream.settled)
            && hole.upto > settled
            && !stream.held.is_empty()
        {
            // It is the same hole, and what is behind it has waited since then.
            rest.since = hole.since;
        }
        steps
    }

    /// Time has passed: questions are repeated, or given up.
    pub(crate) fn handle_tick(&mut self, now: Duration, is_up: bool, config: &Config) -> Steps {
        let mut steps = Steps::new();
        let due: Vec<Key> = self
            .streams
            .iter()
            .filter(|(_, stream)| {
                stream.hole.is_some_and(|hole| hole.due <= now || hole.is_over(now, config))
            })
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let Some(stream) = self.streams.get_mut(&key) else { continue };
            let Some(hole) = &mut stream.hole else { continue };
            if hole.is_over(now, config) || (is_up && hole.asked >= config.asks_max) {
                self.give_up(now, key, GapCause::Unanswered, config, &mut steps);
                continue;
            }
            hole.due = now + config.ask_timeout;
            if is_up {
                hole.asked += 1;
                hole.asked_upto = hole.upto;
                steps.extend(stream.question(key));
            }
        }
        steps
    }

    /// The peer is gone: what is missing stays missing. The rest is kept, for it may be back.
    pub(crate) fn handle_gone(&mut self, now: Duration, config: &Config) -> Steps {
        let mut steps = Steps::new();
        let holes: Vec<Key> =
            self.streams.iter().filter(|(_, stream)| stream.hole.is_some()).map(|(key, _)| *key).collect();
        for key in holes {
            // Another hole may lie behind the first.
            while self.streams.get(&key).is_some_and(|stream| stream.hole.is_some()) {
                self.give_up(now, key, GapCause::PublisherDied, config, &mut steps);
            }
        }
        steps.retain(|step| !matches!(step, Step::Ask { .. }));
        steps
    }

    /// Whether something may have been missed of which the peer has not told since.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Whether a beat of the peer is the first that says what it could not keep of what it had published before it was heard of.
    pub(crate) fn is_met_by(&self, tops: &Tops) -> bool {
        // What is lost of a peer that has told of nothing yet is found as any hole, unless it was met behind that.
        let has_begun = if self.covered.is_none() { tops.top > 0 } else { self.begun.is_some() };
        has_begun && !tops.says_nothing()
    }

    /// Up to where a channel is settled; none before that is known.
    pub(crate) fn settled(&self, key: Key) -> Option<u64> {
        let covered = self.covered?;
        match self.streams.get(&key).map(|stream| stream.settled) {
            Some(Settled::Upto(settled)) => Some(settled),
            Some(Settled::Fresh { .. }) => None,
            None => Some(covered),
        }
    }

    /// How many bytes are held back.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Keeps a publication back until what is before it has come.
    fn hold(&mut self, now: Duration, key: Key, publish: Publish, config: &Config, steps: &mut Steps) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        let upto = publish.prev;
        // Said again it is the same, or a forged one of another size: the first counts.
        if let Entry::Vacant(place) = stream.held.entry(publish.number) {
            self.held_bytes += cost(&publish);
            place.insert(publish);
        }
        steps.extend(stream.miss(now, key, upto, config));
        while self.streams.get(&key).is_some_and(|stream| stream.held.len() > config.held_max) {
            self.give_up(now, key, GapCause::HeldTooMany, config, steps);
        }
        while self.held_bytes > config.held_bytes_max
            && let Some(key) = self.fullest()
        {
            self.give_up(now, key, GapCause::HeldTooMany, config, steps);
        }
    }

    /// The channel of which the most is held back.
    fn fullest(&self) -> Option<Key> {
        let waiting = self.streams.iter().filter(|(_, stream)| !stream.held.is_empty());
        waiting.max_by_key(|(_, stream)| stream.held.len()).map(|(key, _)| *key)
    }

    /// Tells what is missing as lost, and goes on behind it.
    fn give_up(&mut self, now: Duration, key: Key, cause: GapCause, config: &Config, steps: &mut Steps) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        let (Some(hole), Settled::Upto(after)) = (stream.hole.take(), stream.settled) else { return };
        // What is held back is here; only what is before it is missing.
        let upto = stream.held.values().next().map_or(hole.upto, |first| first.prev.min(hole.upto));
        if upto > after {
            steps.extend(stream.lose(key, upto, hole, cause));
            stream.settled = Settled::Upto(upto);
        }
        self.advance(now, key, hole.upto, config, steps);
    }

    /// Delivers what was held back and is next; asks for what is missing before the rest, or up to `upto` at least, unless it was asked for.
    fn advance(&mut self, now: Duration, key: Key, upto: u64, config: &Config, steps: &mut Steps) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        let Settled::Upto(mut settled) = stream.settled else { return };
        while let Some(first) = stream.held.first_entry() {
            if *first.key() > settled && first.get().prev > settled {
                break;
            }
            let publish = first.remove();
            self.held_bytes -= cost(&publish);
            if publish.number > settled {
                settled = publish.number;
                steps.push(Step::Deliver(key, publish));
            }
        }
        stream.settled = Settled::Upto(settled);
        stream.hole = stream.hole.filter(|hole| hole.upto > settled);
        if let Some(hole) = stream.hole.as_mut().filter(|hole| hole.asked_upto <= settled) {
            hole.begin_question(now, config);
            steps.extend(stream.question(key));
        }
        let upto = stream.held.values().next().map_or(upto, |first| first.prev.max(upto));
        if upto > settled {
            steps.extend(stream.miss(now, key, upto, config));
        }
        if let Some(hole) = &mut stream.hole
            && stream.held.is_empty()
        {
            // Nothing waits for what is missing.
            hole.since = now;
        }
    }
}

impl Settled {
    const FRESH: Self = Self::Fresh { floor: 0 };
}

impl Hole {
    fn new(now: Duration, upto: u64, config: &Config) -> Self {
        Self { upto, asked_upto: upto, since: now, due: now + config.ask_timeout, asked: 1 }
    }

    /// All of it is asked for, for the first time.
    fn begin_question(&mut self, now: Duration, config: &Config) {
        *self = Self { since: self.since, ..Self::new(now, self.upto, config) };
    }

    /// Whether it has been open for as long as one may be, however often it was asked for anew.
    fn is_over(&self, now: Duration, config: &Config) -> bool {
        now.saturating_sub(self.since) >= config.hold_max
    }
}

impl Stream {
    fn new(settled: Settled) -> Self {
        Self { settled, held: BTreeMap::new(), hole: None, told: 0, doubt: None }
    }

    /// The peer says what it could not keep: whether the doubt was right. What it said before the first publication came says nothing about that.
    fn resolve(&mut self, key: Key, tops: &Tops) -> Option<Step> {
        let Doubt { after, upto, first } = self.doubt?;
        if tops.lost <= after {
            self.doubt = self.doubt.filter(|_| tops.top < first);
            return None;
        }
        self.doubt = None;
        let upto = self.hole.map_or(upto, |hole| hole.upto.max(upto));
        self.told = self.told.max(upto);
        Some(Step::Gap { key, after, upto, cause: GapCause::Uncertain })
    }

    /// Something of a hole up to `upto` is not to be had any more. Tells it, unless a gap was told up to there.
    fn lose(&mut self, key: Key, upto: u64, hole: Hole, cause: GapCause) -> Option<Step> {
        let Settled::Upto(after) = self.settled else { return None };
        if upto <= self.told {
            return None;
        }
        let told = std::mem::replace(&mut self.told, hole.upto);
        // What is in doubt before it is in the same gap; what was told before is in that one.
        let after = self.doubt.take().map_or(after, |doubt| doubt.after).max(told);
        Some(Step::Gap { key, after, upto: hole.upto, cause })
    }

    /// Everything up to `upto` exists. Asks for it, unless something before it was asked for: the rest is, when that has come.
    fn miss(&mut self, now: Duration, key: Key, upto: u64, config: &Config) -> Option<Step> {
        if let Some(hole) = &mut self.hole {
            hole.upto = hole.upto.max(upto);
            return None;
        }
        self.hole = Some(Hole::new(now, upto, config));
        self.question(key)
    }

    fn question(&self, key: Key) -> Option<Step> {
        match (self.hole, self.settled) {
            (Some(hole), Settled::Upto(after)) => Some(Step::Ask { key, after, upto: hole.upto }),
            _ => None,
        }
    }
}

fn cost(publish: &Publish) -> usize {
    publish.payload.len() + publish.topic.len() + publish.event.len() + HELD_BYTES
}

#[cfg(test)]
mod tests;
