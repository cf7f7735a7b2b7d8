//! What stands for the way to other nodes where the feature is off: nothing that could be made.

use std::{
    convert::Infallible,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use lapwing_transports::elsewhere::Elsewhere;

use super::{
    Program,
    error::{NotConfirmed, NotKept, NotRead, TooLarge},
    question::{Answer, Everywhere, HeardThere, Question},
};
use crate::{
    topic::Topic,
    topics::{
        broadcast::{Broadcast, ChannelId},
        heard::Origin,
        keep::Keep,
        position::Position,
        published::Sent,
    },
};

#[derive(Debug)]
pub(crate) struct Cluster(Infallible);

#[derive(Debug)]
pub(crate) struct Link(Infallible);

#[derive(Debug)]
pub(crate) struct Wanted(Infallible);

impl Cluster {
    pub(crate) fn can_keep(&self) -> bool {
        match self.0 {}
    }
}

impl Link {
    pub(crate) fn new(cluster: Cluster, _: bool) -> Self {
        match cluster.0 {}
    }

    pub(crate) fn begin(&self, _: Weak<dyn Program>) {
        match self.0 {}
    }

    pub(crate) fn elsewhere(&self, _: &str) -> Arc<dyn Elsewhere> {
        match self.0 {}
    }

    pub(crate) fn number(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn name_of(&self, _: u64) -> Option<String> {
        match self.0 {}
    }

    pub(crate) fn presence_sender(&self) -> Arc<dyn Fn(Option<u64>, Bytes) + Send + Sync> {
        match self.0 {}
    }

    pub(crate) fn publish(&self, _: &Broadcast) -> Result<(Sent, Option<Origin>), TooLarge> {
        match self.0 {}
    }

    pub(crate) fn moves_sessions(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn keep(&self, _: &Broadcast, _: Keep) -> Result<Result<Sent, NotKept>, TooLarge> {
        match self.0 {}
    }

    pub(crate) fn is_keeping_for(&self, _: ChannelId) -> bool {
        match self.0 {}
    }

    pub(crate) fn owe(&self, _: ChannelId) -> bool {
        match self.0 {}
    }

    pub(crate) fn settle(&self, _: ChannelId) {
        match self.0 {}
    }

    pub(crate) fn owes(&self, _: ChannelId) -> bool {
        match self.0 {}
    }

    pub(crate) fn subscribe(&self, _: &Topic, _: Option<Keep>) -> Option<Wanted> {
        match self.0 {}
    }

    pub(crate) fn unsubscribe(&self, _: &Topic) {
        match self.0 {}
    }

    pub(crate) async fn reread(&self, _: &Topic) -> Result<(), NotConfirmed> {
        match self.0 {}
    }

    pub(crate) async fn position(&self, _: &Topic, _: Keep) -> Result<Position, NotRead> {
        match self.0 {}
    }

    pub(crate) async fn read(
        &self,
        _: &Topic,
        _: Keep,
        _: Option<Position>,
    ) -> Result<Vec<Arc<Broadcast>>, NotRead> {
        match self.0 {}
    }

    pub(crate) fn heard(&self, _: &str, _: Option<Position>) -> HeardThere {
        match self.0 {}
    }

    pub(crate) fn pass_on(&self, _: &str, _: u8, _: impl Fn() -> Question) {
        match self.0 {}
    }

    pub(crate) fn note_heirs(&self, _: u64, _: Vec<(u64, u64)>, _: Vec<usize>) {
        match self.0 {}
    }

    pub(crate) fn begin_drain(&self) {
        match self.0 {}
    }

    pub(crate) fn ask(&self, _: &Question) -> Asking {
        match self.0 {}
    }

    pub(crate) fn tell(&self, _: &Question) -> Result<(), Infallible> {
        match self.0 {}
    }

    pub(crate) fn name(&self) -> &str {
        match self.0 {}
    }

    pub(crate) fn is_ready(&self) -> bool {
        match self.0 {}
    }

    pub(crate) async fn shutdown(&self, _: Duration) {
        match self.0 {}
    }

    pub(crate) fn unkept(&self) -> usize {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Asking(Infallible);

impl Asking {
    pub(crate) async fn answered(self, _: u64) -> Everywhere {
        match self.0 {}
    }

    pub(crate) async fn each(self) -> (Vec<(String, Answer)>, Vec<String>) {
        match self.0 {}
    }
}

impl Wanted {
    pub(crate) async fn wait(&mut self) -> Result<(), NotConfirmed> {
        match self.0 {}
    }
}
