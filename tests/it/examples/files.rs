//! More connections than the process may have files.

use std::{fs, time::Duration};

use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{NAMES, joined, program::Program, serves};
use crate::support::PATIENCE;

const FILES: usize = 64;
const CONNECTIONS: usize = 200;

#[tokio::test]
async fn a_program_without_files_goes_on_and_serves_once_it_has_some() {
    for name in NAMES {
        let program = Program::start_with_files(name, FILES).await;
        let outside = program.outside;
        // Those for which the accept queue has no room are still trying, which is why nobody waits for them.
        let mut crowd = JoinSet::new();
        for _ in 0..CONNECTIONS {
            crowd.spawn(async move {
                let _kept = TcpStream::connect(outside).await;
                std::future::pending::<()>().await;
            });
        }
        let asked = Instant::now();
        while program.files() < FILES {
            assert!(asked.elapsed() < PATIENCE, "{name} accepts {} connections", program.files());
            sleep(Duration::from_millis(10)).await;
        }
        let before = processor_ticks(&program);
        sleep(Duration::from_secs(1)).await;
        let spent = processor_ticks(&program) - before;
        // Of a hundred: to ask again at once, for ever, takes a whole core.
        assert!(spent < 25, "{name} spends {spent} % of a core on waiting for files");
        crowd.shutdown().await;
        let mut client = joined(&program, "patient").await;
        serves(&program, &mut client).await;
    }
}

/// Hundredths of a second that the process has spent so far.
fn processor_ticks(program: &Program) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.pid())).expect("the process lives");
    // The name, in parentheses, may have spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
