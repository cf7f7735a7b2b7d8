//! A connection: what is asked is written, and confirmed by the PONG behind it.
//!
//! ```text
//!   node:    SUB a 1 · SUB b 2 · PING          PUB … · PUB … · PING
//!   server:            -ERR 'Permissions …"b"' · PONG          MSG … · PONG
//!   driver:                       Subscribed a, Refused b                Published 7
//! ```

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapwing_cluster::{Channel, Event, Names, Work};
use lapwing_cluster_driver::{Connection, Lost};
use tokio::time::Instant;

use crate::{
    protocol::{self, Info, Said},
    servers::Servers,
    socket::Socket,
};

/// Bytes that wait for the socket, beyond which nothing more is taken.
const OUT_BYTES_MAX: usize = 1024 * 1024;

/// How much later than its confirmation a subscription is known to the other servers of a cluster. Interest spreads by itself, and nobody
/// says when it has; 5 ms were enough where 1 ms was not.
const SPREADING: Duration = Duration::from_millis(5);

/// A connection to a NATS.
#[must_use]
pub struct NatsConnection {
    names: Names,
    socket: Socket,
    payload_max: usize,
    /// How long interest takes to spread.
    spreading: Duration,
    /// Whether there are other servers to go to when this one is about to end.
    has_others: bool,
    /// Whether the channels of topics also bring what is kept, each entry at a subject of its topic's below the channel's.
    is_keeping: bool,
    /// The first of a channel's numbers; a channel that brings what is kept has another one.
    sids: HashMap<Channel, u64>,
    last_sid: u64,
    /// What the PONGs that are to come confirm, the next one first.
    pings: VecDeque<Confirms>,
    /// The last numbered publication that was written and that no PING follows yet.
    published: Option<u64>,
    /// Channels of the batch that is out that the server refused.
    refused: Vec<Channel>,
    /// Confirmations that wait until interest has spread.
    spreads: VecDeque<(Instant, Event)>,
    /// Servers that this one knows, as it said last.
    known: Arc<Mutex<Vec<String>>>,
}

enum Confirms {
    Subscribed(Vec<Channel>),
    Unsubscribed(Vec<Channel>),
    Published(u64),
}

impl NatsConnection {
    pub(crate) fn new(
        names: Names,
        socket: Socket,
        info: &Info,
        servers: &Servers,
        is_keeping: bool,
    ) -> Self {
        Self {
            names,
            socket,
            payload_max: info.max_payload.unwrap_or(usize::MAX),
            spreading: if info.cluster.is_some() { SPREADING } else { Duration::ZERO },
            has_others: servers.count() > 1 || (info.cluster.is_some() && info.connect_urls.len() > 1),
            is_keeping,
            sids: HashMap::new(),
            last_sid: 0,
            pings: VecDeque::new(),
            published: None,
            refused: Vec::new(),
            spreads: VecDeque::new(),
            known: servers.known(),
        }
    }

    /// Whether what is kept comes by a channel.
    fn brings_kept(&self, channel: Channel) -> bool {
        self.is_keeping && matches!(channel, Channel::Topics(_))
    }

    /// The channel of a subject, or of the one above it.
    fn channel(&self, subject: &str) -> Option<Channel> {
        let above = || self.names.channel(subject.rsplit_once('.')?.0);
        self.names.channel(subject).or_else(|| above().filter(|channel| self.brings_kept(*channel)))
    }

    fn ping(&mut self, confirms: Confirms) {
        protocol::write_ping(&mut self.socket.out);
        self.pings.push_back(confirms);
    }

    /// Asks for a confirmation of what was published, unless one is awaited: it then confirms what gathered meanwhile.
    fn ping_behind_publications(&mut self) {
        let is_awaited = self.pings.iter().any(|ping| matches!(ping, Confirms::Published(_)));
        if !is_awaited && let Some(number) = self.published.take() {
            self.ping(Confirms::Published(number));
        }
    }

    fn handle(&mut self, said: Said, events: &mut Vec<Event>) -> Result<(), Lost> {
        match said {
            Said::Message { subject, payload, .. } => {
                if let Some(channel) = self.channel(&subject) {
                    events.push(Event::Message { channel, bytes: payload });
                }
            }
            Said::Ping => protocol::write_pong(&mut self.socket.out),
            Said::Pong => self.handle_pong(events)?,
            Said::Error(why) => self.handle_error(why)?,
            Said::Info(info) => self.handle_info(*info)?,
            Said::Ok => {}
        }
        Ok(())
    }

    /// The server says again what it is: others have joined its cluster, or it is about to end.
    fn handle_info(&mut self, info: Info) -> Result<(), Lost> {
        self.payload_max = info.max_payload.unwrap_or(self.payload_max);
        // One that is about to end is not itself among them.
        let (others, own) = (info.connect_urls.len(), usize::from(!info.ldm));
        self.has_others |= others > own;
        if others > 0 {
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = info.connect_urls;
        }
        if info.ldm && self.has_others { Err(Lost::new("the server is about to end")) } else { Ok(()) }
    }

    fn handle_pong(&mut self, events: &mut Vec<Event>) -> Result<(), Lost> {
        match self.pings.pop_front().ok_or_else(|| Lost::new("a PONG that nobody asked for"))? {
            Confirms::Published(number) => events.push(Event::Published(number)),
            Confirms::Unsubscribed(channels) => events.push(Event::Unsubscribed(channels)),
            Confirms::Subscribed(mut channels) => {
                let refused = std::mem::take(&mut self.refused);
                channels.retain(|channel| !refused.contains(channel));
                for channel in &refused {
                    self.sids.remove(channel);
                }
                if !refused.is_empty() {
                    events.push(Event::Refused(refused));
                }
                let event = Event::Subscribed(channels);
                if self.spreading.is_zero() {
                    events.push(event);
                } else {
                    self.spreads.push_back((Instant::now() + self.spreading, event));
                }
            }
        }
        Ok(())
    }

    /// A subscription that is not permitted is refused; whatever else the server says against this node ends the connection, if the server
    /// does not.
    fn handle_error(&mut self, why: String) -> Result<(), Lost> {
        let subject = why.strip_prefix("Permissions Violation for Subscription to ");
        match subject.and_then(|subject| self.channel(subject.trim_matches('"'))) {
            Some(channel) if self.refused.contains(&channel) => {}
            Some(channel) => self.refused.push(channel),
            None => return Err(Lost::new(format!("the server says: {why}"))),
        }
        Ok(())
    }

    fn handle_spread(&mut self, events: &mut Vec<Event>) {
        while self.spreads.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            events.extend(self.spreads.pop_front().map(|(_, event)| event));
        }
    }
}

impl Connection for NatsConnection {
    fn has_room(&self) -> bool {
        self.socket.out.len() < OUT_BYTES_MAX
    }

    fn submit(&mut self, work: Work) {
        match work {
            Work::Subscribe(channels) => {
                for channel in &channels {
                    self.last_sid += 1;
                    self.sids.insert(*channel, self.last_sid);
                    let subject = self.names.name(*channel);
                    protocol::write_subscribe(&subject, self.last_sid, &mut self.socket.out);
                    if self.brings_kept(*channel) {
                        self.last_sid += 1;
                        protocol::write_subscribe(
                            &format!("{subject}.*"),
                            self.last_sid,
                            &mut self.socket.out,
                        );
                    }
                }
                self.ping(Confirms::Subscribed(channels));
            }
            Work::Unsubscribe(channels) => {
                for channel in &channels {
                    if let Some(sid) = self.sids.remove(channel) {
                        protocol::write_unsubscribe(sid, &mut self.socket.out);
                        if self.brings_kept(*channel) {
                            protocol::write_unsubscribe(sid + 1, &mut self.socket.out);
                        }
                    }
                }
                self.ping(Confirms::Unsubscribed(channels));
            }
            Work::Publish { number, channel, bytes } => {
                if bytes.len() <= self.payload_max {
                    protocol::write_publish(&self.names.name(channel), &bytes, &mut self.socket.out);
                } else {
                    // The server would end the connection, again and again. The others find that it is missing, and tell a gap.
                    tracing::warn!(bytes = bytes.len(), "a broadcast is larger than max_payload of the NATS");
                }
                self.published = number.or(self.published);
            }
        }
    }

    async fn next(&mut self, events: &mut Vec<Event>) -> Result<(), Lost> {
        self.ping_behind_publications();
        let due = self.spreads.front().map(|(due, _)| *due);
        tokio::select! {
            turn = self.socket.turn() => {
                turn.map_err(Lost::new)?;
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
        self.handle_spread(events);
        while let Some(said) = protocol::read(&mut self.socket.read).map_err(Lost::new)? {
            self.handle(said, events)?;
        }
        Ok(())
    }

    async fn close(self) {
        // Nothing can be done about an error any more.
        let _ = self.socket.finish().await;
    }
}

impl fmt::Debug for NatsConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsConnection").field("channels", &self.sids.len()).finish_non_exhaustive()
    }
}
