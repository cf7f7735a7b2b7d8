//! Questions of the program to other nodes, repeated until each has answered, has died, or the time is over.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;

use crate::{config::Config, id::Instance};

/// Answers that are remembered, in case the question is repeated because the answer was lost.
const ANSWERS_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Calls {
    last_id: u64,
    asked: BTreeMap<u64, Asked>,
    /// What others asked: no answer yet, or the answer.
    answers: BTreeMap<(Instance, u64), Option<Bytes>>,
    recent: VecDeque<(Instance, u64)>,
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

    pub(crate) fn handle_call(&mut self, from: Instance, id: u64) -> Heard {
        match self.answers.get(&(from, id)) {
            Some(Some(answer)) => return Heard::Answered(answer.clone()),
            Some(None) => return Heard::Pending,
            None => {}
        }
        self.answers.insert((from, id), None);
        self.recent.push_back((from, id));
        if self.recent.len() > ANSWERS_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            self.answers.remove(&oldest);
        }
        Heard::New
    }

    /// The program answers somebody's question.
    pub(crate) fn answer(&mut self, to: Instance, id: u64, body: Bytes) {
        if let Some(answer) = self.answers.get_mut(&(to, id)) {
            *answer = Some(body);
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
    fn the_last_answers_are_remembered_and_no_others() {
        let mut calls = Calls::default();
        let answer = Bytes::from_static(b"!");
        assert_eq!(calls.handle_call(ONE, 1), Heard::New);
        assert_eq!(calls.handle_call(ONE, 1), Heard::Pending);
        calls.answer(ONE, 1, answer.clone());
        for id in 1..ANSWERS_MAX as u64 {
            assert_eq!(calls.handle_call(TWO, id), Heard::New);
        }
        assert_eq!(calls.handle_call(ONE, 1), Heard::Answered(answer));
        assert_eq!(calls.handle_call(TWO, 0), Heard::New);
        assert_eq!(calls.handle_call(ONE, 1), Heard::New, "one more pushes the oldest out");
        assert_eq!((calls.answers.len(), calls.recent.len()), (ANSWERS_MAX, ANSWERS_MAX));
    }
}
