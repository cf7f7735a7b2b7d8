//! The tests that every engine of a cluster passes, and what they need: nodes that write down what they hear, servers that are started,
//! killed and stopped, and a pipe that only looks open.
//!
//! An engine's own tests implement [`Server`] and say [`contract!`].

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

pub mod moves;
mod node;
mod pipe;
mod process;
pub mod stores;
pub mod tests;

use std::{fmt::Debug, future::Future, time::Duration};

use lapwing_cluster_driver::{Engine, HalfOpen};

pub use self::{
    node::{Heard, TestNode},
    pipe::Pipe,
    process::{Process, free_port},
    stores::KeepingServer,
};

/// How long anything may take. Tests do not depend on how fast this machine is.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A server of an engine, started for one test.
pub trait Server: Send {
    /// The engine of its nodes.
    type Engine: Engine;

    /// Starts one on a free port.
    fn start() -> impl Future<Output = Self> + Send;

    /// An engine for a node that is told by its label.
    fn engine(&self, label: &str) -> Self::Engine;

    /// The same, through something that [`half_open`](Self::half_open) can break.
    fn breakable(&mut self, label: &str) -> impl Future<Output = Self::Engine> + Send;

    /// The present connection of a breakable engine passes nothing in a direction any more.
    fn half_open(&mut self, label: &str, direction: HalfOpen);

    /// Ends the server as if the power went.
    fn kill(&mut self) -> impl Future<Output = ()> + Send;

    /// Starts it again, at the same place, without what it knew.
    fn restart(&mut self) -> impl Future<Output = ()> + Send;

    /// It does nothing until [`go_on`](Self::go_on), and its connections stay open.
    fn pause(&mut self);

    /// It goes on.
    fn go_on(&mut self);

    /// Ends the connections by which nodes hear.
    fn cut(&mut self) -> impl Future<Output = ()> + Send;
}

/// Waits for something that must come.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    until_nothing_lacks(what, || (!is_so()).then(String::new)).await;
}

/// Waits until something that is seen is what it must be.
///
/// # Panics
/// If it is not within [`PATIENCE`]: says what it was.
pub async fn eventually_is<T: PartialEq + Debug>(
    what: &str,
    expected: &[T],
    mut seen: impl FnMut() -> Vec<T>,
) {
    until_nothing_lacks(what, || {
        let seen = seen();
        (seen != expected).then(|| format!("; it is {seen:?} and not {expected:?}"))
    })
    .await;
}

/// Looks again and again, as what is awaited is in other tasks and programs, which tell nobody.
async fn until_nothing_lacks(what: &str, mut lack: impl FnMut() -> Option<String>) {
    let asked = tokio::time::Instant::now();
    while let Some(lack) = lack() {
        assert!(asked.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}{lack}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Makes a test of each item of the contract.
#[macro_export]
macro_rules! contract {
    ($server:ty) => {
        $crate::contract!($server;
            broadcasts_reach_all_others_once_and_in_order
            a_join_that_is_confirmed_misses_nothing
            a_killed_server_loses_and_doubles_nothing
            a_server_that_stops_for_two_seconds_loses_and_doubles_nothing
            connections_that_are_cut_again_and_again_lose_and_double_nothing
            a_connection_that_only_looks_open_to_the_engine_is_replaced
            a_connection_that_only_looks_open_to_the_node_is_replaced
            a_node_that_departs_is_gone_at_once_and_one_that_dies_a_little_later
            calls_are_answered_or_say_who_did_not
            requests_are_carried_to_the_node_that_has_their_session
            a_relay_whose_owner_dies_ends_at_once
            relays_over_connections_that_are_cut_bring_over_a_beginning_or_all
            presence_goes_to_all_or_to_one
            two_applications_hear_nothing_of_each_other
            a_program_that_does_not_listen_is_told_what_it_missed
            a_start_without_a_server_fails_or_waits_as_set
        );
        $crate::move_contract!($server;
            sessions_move_to_another_node_whole_and_once
            a_node_that_ends_waits_until_it_is_known_where_its_sessions_are
            sessions_that_move_over_connections_that_are_cut_are_at_one_node
            a_session_whose_target_dies_is_where_it_was_or_told_to_be_lost
            a_session_that_nobody_answers_for_stays
            a_node_that_takes_no_sessions_refuses_them_at_once
        );
    };
    ($server:ty; $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::tests::$name::<$server>().await;
            }
        )*
    };
}

/// Makes a test of each item of the contract about moves.
#[macro_export]
macro_rules! move_contract {
    ($server:ty; $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::moves::$name::<$server>().await;
            }
        )*
    };
}

/// Makes a test of each item of the contract of stores.
#[macro_export]
macro_rules! store_contract {
    ($server:ty) => {
        $crate::store_contract!($server;
            what_is_appended_is_published_and_read_in_one_order
            what_is_appended_again_is_kept_once
            no_more_is_kept_than_is_to_be_and_what_is_not_is_told
            a_topic_is_read_page_by_page
            a_restart_with_data_changes_nothing_and_one_without_is_told
            a_lost_tail_is_told_whatever_came_in_its_place
            what_is_evicted_is_told
        );
    };
    ($server:ty; $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::stores::$name::<$server>().await;
            }
        )*
    };
}
