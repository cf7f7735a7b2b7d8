//! The proxy as a program, for tests in other languages: commands come as lines of JSON on the standard
//! input, and each is answered by a line of JSON.

use std::{
    env, io,
    io::{Write, stdout},
    net::SocketAddr,
    process::ExitCode,
};

use lapwing_faults::{Counters, Fault, Options, Proxy};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

const USAGE: &str = "usage: lapwing-faults --target HOST:PORT [--listen IP:PORT] [--seed NUMBER]

Prints `listening on IP:PORT`, then takes commands on the standard input, one a line, and answers each by a line:
  {\"set\":[\"strip_upgrade\",{\"kill_idle_ms\":20000}]}   {\"lift\":true}   {\"cut\":true}
  {\"freeze\":true}   {\"counters\":true}
Ends when the standard input is closed.";

/// A command: one line of the standard input.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    Set(Vec<Fault>),
    Lift(True),
    Cut(True),
    Freeze(True),
    Counters(True),
}

/// An answer: one line of the standard output.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(bool),
    Counters(Counters),
    Error(String),
}

/// `true`: the value of a command that has none.
#[derive(Deserialize)]
#[serde(try_from = "bool")]
struct True;

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        if value { Ok(Self) } else { Err("only `true` has a meaning here") }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (target, options) = match arguments(env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&target, options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(target: &str, options: Options) -> io::Result<()> {
    let proxy = options.start(target).await?;
    print(&format!("listening on {}", proxy.addr()))?;
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str(&line) {
            Ok(command) => obey(&proxy, command),
            Err(error) => Answer::Error(error.to_string()),
        };
        print(&serde_json::to_string(&answer)?)?;
    }
    proxy.stop().await;
    Ok(())
}

fn obey(proxy: &Proxy, command: Command) -> Answer {
    match command {
        Command::Set(faults) => proxy.set(faults),
        Command::Lift(True) => proxy.lift(),
        Command::Cut(True) => proxy.cut(),
        Command::Freeze(True) => proxy.freeze(),
        Command::Counters(True) => return Answer::Counters(proxy.counters()),
    }
    Answer::Ok(true)
}

fn print(line: &str) -> io::Result<()> {
    let mut stdout = stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<(String, Options), String> {
    let (mut target, mut options) = (None, Options::new());
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let wrong = || format!("{value} is no value for {word}");
        match word.as_str() {
            "--target" => target = Some(value),
            "--listen" => options = options.listen(value.parse::<SocketAddr>().map_err(|_| wrong())?),
            "--seed" => options = options.seed(value.parse().map_err(|_| wrong())?),
            _ => return Err(format!("{word} is no option")),
        }
    }
    target.map(|target| (target, options)).ok_or_else(|| "--target is missing".to_owned())
}
