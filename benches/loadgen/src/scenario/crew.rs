//! Forked client processes: more open files than one process may have, or a
//! second load that does not wait for the first.
use std::io::{self, BufRead, BufReader, ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsRawFd;

/// The parent's side.
pub struct Worker {
    pub pid: i32,
    pub from: BufReader<PipeReader>,
    to: PipeWriter,
}

/// The child's side.
pub struct Boss {
    down: PipeReader,
    up: PipeWriter,
}

impl Worker {
    /// Starts a process that does `work` and ends.
    pub fn fork(work: impl FnOnce(Boss)) -> io::Result<Worker> {
        let (from, up) = pipe()?;
        let (down, to) = pipe()?;
        // SAFETY: there is only one thread, so the child may do as it likes.
        let pid = unsafe { libc::fork() };
        if pid != 0 {
            return Ok(Worker { pid, from: BufReader::new(from), to });
        }
        // The parent's ends are the parent's: else its going would not be noticed.
        drop((from, to));
        // SAFETY: plain system calls.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::fcntl(down.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
        }
        work(Boss { down, up });
        std::process::exit(0);
    }

    pub fn tell(&mut self, order: u8) -> io::Result<()> {
        self.to.write_all(&[order])
    }

    /// The numbers of the next line.
    pub fn numbers(&mut self) -> io::Result<Vec<u64>> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.split_whitespace().map(|w| w.parse().unwrap_or(0)).collect())
    }

    pub fn wait(&self) {
        // SAFETY: waits for our own child.
        unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
    }
}

impl Boss {
    /// The next order, if there is one. A parent that is gone orders the end.
    pub fn order(&mut self) -> Option<u8> {
        let mut order = [0];
        match self.down.read(&mut order) {
            Ok(0) => Some(END),
            Ok(_) => Some(order[0]),
            Err(_) => None,
        }
    }

    pub fn say(&mut self, text: &str) {
        let _ = self.up.write_all(text.as_bytes());
    }
}

pub const END: u8 = b'x';
