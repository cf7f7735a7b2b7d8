//! A pipe between a node and its server that can stop to pass anything while it looks open.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use lapwing_cluster_driver::HalfOpen;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    task::{AbortHandle, JoinSet},
};

/// Passes bytes to a server and back.
#[derive(Debug)]
pub struct Pipe {
    addr: SocketAddr,
    connections: Arc<Mutex<Vec<Connection>>>,
    task: AbortHandle,
}

/// A connection: what it does not pass, and what passes it.
#[derive(Debug)]
struct Connection {
    to_engine: Arc<AtomicBool>,
    to_node: Arc<AtomicBool>,
    ways: [AbortHandle; 2],
}

impl Pipe {
    /// A pipe to a port of this machine.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::<Mutex<Vec<Connection>>>::default();
        let known = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut both_ways = JoinSet::new();
            while let Ok((node, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let (swallows_to, swallows_from) = (Arc::<AtomicBool>::default(), Arc::default());
                let (from_node, to_node) = node.into_split();
                let (from_server, to_server) = server.into_split();
                let ways = [
                    both_ways.spawn(pass(from_node, to_server, Arc::clone(&swallows_to))),
                    both_ways.spawn(pass(from_server, to_node, Arc::clone(&swallows_from))),
                ];
                let connection = Connection { to_engine: swallows_to, to_node: swallows_from, ways };
                known.lock().unwrap().push(connection);
            }
        });
        Self { addr, connections, task: task.abort_handle() }
    }

    /// Where a node connects to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The connections that are there pass nothing in a direction any more.
    ///
    /// # Panics
    /// If the pipe panicked.
    pub fn half_open(&self, direction: HalfOpen) {
        for connection in self.connections.lock().unwrap().iter() {
            match direction {
                HalfOpen::ToEngine => connection.to_engine.store(true, Ordering::Relaxed),
                HalfOpen::ToNode => connection.to_node.store(true, Ordering::Relaxed),
            }
        }
    }

    /// Ends the connections that are there.
    ///
    /// # Panics
    /// If the pipe panicked.
    pub fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            for way in connection.ways {
                way.abort();
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes bytes one way. What is swallowed is read, so that nobody notices by a full window, and so is the end.
async fn pass(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, swallows: Arc<AtomicBool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !swallows.load(Ordering::Relaxed) && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    if swallows.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}
