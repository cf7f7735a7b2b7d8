//! Starts the testbed, and says where the programs of this workspace are.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, LazyLock, Mutex, Weak, mpsc},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::http;

/// A testbed process of our own; it is killed when this is dropped.
pub(crate) struct Testbed {
    child: Child,
    address: SocketAddr,
    /// What the process wrote to its standard error, shown when a test fails.
    log: Arc<Mutex<Vec<u8>>>,
}

/// Every test that holds it keeps it alive: a static would never be dropped, and its process would stay behind.
static SHARED: Mutex<Weak<Testbed>> = Mutex::new(Weak::new());

const START_MAX: Duration = Duration::from_secs(20);
const LOG_BYTES_MAX: usize = 64 * 1024;

impl Testbed {
    /// A private testbed, for tests that disturb others or measure the process.
    pub(crate) fn start() -> Testbed {
        let program = &*PROGRAM;
        let mut child = Command::new(program)
            .env("PORT", "0")
            .env("HOST", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let log = Arc::new(Mutex::new(Vec::new()));
        keep(child.stderr.take().expect("stderr is piped"), log.clone());
        let stdout = child.stdout.take().expect("stdout is piped");
        let (found, address) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("listening on ") {
                    // The receiver is gone only when the test has given up.
                    let _ = found.send(address.trim().to_owned());
                }
            }
        });
        let mut testbed = Testbed { child, address: ([127, 0, 0, 1], 0).into(), log };
        let Ok(address) = address.recv_timeout(START_MAX) else {
            panic!("the testbed printed no `listening on HOST:PORT`:\n{}", testbed.log());
        };
        testbed.address = address.parse().expect("the testbed prints an address");
        testbed.wait_until_healthy();
        testbed
    }

    /// The testbed that ordinary tests share while at least one of them runs.
    pub(crate) fn shared() -> Arc<Testbed> {
        let mut shared = SHARED.lock().expect("no test panics while it starts the testbed");
        shared.upgrade().unwrap_or_else(|| {
            let testbed = Arc::new(Testbed::start());
            *shared = Arc::downgrade(&testbed);
            testbed
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory of the process in bytes.
    pub(crate) fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .unwrap_or_else(|error| panic!("the testbed is gone: {error}\n{}", self.log()));
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a VmRSS line");
        kib.trim().trim_end_matches("kB").trim().parse::<u64>().expect("VmRSS in kB") * 1024
    }

    pub(crate) async fn stats(&self) -> Value {
        let response = http::get(self.address, "/stats").await;
        assert_eq!(response.status, 200, "/stats answers");
        response.json()
    }

    /// One figure of `/stats`.
    pub(crate) async fn stat(&self, name: &str) -> u64 {
        let stats = self.stats().await;
        stats[name].as_u64().unwrap_or_else(|| panic!("/stats has no number `{name}`: {stats}"))
    }

    /// Waits until a figure of `/stats` is what it should be, and says how long that took.
    pub(crate) async fn wait_for_stat(&self, name: &str, wanted: u64, max: Duration) -> Duration {
        let started = Instant::now();
        loop {
            let now = self.stat(name).await;
            if now == wanted {
                return started.elapsed();
            }
            assert!(started.elapsed() < max, "`{name}` is {now} after {max:?}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks the process to end as an operator would.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Lets the process stand still, whatever it was doing.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it run again.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.pid().to_string()).status();
        assert!(status.expect("kill runs").success(), "the testbed could not be signalled");
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().expect("the log is only appended to")).into_owned()
    }

    fn wait_until_healthy(&self) {
        let started = Instant::now();
        while !self.is_healthy() {
            assert!(started.elapsed() < START_MAX, "/health does not answer `ok`:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_healthy(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
            && answer.ends_with("ok")
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        // Fails only if the process has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- testbed {} wrote:\n{}", self.address, self.log());
        }
    }
}

static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| built("lapwing-testbed", "testbed"));
static DEMO: LazyLock<PathBuf> = LazyLock::new(|| built("lapwing-demo", "demo"));

/// The demo, with its page.
pub(crate) fn demo() -> &'static Path {
    &DEMO
}

/// A program that is a package of its own. Cargo builds only the programs of the package that it tests: the first test that
/// starts one has it built, with what the tests were built with, so that nothing is built twice.
fn built(package: &str, program: &str) -> PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--package=lapwing", "--package", package]);
    cargo.args(["--bins", "--examples"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // What cargo says of this package to its tests would be said of every package, and some would be built again.
    let told = std::env::vars_os().map(|(name, _)| name);
    for name in told.filter(|name| name.to_string_lossy().starts_with("CARGO_PKG_")) {
        cargo.env_remove(name);
    }
    cargo.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
    assert!(cargo.status().expect("cargo runs").success(), "{package} cannot be built");
    profile().join(format!("{program}{}", std::env::consts::EXE_SUFFIX))
}

/// `target/<profile>`, with the `deps` folder that this test binary is in.
fn profile() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps/it-…").to_owned()
}

/// An example of this package, which cargo builds before it runs integration tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let program = profile().join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is not there. `cargo test` builds it; with a narrower selection run \
         `cargo build --example {name}` (with the same profile) first.",
        program.display()
    );
    program
}

/// Reads the pipe so that it never fills up, and keeps its last bytes.
fn keep(mut pipe: impl Read + Send + 'static, log: Arc<Mutex<Vec<u8>>>) {
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut chunk) {
            let mut log = log.lock().expect("the log is only appended to");
            log.extend_from_slice(&chunk[..count]);
            let excess = log.len().saturating_sub(LOG_BYTES_MAX);
            log.drain(..excess);
        }
    });
}
