//! Questions and their answers, on a connection of their own.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster_driver::{ConnectError, store::StoreError};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    greeting::{Heads, ServerError},
    protocol::{self, Said},
    servers::Servers,
    socket::Socket,
    subjects::Subjects,
};

/// Questions that wait to be written.
const WAITING_MAX: usize = 256;

/// Bytes that wait for the socket, beyond which no question is taken.
const OUT_BYTES_MAX: usize = 1024 * 1024;

/// How long an answer may take. A server that has not answered by then may still do what it was asked to.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// A question.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) subject: String,
    /// Fields of its head, each a line without its end.
    pub(crate) fields: Vec<String>,
    pub(crate) payload: Bytes,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Said(Bytes),
    /// There is nobody to answer.
    Nobody,
}

/// A connection by which questions are asked. It ends when this is dropped, or when an answer does not come.
#[derive(Debug)]
pub(crate) struct Client {
    asks: mpsc::Sender<(Question, oneshot::Sender<Answer>)>,
    lost: Arc<OnceLock<StoreError>>,
    /// Bytes of a question at most, its head included.
    pub(crate) payload_max: usize,
    /// Whether the server that was reached has JetStream.
    pub(crate) has_jetstream: bool,
}

impl Client {
    pub(crate) async fn open(servers: &mut Servers, subjects: &Subjects) -> Result<Self, ConnectError> {
        let (mut socket, info) = servers.open(subjects.names(), Heads::Wanted).await?;
        let connection = getrandom::u64().map_err(|error| ConnectError::Away(error.to_string().into()))?;
        let answers = subjects.answers(connection);
        protocol::write_subscribe(&format!("{answers}*"), 1, &mut socket.out);
        let (asks, asked) = mpsc::channel(WAITING_MAX);
        let lost = Arc::new(OnceLock::new());
        let task = Task { socket, answers, waiting: HashMap::new(), last: 0 };
        tokio::spawn(task.run(asked, Arc::clone(&lost)));
        let payload_max = info.max_payload.unwrap_or(usize::MAX);
        Ok(Self { asks, lost, payload_max, has_jetstream: info.jetstream })
    }

    /// Asks all of these, and waits for all answers.
    pub(crate) async fn ask_all(&self, questions: Vec<Question>) -> Result<Vec<Answer>, StoreError> {
        let asking = async {
            let mut answers = Vec::with_capacity(questions.len());
            for question in questions {
                let (tell, answer) = oneshot::channel();
                self.asks.send((question, tell)).await.map_err(|_| self.lost())?;
                answers.push(answer);
            }
            let mut all = Vec::with_capacity(answers.len());
            for answer in answers {
                all.push(answer.await.map_err(|_| self.lost())?);
            }
            Ok(all)
        };
        timeout(ANSWER_TIMEOUT, asking)
            .await
            .unwrap_or_else(|_| Err(StoreError::Away("it does not answer".into())))
    }

    pub(crate) async fn ask(&self, question: Question) -> Result<Answer, StoreError> {
        let answer = self.ask_all(vec![question]).await?.pop();
        answer.ok_or_else(|| self.lost())
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.asks.is_closed()
    }

    fn lost(&self) -> StoreError {
        match self.lost.get() {
            Some(StoreError::Refused(why)) => StoreError::Refused(why.to_string().into()),
            Some(error) => StoreError::Away(
                std::error::Error::source(error).map_or_else(String::new, ToString::to_string).into(),
            ),
            None => StoreError::Away("the connection is lost".into()),
        }
    }
}

/// What holds the socket.
struct Task {
    socket: Socket,
    /// What the subjects of answers begin with.
    answers: String,
    /// Who waits for which answer. As many as are asked at once.
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
    last: u64,
}

impl Task {
    async fn run(
        mut self,
        mut asked: mpsc::Receiver<(Question, oneshot::Sender<Answer>)>,
        lost: Arc<OnceLock<StoreError>>,
    ) {
        loop {
            let has_room = self.socket.out.len() < OUT_BYTES_MAX;
            let turn = tokio::select! {
                turn = self.socket.turn() => turn.map_err(|error| StoreError::Away(error.into())).map(|_| ()),
                ask = asked.recv(), if has_room => match ask {
                    None => return,
                    Some((question, tell)) => {
                        self.write(&question, tell);
                        continue;
                    }
                },
            };
            if let Err(error) = turn.and_then(|()| self.read()) {
                // Before those who wait are told that nothing comes.
                let _ = lost.set(error);
                return;
            }
        }
    }

    fn write(&mut self, question: &Question, tell: oneshot::Sender<Answer>) {
        self.last += 1;
        let reply = format!("{}{}", self.answers, self.last);
        let Question { subject, fields, payload } = question;
        protocol::write_request(subject, &reply, fields, payload, &mut self.socket.out);
        self.waiting.insert(self.last, tell);
    }

    fn read(&mut self) -> Result<(), StoreError> {
        let garbled = |error: protocol::Garbled| StoreError::Away(error.into());
        while let Some(said) = protocol::read(&mut self.socket.read).map_err(garbled)? {
            match said {
                Said::Message { subject, head, payload } => {
                    let number = subject.strip_prefix(&self.answers).and_then(|number| number.parse().ok());
                    if let Some(tell) = number.and_then(|number: u64| self.waiting.remove(&number)) {
                        let is_nobody = protocol::status(&head) == Some(503);
                        let answer = if is_nobody { Answer::Nobody } else { Answer::Said(payload) };
                        // Who asked may have given up.
                        let _ = tell.send(answer);
                    }
                }
                Said::Ping => protocol::write_pong(&mut self.socket.out),
                Said::Error(why) => return Err(refusal(why)),
                Said::Info(_) | Said::Pong | Said::Ok => {}
            }
        }
        Ok(())
    }
}

/// What the server says against a question.
fn refusal(why: String) -> StoreError {
    let is_forbidden = why.to_lowercase().contains("permissions violation");
    if is_forbidden {
        let hint = "`Nats::permissions_with_kept` prints what a node that keeps topics has to be permitted";
        return StoreError::Refused(format!("the server says: {why}; {hint}").into());
    }
    StoreError::Away(ServerError(why).into())
}
