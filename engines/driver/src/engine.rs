//! What carries the bytes.

use std::{error::Error, fmt, future::Future, sync::Arc};

use lapwing_cluster::{Event, Names, Work};

use crate::store::Store;

/// Makes connections to a server that carries messages. It need not be reliable; [`lapwing_cluster`] is.
pub trait Engine: Send + 'static {
    /// What [`connect`](Self::connect) makes.
    type Connection: Connection;

    /// What stands between the parts of a channel's name, a sign that patterns of permissions of this engine know.
    const SEPARATOR: char;

    /// Its name in logs.
    const NAME: &'static str;

    /// Makes a connection on which nothing is subscribed, and checks that everything is permitted on it that will be needed. The driver
    /// drops the future after [`Options::connect_timeout`](crate::Options::connect_timeout).
    ///
    /// # Errors
    /// See [`ConnectError`].
    fn connect(
        &mut self,
        names: &Names,
    ) -> impl Future<Output = Result<Self::Connection, ConnectError>> + Send;

    /// What keeps broadcasts for those who come later, if this engine can: see [`Store`]. It connects when it is first asked for something.
    fn store(&self, names: &Names) -> Option<Arc<dyn Store>> {
        let _ = names;
        None
    }
}

/// A connection of an engine. Dropping it closes it at once.
pub trait Connection: Send + 'static {
    /// Whether it takes more work now. It must become true again, and [`next`](Self::next) return, when some of the work was done.
    fn has_room(&self) -> bool;

    /// Takes work, to be done in this order. It does not wait; what is submitted is written while [`next`](Self::next) is polled.
    fn submit(&mut self, work: Work);

    /// Waits until something happens, and appends what came, in the order of the connection: of one publisher, no message overtakes
    /// another, whatever the channels. Nothing is appended when there is only room again. Neither [`Event::Up`] nor
    /// [`Event::Down`] is appended; a connection is up until this fails.
    ///
    /// The future is dropped at any time, and must lose nothing then.
    ///
    /// # Errors
    /// The connection is lost. It is not polled again.
    fn next(&mut self, events: &mut Vec<Event>) -> impl Future<Output = Result<(), Lost>> + Send;

    /// Writes what was submitted, and closes. The driver drops the future after a second.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Why a connection could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server cannot be reached, or cannot serve now. It is tried again.
    Away(Box<dyn Error + Send + Sync>),
    /// The server was reached and refuses: a wrong password, a permission that is missing. At start this is an error; later it is
    /// tried again, since somebody may be about to repair it.
    Refused(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Away(_) => "the engine cannot be reached",
            Self::Refused(_) => "the engine refuses this node",
        })
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Away(source) | Self::Refused(source) => Some(source.as_ref()),
        }
    }
}

/// Why a connection is lost.
#[derive(Debug)]
pub struct Lost(Box<dyn Error + Send + Sync>);

impl Lost {
    /// A reason: a text, or an error.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection to the engine is lost")
    }
}

impl Error for Lost {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.as_ref())
    }
}
