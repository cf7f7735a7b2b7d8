//! An engine with one order for all, connections that are cut, and what closed connections had sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lapwing_cluster::{Channel, Event, Work};

use super::dice::Dice;

/// A connection from the engine's side.
#[derive(Default)]
pub struct Connection {
    pub subscribed: BTreeSet<Channel>,
    /// What the node has sent and the engine has not executed.
    pub commands: VecDeque<Work>,
    /// What the engine has sent and the node has not read.
    pub events: VecDeque<Event>,
}

#[derive(Default)]
pub struct Engine {
    pub connections: BTreeMap<usize, Connection>,
    /// Commands of closed connections that are still to be executed, as they lie in the kernel's buffers.
    ghosts: Vec<VecDeque<Work>>,
    pub is_away: bool,
    pub is_stalled: bool,
    /// One message in so many is dropped on its way to a node; 0 for none.
    pub drops: u64,
}

impl Engine {
    pub fn connect(&mut self, node: usize) -> bool {
        if !self.is_away {
            self.connections.insert(node, Connection::default());
        }
        !self.is_away
    }

    /// Closes a connection. What it had sent may still be executed, all of it or some.
    pub fn cut(&mut self, node: usize, dice: &mut Dice) {
        if let Some(mut connection) = self.connections.remove(&node) {
            connection.commands.truncate(dice.below(connection.commands.len() as u64 + 1) as usize);
            if !self.is_away {
                self.ghosts.push(connection.commands);
            }
        }
    }

    /// Ends a connection: all that it had sent is executed.
    pub fn close(&mut self, node: usize) {
        self.ghosts.extend(self.connections.remove(&node).map(|connection| connection.commands));
    }

    /// Forgets everything, as an engine that is killed.
    pub fn kill(&mut self) {
        self.is_away = true;
        self.connections.clear();
        self.ghosts.clear();
    }

    /// Whether nothing is on its way to anybody, or may not be now.
    pub fn is_idle(&self) -> bool {
        let is_still =
            |connection: &Connection| connection.events.is_empty() && connection.commands.is_empty();
        self.is_away || self.connections.values().all(is_still) && self.ghosts.is_empty()
    }

    /// Executes one command of somebody.
    pub fn step(&mut self, dice: &mut Dice) {
        if self.is_stalled || self.is_away {
            return;
        }
        if !self.ghosts.is_empty() && dice.one_in(3) {
            let at = dice.below(self.ghosts.len() as u64) as usize;
            match self.ghosts[at].pop_front() {
                Some(Work::Publish { channel, bytes, .. }) => self.fan_out(channel, &bytes, dice),
                Some(_) => {}
                None => {
                    self.ghosts.swap_remove(at);
                }
            }
        }
        let is_busy = |(_, connection): &(&usize, &mut Connection)| !connection.commands.is_empty();
        let busy = self.connections.iter_mut().filter(is_busy).count() as u64;
        if busy == 0 {
            return;
        }
        let at = dice.below(busy) as usize;
        let (node, connection) = self.connections.iter_mut().filter(is_busy).nth(at).unwrap();
        let node = *node;
        match connection.commands.pop_front().unwrap() {
            Work::Subscribe(channels) => {
                connection.subscribed.extend(channels.iter().copied());
                connection.events.push_back(Event::Subscribed(channels));
            }
            Work::Unsubscribe(channels) => {
                for channel in &channels {
                    connection.subscribed.remove(channel);
                }
                connection.events.push_back(Event::Unsubscribed(channels));
            }
            Work::Publish { number, channel, bytes } => {
                self.fan_out(channel, &bytes, dice);
                if let (Some(number), Some(connection)) = (number, self.connections.get_mut(&node)) {
                    connection.events.push_back(Event::Published(number));
                }
            }
        }
    }

    fn fan_out(&mut self, channel: Channel, bytes: &bytes::Bytes, dice: &mut Dice) {
        for connection in self.connections.values_mut() {
            let is_dropped = self.drops > 0 && dice.one_in(self.drops);
            if connection.subscribed.contains(&channel) {
                connection.events.push_back(match is_dropped {
                    true => Event::Dropped,
                    false => Event::Message { channel, bytes: bytes.clone() },
                });
            }
        }
    }
}
