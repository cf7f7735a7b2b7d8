//! The cards, in SQLite: one connection, which one at a time has, in a thread that may wait.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use tokio::task;

use crate::problem::Problem;

/// How long another program may hold the database, a backup for example.
const BUSY_MAX: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS cards (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        board TEXT NOT NULL,
        lane TEXT NOT NULL,
        place INTEGER NOT NULL,
        text TEXT NOT NULL,
        author TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS cards_of_a_board ON cards (board, place);
    CREATE TABLE IF NOT EXISTS removed (
        board TEXT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (board, name)
    ) STRICT, WITHOUT ROWID;
";

/// The lanes of a board, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lane {
    Todo,
    Doing,
    Done,
}

impl Lane {
    fn name(self) -> &'static str {
        match self {
            Self::Todo => "todo",
            Self::Doing => "doing",
            Self::Done => "done",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Card {
    pub(crate) id: i64,
    pub(crate) lane: String,
    /// Cards of a lane are in the order of their places; one that is moved comes last.
    pub(crate) place: i64,
    pub(crate) text: String,
    pub(crate) author: String,
}

#[derive(Clone)]
pub(crate) struct Store(Arc<Mutex<Connection>>);

impl Store {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_MAX)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Does work in a transaction, and then something else before anybody else has the database. What was begun goes on if
    /// the caller is not waited for any more, so that nothing is written and not told.
    pub(crate) async fn change<T, U>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Problem> + Send + 'static,
        then: impl FnOnce(T) -> Result<U, Problem> + Send + 'static,
    ) -> Result<U, Problem>
    where
        T: Send + 'static,
        U: Send + 'static,
    {
        let connection = self.0.clone();
        let done = task::spawn_blocking(move || {
            // A panic has rolled back what it was in.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            then(result)
        });
        done.await?
    }
}

/// The cards of a board, in the order of their places.
pub(crate) fn cards(connection: &Connection, board: &str) -> rusqlite::Result<Vec<Card>> {
    let sql = "SELECT id, lane, place, text, author FROM cards WHERE board = ? ORDER BY place";
    connection.prepare(sql)?.query_map([board], card)?.collect()
}

pub(crate) fn count(connection: &Connection, board: &str) -> rusqlite::Result<u32> {
    connection.query_row("SELECT count(*) FROM cards WHERE board = ?", [board], |row| row.get(0))
}

pub(crate) fn insert(
    connection: &Connection,
    board: &str,
    lane: Lane,
    text: &str,
    author: &str,
) -> rusqlite::Result<Card> {
    let sql = "INSERT INTO cards (board, lane, place, text, author)
        VALUES (?1, ?2, (SELECT ifnull(max(place), 0) + 1 FROM cards WHERE board = ?1), ?3, ?4)
        RETURNING id, lane, place, text, author";
    connection.query_row(sql, params![board, lane.name(), text, author], card)
}

/// Puts a card at the end of a lane; `None` if there is no such card.
pub(crate) fn shift(
    connection: &Connection,
    board: &str,
    id: i64,
    lane: Lane,
) -> rusqlite::Result<Option<Card>> {
    let sql = "UPDATE cards SET lane = ?3, place = (SELECT max(place) + 1 FROM cards WHERE board = ?1)
        WHERE board = ?1 AND id = ?2 RETURNING id, lane, place, text, author";
    connection.query_row(sql, params![board, id, lane.name()], card).optional()
}

/// Whether there was such a card.
pub(crate) fn delete(connection: &Connection, board: &str, id: i64) -> rusqlite::Result<bool> {
    Ok(connection.execute("DELETE FROM cards WHERE board = ? AND id = ?", params![board, id])? == 1)
}

pub(crate) fn is_removed(connection: &Connection, board: &str, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM removed WHERE board = ? AND name = ?";
    connection.prepare(sql)?.exists([board, name])
}

pub(crate) fn set_removed(
    connection: &Connection,
    board: &str,
    name: &str,
    is_removed: bool,
) -> rusqlite::Result<()> {
    let sql = if is_removed {
        "INSERT OR IGNORE INTO removed (board, name) VALUES (?, ?)"
    } else {
        "DELETE FROM removed WHERE board = ? AND name = ?"
    };
    connection.execute(sql, [board, name]).map(drop)
}

fn card(row: &Row<'_>) -> rusqlite::Result<Card> {
    Ok(Card {
        id: row.get(0)?,
        lane: row.get(1)?,
        place: row.get(2)?,
        text: row.get(3)?,
        author: row.get(4)?,
    })
}
