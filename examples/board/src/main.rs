//! A board of cards that several people move at once: what a small application with lapwing looks like.
//!
//! ```text
//! PASSWORD=… MODERATOR_PASSWORD=… cargo run -p lapwing-example-board
//! ```
//!
//! and then <http://localhost:4000>. What it consists of, from the outside in:
//!
//! * `app`: the routes and the mount of the channels, from the settings; what the tests build, too
//! * `board`: the channel of a board: who is there, and what they do to the cards
//! * `api`: the same from outside: log in, add a card, remove a person from a board
//! * `boards`: what can be done to a board, for both; each change is told in the order in which it was made
//! * `store`: the cards, in SQLite
//! * `token`: signs who somebody is
//! * `problem`: what goes wrong, told in the same words by channels and routes
//!
//! Further settings come from the environment: `PORT` (4000), `HOST` (127.0.0.1), `SITE`, the name of the host at which pages
//! find it (localhost), `DATABASE` (board.sqlite3), and `SECRET`, with which tokens are signed: without it those of one run
//! are of no use in the next.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "whoever starts it has to learn the port and the passwords"
)]

mod api;
mod app;
mod board;
mod boards;
mod problem;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod token;

use std::process::ExitCode;

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

use crate::{app::App, settings::Settings};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), AnyError> {
    let settings = Settings::from_env()?;
    let App { lapwing, router } = App::build(&settings)?;
    let router = app::with_page(router)?;
    let listener = TcpListener::bind((settings.host.as_str(), settings.port)).await?;
    let ended = asked_to_end()?;
    let address = listener.local_addr()?;
    // A page that is opened by another name, such as the address, does not connect.
    println!("open http://{}:{}", settings.site, address.port());
    println!("listening on http://{address}");
    // The pages come back to the next program.
    let report = lapwing.serve_until(listener, router, ended).await;
    tracing::info!(?report, "the program has ended");
    Ok(())
}

/// Completes when the program is asked to end. A signal that comes behind this call is not missed.
fn asked_to_end() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
}
