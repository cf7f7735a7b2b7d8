//! A server that runs beside the test, and what is done to it.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io::ErrorKind,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use tokio::net::TcpStream;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Below the ports that systems give to whom it is all the same, so that nobody is given one of them before its server is started, or started again.
const PORTS: std::ops::Range<u16> = 11_000..31_000;

/// A port of this machine that nobody listens on. No process of these tests is given it again while this one runs.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    // Each process begins somewhere.
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(())));
    let count = u64::from(PORTS.end - PORTS.start);
    let mut ports = (0..count).map(|_| PORTS.start + (NEXT.fetch_add(1, Ordering::Relaxed) % count) as u16);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok() && is_ours(*port)).unwrap()
}

/// Whether no other process has taken the port for itself, at another address than servers listen on. Where a system has but one address of this kind, that
/// is not to be known.
fn is_ours(port: u16) -> bool {
    static TAKEN: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());
    match TcpListener::bind(("127.0.0.2", port)) {
        Ok(taken) => {
            TAKEN.lock().unwrap().push(taken);
            true
        }
        Err(error) => error.kind() != ErrorKind::AddrInUse,
    }
}

/// A server with a folder of its own. Both go with the value.
#[derive(Debug)]
pub struct Process {
    program: &'static str,
    arguments: Vec<String>,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Process {
    /// Starts a program that will listen on `port`, with the arguments that `arguments` makes of its folder, and waits until it does.
    ///
    /// # Panics
    /// If it cannot be started, or does not listen. Debian's packages `redis-server` and `nats-server` have the programs.
    pub async fn start(
        program: &'static str,
        port: u16,
        arguments: impl FnOnce(&Path) -> Vec<String>,
    ) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("lapwing-{program}-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let arguments = arguments(&folder);
        let mut process = Self { program, arguments, folder, port, child: None };
        process.begin().await;
        process
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that is its own.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts the program, which must not run.
    ///
    /// # Panics
    /// If it cannot be started, or does not listen.
    pub async fn begin(&mut self) {
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let mut command = Command::new(self.program);
        let path = std::env::var("PATH").unwrap_or_default();
        // Servers are often in folders that are in root's path alone.
        command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin")).args(&self.arguments);
        command.current_dir(&self.folder).stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.program));
        self.child = Some(child);
        let asked = tokio::time::Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "{} ended: {}", self.program, log());
            assert!(asked.elapsed() < crate::PATIENCE, "{} does not listen: {}", self.program, log());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Ends it as if the power went.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends it a signal by its name, such as `STOP`.
    ///
    /// # Panics
    /// If it does not run.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // What is left of it is in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
