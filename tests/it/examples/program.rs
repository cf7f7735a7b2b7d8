//! An example as a process.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

use crate::support::{
    testbed,
    tls::{Identity, identity, unwrapped},
};

/// How long a program may take to say where it listens.
const START_MAX: Duration = Duration::from_secs(30);

pub(super) struct Program {
    pub(super) name: &'static str,
    child: Child,
    /// Where HTTP/1.1 is spoken in clear. With TLS that is a way into the program, else the program itself.
    pub(super) address: SocketAddr,
    /// Where the program listens.
    pub(super) outside: SocketAddr,
    /// What the program with TLS shows.
    pub(super) identity: Option<Identity>,
}

impl Program {
    pub(super) async fn start(name: &'static str) -> Program {
        Program::run(name, Command::new(path(name))).await
    }

    /// With no more than so many open files.
    pub(super) async fn start_with_files(name: &'static str, files: usize) -> Program {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"ulimit -n "$0" && exec "$1""#, &files.to_string()]).arg(path(name));
        Program::run(name, shell).await
    }

    async fn run(name: &'static str, mut command: Command) -> Program {
        command.env("PORT", "0").env("HOST", "127.0.0.1").env_remove("ORIGINS");
        let identity = (name == "tls").then(|| {
            // Each process has files of its own, as tests run at once.
            static STARTED: AtomicUsize = AtomicUsize::new(0);
            identity(&format!("example-{}", STARTED.fetch_add(1, Ordering::Relaxed)))
        });
        if let Some(identity) = &identity {
            command.env("CERT", &identity.cert).env("KEY", &identity.key);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (found, mut addresses) = mpsc::unbounded_channel();
        follow(name, child.stdout.take().unwrap(), found.clone());
        follow(name, child.stderr.take().unwrap(), found);
        let outside = timeout(START_MAX, addresses.recv()).await.ok().flatten();
        let outside = outside.unwrap_or_else(|| panic!("{name} does not say where it listens"));
        let address = match &identity {
            Some(identity) => unwrapped(outside, identity.certificate.clone()).await,
            None => outside,
        };
        Program { name, child, address, outside, identity }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_else(|| panic!("{} has ended", self.name))
    }

    /// How many files are open.
    pub(super) fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the process lives").count()
    }

    /// Asks the process to end, as an operator would.
    pub(super) fn terminate(&self) {
        let status = std::process::Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success(), "{} cannot be signalled", self.name);
    }

    pub(super) async fn ended_within(&mut self, max: Duration) -> ExitStatus {
        let ended = timeout(max, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("{} lives {max:?} after SIGTERM", self.name)).unwrap()
    }
}

fn path(name: &str) -> PathBuf {
    if name == "demo" { testbed::demo().to_owned() } else { testbed::example(name) }
}

/// Reads a pipe to its end, so that it never fills up, and passes on the address that the program says. The rest goes to the
/// output of the test.
fn follow(
    name: &'static str,
    pipe: impl AsyncRead + Unpin + Send + 'static,
    found: mpsc::UnboundedSender<SocketAddr>,
) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let address = line.split("listening on ").nth(1).and_then(|url| url.split("://").nth(1));
            match address.and_then(|address| address.parse().ok()) {
                // The test may have given up.
                Some(address) => drop(found.send(address)),
                None => eprintln!("{name}: {line:.300}"),
            }
        }
    });
}
