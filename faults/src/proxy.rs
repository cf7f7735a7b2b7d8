//! The proxy and what its owner can do with it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs, lookup_host},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{
    connection,
    counters::{Counters, Tally},
    fault::Fault,
    line::Line,
    plan::Plan,
    shared::{Control, Shared},
};

/// A proxy in front of one address. It passes everything on until faults are [set](Self::set).
///
/// Dropping it closes all of its connections and its port, soon; [`Proxy::stop`] waits for that.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    /// The task ends when this is dropped.
    control: watch::Sender<Control>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// How a proxy is started.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    listen: SocketAddr,
    seed: u64,
}

impl Options {
    /// On a free port of the loopback interface, with seed 0.
    pub fn new() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), seed: 0 }
    }

    /// Where to listen.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// The seed that decides [`Fault::DropRandom`] and the jitter of [`Fault::Delay`].
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts a proxy in front of `target`.
    ///
    /// # Errors
    /// If the port is taken, or `target` is a name that nobody knows. Whether somebody listens there is not
    /// asked.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn start(self, target: impl ToSocketAddrs) -> io::Result<Proxy> {
        let target = lookup_host(target).await?.next().ok_or(io::ErrorKind::NotFound)?;
        let listener = TcpListener::bind(self.listen).await?;
        let plan = Arc::new(Plan::new([], self.seed));
        let (control, observed) = watch::channel(Control { plan, cuts: 0, freezes: 0 });
        let shared = Arc::new(Shared {
            target,
            seed: self.seed,
            control: observed,
            connections: Line::default(),
            requests: Line::default(),
            tally: Tally::default(),
        });
        let addr = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Proxy { addr, control, shared, task })
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Proxy {
    /// Starts a proxy in front of `target`, on a free port of the loopback interface.
    ///
    /// # Errors
    /// See [`Options::start`].
    pub async fn start(target: impl ToSocketAddrs) -> io::Result<Self> {
        Options::new().start(target).await
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets these faults instead of those before. [`Fault`] says when each of them takes hold.
    pub fn set(&self, faults: impl IntoIterator<Item = Fault>) {
        let plan = Arc::new(Plan::new(faults, self.shared.seed));
        self.control.send_modify(|control| control.plan = plan);
    }

    /// Sets no fault. What a fault has hold of stays in its hold: frozen connections stay frozen, muted
    /// streams and WebSockets mute, swallowed requests unanswered, until they are closed or [cut](Self::cut).
    pub fn lift(&self) {
        self.set([]);
    }

    /// Resets all connections, the frozen and the waiting ones included. New ones are let in.
    pub fn cut(&self) {
        self.control.send_modify(|control| control.cuts += 1);
    }

    /// Freezes all connections that are open, as [`Fault::HalfOpen`] does. New ones pass: a NAT that forgot its table.
    pub fn freeze(&self) {
        self.control.send_modify(|control| control.freezes += 1);
    }

    /// Returns counts of what it has seen.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.tally.now().clone()
    }

    /// Closes all connections and the port, and waits until they are closed.
    pub async fn stop(self) {
        drop(self.control);
        if let Err(error) = self.task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// Accepts connections until the owner is gone, and then ends those that are left.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut control = shared.control.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(serve(client, shared.clone()));
                }
                // Most likely there are too many open files: that passes, and does not by trying at once.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
            changed = control.changed() => if changed.is_err() {
                break;
            },
        }
    }
    connections.shutdown().await;
}

async fn serve(client: TcpStream, shared: Arc<Shared>) {
    connection::run(client, &shared).await;
}
