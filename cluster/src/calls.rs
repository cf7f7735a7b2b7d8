//! Questions of the program to other nodes, repeated until each has answered, has died, or the time is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;

use crate::{config::Config, id::Instance};

/// For how long a question is remembered since it last came, in case it is repeated because its answer was lost: until its deadline, which only who asks
/// knows, and which is ten seconds as a rule. In an outage no repetition comes.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Bytes of them: with short answers a thousand questions a second, for as long. At the bound those that came longest ago are forgotten.
const REMEMBERED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What one holds beside its answer.
const QUESTION_BYTES: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct Calls {
    last_id: u64,
    asked: BTreeMap<u64, Asked>,
    /// What others asked.
    questions: BTreeMap<(Instance, u64), Question>,
    /// The same by when they last came.
    by_time: BTreeSet<(Duration, (Instance, u64))>,
    /// Bytes of them.
    bytes: usize,
}

/// A question of another node's.
#[derive(Debug)]
struct Question {
    last_came: Duration,
    /// None yet, or the answer.
    answer: Option<Bytes>,
}

#[derive(Debug)]
struct Asked {
    body: Bytes,
    waiting: BTreeSet<Instance>,
    answers: Vec<(Instance, Bytes)>,
    repeat: Duration,
    deadline: Duration,
}

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) id: u64,
    pub(crate) answers: Vec<(Instance, Bytes)>,
    pub(crate) missing: Vec<Instance>,
}

/// What is to be done with somebody's question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Give it to the program.
    New,
    /// It is being answered.
    Pending,
    /// It was answered; the answer may be lost.
    Answered(Bytes),
}

impl Calls {
    /// A new call to these nodes; none if too many wait. It is sent by [`Calls::due`].
    pub(crate) fn begin(
        &mut self,
        now: Duration,
        to: BTreeSet<Instance>,
        body: Bytes,
        within: Duration,
        config: &Config,
    ) -> Option<u64> {
        if self.asked.len() >= config.calls_max {
            return None;
        }
        self.last_id += 1;
        let asked = Asked { body, waiting: to, answers: Vec::new(), repeat: now, deadline: now + within };
        self.asked.insert(self.last_id, asked);
        Some(self.last_id)
    }

    /// Questions that are to be sent now.
    pub(crate) fn due(&mut self, now: Duration, config: &Config) -> Vec<(Instance, u64, Bytes)> {
        let mut due = Vec::new();
        for (id, asked) in self.asked.iter_mut().filter(|(_, asked)| asked.repeat <= now) {
            asked.repeat = now + config.call_repeat;
            due.extend(asked.waiting.iter().map(|to| (*to, *id, asked.body.clone())));
        }
        due
    }

    /// Calls that are over: everybody has answered, or their time has passed.
    pub(crate) fn finished(&mut self, now: Duration) -> Vec<Finished> {
        let is_over = |asked: &Asked| asked.waiting.is_empty() || asked.deadline <= now;
        let over: Vec<u64> =
            self.asked.iter().filter(|(_, asked)| is_over(asked)).map(|(id, _)| *id).collect();
        over.into_iter()
            .filter_map(|id| {
                let asked = self.asked.remove(&id)?;
                let missing = asked.waiting.into_iter().collect();
                Some(Finished { id, answers: asked.answers, missing })
            })
            .collect()
    }

    pub(crate) fn handle_answer(&mut self, from: Instance, id: u64, body: Bytes) {
        if let Some(asked) = self.asked.get_mut(&id)
            && asked.waiting.remove(&from)
        {
            asked.answers.push((from, body));
        }
    }

    /// A node is gone, and what it was asked to do with it.
    pub(crate) fn handle_gone(&mut self, node: Instance) {
        for asked in self.asked.values_mut() {
            asked.waiting.remove(&node);
        }
    }

    pub(crate) fn handle_call(&mut self, now: Duration, from: Instance, id: u64) -> Heard {
        let key = (from, id);
        if let Some(question) = self.questions.get_mut(&key) {
            self.by_time.remove(&(question.last_came, key));
            question.last_came = now;
            self.by_time.insert((now, key));
            return question.answer.clone().map_or(Heard::Pending, Heard::Answered);
        }
        self.questions.insert(key, Question { last_came: now, answer: None });
        self.by_time.insert((now, key));
        self.bytes += QUESTION_BYTES;
        self.forget(now);
        Heard::New
    }

    /// The program answers somebody's question, which is not told again.
    pub(crate) fn answer(&mut self, to: Instance, id: u64, body: Bytes) {
        if let Some(question) = self.questions.get_mut(&(to, id)) {
            self.bytes += body.len();
            let before = question.answer.replace(body);
            self.bytes -= before.map_or(0, |before| before.len());
            self.forget(Duration::ZERO);
        }
    }

    /// The program answers somebody's question, which may be told again.
    pub(crate) fn answer_and_forget(&mut self, to: Instance, id: u64) {
        self.remove((to, id));
    }

    /// Forgets questions that nobody repeats any more, and those for which there is no room.
    pub(crate) fn forget(&mut self, now: Duration) {
        while let Some((last_came, key)) = self.by_time.first().copied()
            && (last_came + REMEMBERED <= now || self.bytes > REMEMBERED_BYTES_MAX)
        {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: (Instance, u64)) {
        if let Some(Question { last_came, answer }) = self.questions.remove(&key) {
            self.by_time.remove(&(last_came, key));
            self.bytes -= QUESTION_BYTES + answer.map_or(0, |answer| answer.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Instance = Instance(1);
    const TWO: Instance = Instance(2);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn begun(at: Duration, to: &[Instance]) -> (Calls, u64) {
        let mut calls = Calls::default();
        let to = to.iter().copied().collect();
        let id = calls.begin(at, to, Bytes::from_static(b"?"), ms(2_000), &Config::default()).unwrap();
        (calls, id)
    }

    #[test]
    fn a_question_is_repeated_at_its_pace_to_those_who_have_not_answered() {
        let (mut calls, id) = begun(ms(10), &[ONE, TWO]);
        let config = Config::default().call_repeat(ms(500));
        let due = |calls: &mut Calls, at| {
            calls.due(ms(at), &config).into_iter().map(|(to, ..)| to).collect::<Vec<_>>()
        };
        assert_eq!(due(&mut calls, 10), [ONE, TWO]);
        assert_eq!(due(&mut calls, 509), []);
        assert_eq!(due(&mut calls, 510), [ONE, TWO]);
        calls.handle_answer(ONE, id, Bytes::from_static(b"!"));
        assert_eq!(due(&mut calls, 1_010), [TWO]);
        assert_eq!(calls.finished(ms(2_009)), []);
        let over = Finished { id, answers: vec![(ONE, Bytes::from_static(b"!"))], missing: vec![TWO] };
        assert_eq!(calls.finished(ms(2_010)), [over]);
        assert_eq!(due(&mut calls, 9_000), []);
    }

    #[test]
    fn who_is_gone_is_not_waited_for() {
        let (mut calls, id) = begun(ms(0), &[ONE, TWO]);
        calls.handle_gone(ONE);
        assert_eq!(calls.finished(ms(1)), []);
        calls.handle_gone(TWO);
        assert_eq!(calls.finished(ms(1)), [Finished { id, answers: vec![], missing: vec![] }]);
    }

    #[test]
    fn answers_are_remembered_for_as_long_as_their_questions_are_repeated() {
        let mut calls = Calls::default();
        let answer = Bytes::from_static(b"!");
        assert_eq!(calls.handle_call(ms(0), ONE, 1), Heard::New);
        assert_eq!(calls.handle_call(ms(500), ONE, 1), Heard::Pending);
        calls.answer(ONE, 1, answer.clone());
        calls.forget(ms(60_499));
        assert_eq!(calls.handle_call(ms(60_499), ONE, 1), Heard::Answered(answer));
        assert_eq!(calls.handle_call(ms(60_500), TWO, 1), Heard::New);
        calls.forget(ms(60_499) + REMEMBERED);
        assert_eq!(calls.questions.keys().collect::<Vec<_>>(), [&(TWO, 1)]);
        calls.answer_and_forget(TWO, 1);
        assert_eq!(calls.handle_call(ms(60_501), TWO, 1), Heard::New, "it is harmless");
        calls.forget(ms(60_501) + REMEMBERED);
        assert_eq!((calls.questions.len(), calls.by_time.len(), calls.bytes), (0, 0, 0));
    }

    #[test]
    fn so_many_answers_are_remembered_and_no_more() {
        let mut calls = Calls::default();
        let answer = Bytes::from(vec![0; REMEMBERED_BYTES_MAX / 64 - QUESTION_BYTES]);
        for id in 1..=64 {
            assert_eq!(calls.handle_call(ms(id), ONE, id), Heard::New);
            calls.answer(ONE, id, answer.clone());
        }
        assert_eq!(calls.bytes, REMEMBERED_BYTES_MAX);
        assert_eq!(calls.handle_call(ms(65), ONE, 1), Heard::Answered(answer.clone()));
        assert_eq!(calls.handle_call(ms(66), TWO, 1), Heard::New);
        assert_eq!(calls.handle_call(ms(67), ONE, 1), Heard::Answered(answer), "it came again");
        assert_eq!(calls.handle_call(ms(68), ONE, 2), Heard::New, "its last word was the oldest");
        assert!(calls.bytes <= REMEMBERED_BYTES_MAX);
    }
}
