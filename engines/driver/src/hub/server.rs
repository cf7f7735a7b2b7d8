//! The hub's state, and what it does with work.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::{Channel, Event, Work, wire::Message};
use tokio::{sync::Notify, time::Instant};

use super::HalfOpen;
use crate::{
    shelf::Shelf,
    store::{Append, Page, Read as ReadKept},
};

/// Commands that a stalled connection takes.
const COMMANDS_MAX: usize = 4_096;

/// Events that wait for a node that does not read; more end its connection, as a Redis does it.
const EVENTS_MAX: usize = 65_536;

/// A channel of an application: what its names begin with, and which it is.
type Name = (Arc<str>, Channel);

#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) is_away: bool,
    pub(super) is_stalled: bool,
    lines: BTreeMap<String, Line>,
    faults: BTreeMap<String, Faults>,
    /// What cut connections had said during a stall, with whose it was.
    ghosts: VecDeque<(u64, Arc<str>, Work)>,
    connects: u64,
    dice: u64,
    /// What is kept, by what the names of an application begin with.
    pub(super) kept: BTreeMap<Arc<str>, Shelf>,
    pub(super) kept_reads: u64,
    /// When the first was kept.
    began: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) refuses: bool,
    pub(super) refuses_topics: bool,
    pub(super) cuts_after_publish: bool,
    pub(super) drops: u64,
    pub(super) delay: Duration,
    pub(super) reorders: bool,
}

/// A connection.
#[derive(Debug)]
struct Line {
    id: u64,
    app: Arc<str>,
    subscribed: BTreeSet<Name>,
    commands: VecDeque<Work>,
    events: VecDeque<Waiting>,
    half_open: Option<HalfOpen>,
    wake: Arc<Notify>,
}

/// An event on its way: when it arrives, and whose message it is.
#[derive(Debug)]
struct Waiting {
    due: Instant,
    publisher: Option<u64>,
    event: Event,
}

/// What a connection reads.
pub(super) enum Read {
    Something,
    /// Nothing before this moment, unless something is said.
    Nothing(Option<Instant>),
    Ended,
}

impl Server {
    pub(super) fn faults(&mut self, label: &str) -> &mut Faults {
        self.faults.entry(label.to_owned()).or_default()
    }

    /// A new connection, by its number; none while the hub is away.
    pub(super) fn connect(&mut self, label: &str, app: &str, wake: Arc<Notify>) -> Option<u64> {
        if self.is_away {
            return None;
        }
        self.cut(label);
        self.connects += 1;
        let line = Line {
            id: self.connects,
            app: app.into(),
            subscribed: BTreeSet::new(),
            commands: VecDeque::new(),
            events: VecDeque::new(),
            half_open: None,
            wake,
        };
        self.lines.insert(label.to_owned(), line);
        Some(self.connects)
    }

    pub(super) fn connections(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn stop(&mut self) {
        self.is_away = true;
        self.ghosts.clear();
        for line in std::mem::take(&mut self.lines).into_values() {
            line.wake.notify_one();
        }
    }

    pub(super) fn cut(&mut self, label: &str) {
        if let Some(line) = self.lines.remove(label) {
            line.wake.notify_one();
            let (id, app) = (line.id, line.app);
            self.ghosts.extend(line.commands.into_iter().map(|work| (id, Arc::clone(&app), work)));
        }
    }

    /// A node closes a connection, unless there is a newer one with its label.
    pub(super) fn close(&mut self, label: &str, id: u64) {
        if self.lines.get(label).is_some_and(|line| line.id == id) {
            self.cut(label);
        }
    }

    pub(super) fn half_open(&mut self, label: &str, direction: HalfOpen) {
        if let Some(line) = self.lines.get_mut(label) {
            line.half_open = Some(direction);
        }
    }

    pub(super) fn go_on(&mut self) {
        self.is_stalled = false;
        while let Some((id, app, work)) = self.ghosts.pop_front() {
            if let Work::Publish { channel, bytes, .. } = work {
                self.fan_out(id, &(app, channel), &bytes);
            }
        }
        let labels: Vec<_> = self.lines.keys().cloned().collect();
        for label in labels {
            while let Some(work) = self.lines.get_mut(&label).and_then(|line| line.commands.pop_front()) {
                self.execute(&label, work);
            }
        }
    }

    pub(super) fn has_room(&self, label: &str, id: u64) -> bool {
        let line = self.lines.get(label).filter(|line| line.id == id);
        line.is_none_or(|line| line.commands.len() < COMMANDS_MAX)
    }

    pub(super) fn submit(&mut self, label: &str, id: u64, work: Work) {
        let Some(line) = self.lines.get_mut(label).filter(|line| line.id == id) else { return };
        if line.half_open == Some(HalfOpen::ToEngine) {
            return;
        }
        if self.is_stalled {
            line.commands.push_back(work);
        } else {
            self.execute(label, work);
        }
    }

    pub(super) fn read(&mut self, label: &str, id: u64, events: &mut Vec<Event>) -> Read {
        let Some(line) = self.lines.get_mut(label).filter(|line| line.id == id) else { return Read::Ended };
        let now = Instant::now();
        let before = events.len();
        while line.events.front().is_some_and(|waiting| waiting.due <= now) {
            events.extend(line.events.pop_front().map(|waiting| waiting.event));
        }
        if events.len() > before {
            Read::Something
        } else {
            Read::Nothing(line.events.front().map(|waiting| waiting.due))
        }
    }

    /// Keeps an entry of an application, and publishes it.
    pub(super) fn append(&mut self, app: &Arc<str>, append: &Append) {
        let (now, epoch) = (self.elapsed(), self.roll(u64::MAX));
        let kept = self.kept.entry(Arc::clone(app)).or_default().append(append, now, epoch);
        if let Some(kept) = kept {
            let bytes = Message::Kept(kept).encode(append.publisher);
            self.fan_out(append.publisher.0, &(Arc::clone(app), append.channel), &bytes);
        }
    }

    /// Reads what is kept of an application's topic.
    pub(super) fn read_kept(&mut self, app: &Arc<str>, read: &ReadKept) -> Page {
        let (now, epoch) = (self.elapsed(), self.roll(u64::MAX));
        self.kept_reads += 1;
        self.kept.entry(Arc::clone(app)).or_default().read(read, now, epoch)
    }

    fn elapsed(&mut self) -> Duration {
        self.began.get_or_insert_with(Instant::now).elapsed()
    }

    fn execute(&mut self, label: &str, work: Work) {
        let refuses_topics = self.faults(label).refuses_topics;
        let Some(line) = self.lines.get_mut(label) else { return };
        let (id, app) = (line.id, Arc::clone(&line.app));
        match work {
            Work::Subscribe(channels) => {
                let is_topic = |channel: &Channel| matches!(channel, Channel::Topics(_));
                let (refused, taken): (Vec<_>, Vec<_>) =
                    channels.into_iter().partition(|channel| refuses_topics && is_topic(channel));
                line.subscribed.extend(taken.iter().map(|channel| (Arc::clone(&app), *channel)));
                if !taken.is_empty() {
                    self.tell(label, None, Event::Subscribed(taken));
                }
                if !refused.is_empty() {
                    self.tell(label, None, Event::Refused(refused));
                }
            }
            Work::Unsubscribe(channels) => {
                for channel in &channels {
                    line.subscribed.remove(&(Arc::clone(&app), *channel));
                }
                self.tell(label, None, Event::Unsubscribed(channels));
            }
            Work::Publish { number, channel, bytes } => {
                self.fan_out(id, &(app, channel), &bytes);
                let Some(number) = number else { return };
                if std::mem::take(&mut self.faults(label).cuts_after_publish) {
                    self.cut(label);
                } else {
                    self.tell(label, None, Event::Published(number));
                }
            }
        }
    }

    fn fan_out(&mut self, publisher: u64, name: &Name, bytes: &Bytes) {
        let subscribed = self.lines.iter().filter(|(_, line)| line.subscribed.contains(name));
        let labels: Vec<_> = subscribed.map(|(label, _)| label.clone()).collect();
        for label in labels {
            let drops = self.faults(&label).drops;
            if drops == 0 || self.roll(drops) > 0 {
                self.tell(&label, Some(publisher), Event::Message { channel: name.1, bytes: bytes.clone() });
            }
        }
    }

    fn tell(&mut self, label: &str, publisher: Option<u64>, event: Event) {
        let Faults { delay, reorders, .. } = *self.faults(label);
        let overtakes = reorders && self.roll(2) == 0;
        let Some(line) = self.lines.get_mut(label) else { return };
        if line.half_open == Some(HalfOpen::ToNode) {
            return;
        }
        if line.events.len() >= EVENTS_MAX {
            return self.cut(label);
        }
        let mut waiting = Waiting { due: Instant::now() + delay, publisher, event };
        // It may overtake the last one, if both are messages and of different publishers.
        if overtakes
            && let Some(last) = line.events.back_mut()
            && last.publisher.is_some()
            && publisher.is_some()
            && last.publisher != publisher
        {
            std::mem::swap(&mut last.event, &mut waiting.event);
            std::mem::swap(&mut last.publisher, &mut waiting.publisher);
        }
        line.events.push_back(waiting);
        line.wake.notify_one();
    }

    /// A number below `sides`: the same ones in each run.
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }
}
