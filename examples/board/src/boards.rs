//! What can be done to a board, whoever asks: a channel or a route.

use axum::http::StatusCode;
use lapwing::{BroadcastError, Payload};
use serde::Deserialize;

use crate::{
    problem::Problem,
    store::{self, Card, Lane, Store},
};

/// Cards of a board: more are no board but a list, and all of them go to everybody who comes.
pub(crate) const CARDS_MAX: u32 = 300;

const TEXT_CHARS_MAX: usize = 280;
const NAME_CHARS_MAX: usize = 32;
const BOARD_BYTES_MAX: usize = 40;

/// What somebody does to a board.
#[derive(Debug)]
pub(crate) enum Deed {
    Add(NewCard),
    Move(Moved),
    Remove(Removed),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCard {
    pub(crate) text: String,
    pub(crate) lane: Lane,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Moved {
    pub(crate) id: i64,
    pub(crate) lane: Lane,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Removed {
    pub(crate) id: i64,
}

/// What came of it, as every page of the board is told.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A card that is new or somewhere else: as it is.
    Card(Card),
    Removed(i64),
}

/// All boards. Every channel has it as its state, and every route.
#[derive(Clone)]
pub(crate) struct Boards(Store);

impl Boards {
    pub(crate) fn new(store: Store) -> Self {
        Self(store)
    }

    /// Does something to a board in somebody's name, and tells it, by `tell`, before anybody else does something: so all pages
    /// hear of changes in the order in which they were made.
    pub(crate) async fn apply(
        &self,
        board: &str,
        name: &str,
        deed: Deed,
        tell: impl FnOnce(&str, Payload) -> Result<(), BroadcastError> + Send + 'static,
    ) -> Result<Change, Problem> {
        let (board, name) = (board.to_owned(), name.to_owned());
        let work = move |connection: &rusqlite::Transaction<'_>| {
            if store::is_removed(connection, &board, &name)? {
                return Err(removed());
            }
            match deed {
                Deed::Add(NewCard { text, lane }) => {
                    let text = checked("text", &text, TEXT_CHARS_MAX)?;
                    if store::count(connection, &board)? >= CARDS_MAX {
                        return Err(Problem::new(StatusCode::CONFLICT, "the board is full"));
                    }
                    Ok(Change::Card(store::insert(connection, &board, lane, text, &name)?))
                }
                Deed::Move(Moved { id, lane }) => {
                    store::shift(connection, &board, id, lane)?.map(Change::Card).ok_or_else(no_card)
                }
                Deed::Remove(Removed { id }) => {
                    store::delete(connection, &board, id)?.then_some(Change::Removed(id)).ok_or_else(no_card)
                }
            }
        };
        let then = move |change: Change| {
            match &change {
                Change::Card(card) => tell("card", Payload::json(card)?)?,
                Change::Removed(id) => tell("removed", serde_json::json!({"id": id}).into())?,
            }
            Ok(change)
        };
        self.0.change(work, then).await
    }

    /// The cards of a board, for somebody who may see them.
    pub(crate) async fn open(&self, board: &str, name: &str) -> Result<Vec<Card>, Problem> {
        let (board, name) = (board.to_owned(), name.to_owned());
        let work = move |connection: &rusqlite::Transaction<'_>| {
            if store::is_removed(connection, &board, &name)? {
                return Err(removed());
            }
            Ok(store::cards(connection, &board)?)
        };
        self.0.change(work, Ok).await
    }

    /// Keeps somebody from a board from now on, or no longer.
    pub(crate) async fn set_removed(&self, board: &str, name: &str, is_removed: bool) -> Result<(), Problem> {
        let (board, name) = (board.to_owned(), name.to_owned());
        let work = move |connection: &rusqlite::Transaction<'_>| {
            Ok(store::set_removed(connection, &board, &name, is_removed)?)
        };
        self.0.change(work, Ok).await
    }
}

/// The topic of a board.
pub(crate) fn topic_of(board: &str) -> String {
    format!("board:{board}")
}

/// The name of a board, if it is one: it stands in addresses.
pub(crate) fn board_name(name: &str) -> Result<&str, Problem> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > BOARD_BYTES_MAX || !name.bytes().all(is_plain) {
        return Err(Problem::field("board", "not 1 to 40 of a-z, 0-9 and -"));
    }
    Ok(name)
}

/// The name of somebody, if it is one.
pub(crate) fn user_name(name: &str) -> Result<&str, Problem> {
    checked("name", name, NAME_CHARS_MAX)
}

/// A text that people read: without what is around it, and in one line.
fn checked<'a>(field: &str, text: &'a str, chars_max: usize) -> Result<&'a str, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::field(field, "empty"));
    }
    if text.chars().count() > chars_max {
        return Err(Problem::field(field, &format!("longer than {chars_max} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::field(field, "not one line"));
    }
    Ok(text)
}

fn no_card() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no such card")
}

fn removed() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "removed")
}
