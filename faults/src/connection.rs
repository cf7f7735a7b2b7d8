//! One connection from a client, with the one to the server that belongs to it.

use std::io;

use tokio::net::TcpStream;

use crate::{
    exchange::Ends,
    inlet::inlet,
    life::{Life, Verdict},
    outlet::{End, Outlet},
    shared::Shared,
};

/// Serves a client until its connection has ended, one way or the other.
pub(crate) async fn run(mut client: TcpStream, shared: &Shared) {
    let _counted = Counted::new(shared);
    let life = Life::begin(shared);
    let mut server = None;
    let ended = tokio::select! {
        biased;
        verdict = life.verdict(shared) => Err(Some(verdict)),
        result = serve(&mut client, &mut server, shared, &life) => result.map_err(|_| None),
    };
    let Err(verdict) = ended else { return };
    if verdict == Some(Verdict::Freeze) {
        // The sockets stay, and nobody reads them.
        life.cut(shared).await;
    }
    for socket in [Some(client), server].into_iter().flatten() {
        // It fails on a socket that is closed already.
        let _ = socket.set_zero_linger();
    }
    if verdict.is_some() {
        shared.tally.now().resets += 1;
    }
}

async fn serve(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    shared: &Shared,
    life: &Life,
) -> io::Result<()> {
    let place = shared.connections.join();
    tokio::select! {
        () = place.turn() => {}
        () = shared.plan_with(|plan| !plan.one_connection) => {}
    }
    let server = server.insert(TcpStream::connect(shared.target).await?);
    for socket in [&*client, &*server] {
        socket.set_nodelay(true)?;
    }
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    // Each direction of each connection has jitter of its own.
    let seed = shared.seed.wrapping_add(place.number().wrapping_mul(2));
    let (client_in, client_pump) = inlet(client_read, seed);
    let (server_in, server_pump) = inlet(server_read, seed.wrapping_add(1));
    let mut ends = Ends {
        client_in,
        client_out: Outlet::new(client_write, End::Client, shared, life),
        server_in,
        server_out: Outlet::new(server_write, End::Server, shared, life),
    };
    tokio::select! {
        result = ends.serve(shared, life) => result,
        never = client_pump.run(shared, life) => match never {},
        never = server_pump.run(shared, life) => match never {},
    }
}

/// Counts a connection as open while it is.
struct Counted<'a>(&'a Shared);

impl<'a> Counted<'a> {
    fn new(shared: &'a Shared) -> Self {
        let mut counters = shared.tally.now();
        counters.connections += 1;
        counters.open += 1;
        Self(shared)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.tally.now().open -= 1;
    }
}
