use bytes::Bytes;

use super::*;
use crate::wire::PayloadKind;

const KEY: Key = Key(7);
const OTHER: Key = Key(8);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn publish(number: u64, prev: u64) -> Publish {
    let (topic, event) = ("room".into(), "said".into());
    Publish {
        number,
        prev,
        topic,
        event,
        kind: PayloadKind::Json,
        slow: None,
        payload: Bytes::from_static(b"{}"),
    }
}

fn tops(top: u64, since: u64, changed: &[(Key, u64)]) -> Tops {
    Tops { top, since, lost: 0, part: (0, 1), changed: changed.to_vec() }
}

fn deliver(number: u64, prev: u64) -> Step {
    Step::Deliver(KEY, publish(number, prev))
}

fn ask(after: u64, upto: u64) -> Step {
    Step::Ask { key: KEY, after, upto }
}

fn gap(after: u64, upto: u64, cause: GapCause) -> Step {
    Step::Gap { key: KEY, after, upto, cause }
}

/// A peer, and the options of this node.
struct Peer {
    inbound: Inbound,
    config: Config,
}

impl Peer {
    /// One that was heard of first by a beat that said this number.
    fn covered(top: u64) -> Self {
        let config = Config::default().ask_timeout(ms(250));
        let mut peer = Self { inbound: Inbound::default(), config };
        let first = tops(top, top.saturating_sub(1), &[]);
        assert_eq!(peer.beat(&first), []);
        assert!(!peer.inbound.is_met_by(&first));
        peer
    }

    fn come_at(&mut self, at: u64, key: Key, number: u64, prev: u64) -> Steps {
        self.inbound.begin(number);
        self.inbound.handle_publish(ms(at), key, publish(number, prev), &self.config)
    }

    fn come(&mut self, number: u64, prev: u64) -> Steps {
        self.come_at(0, KEY, number, prev)
    }

    fn hear(&mut self, tops: &Tops, says: Says) -> Steps {
        self.inbound.handle_tops(ms(0), tops, says, |key| key == KEY, &self.config)
    }

    fn beat(&mut self, tops: &Tops) -> Steps {
        self.hear(tops, Says::Lately)
    }

    fn repair(&mut self, after: u64, upto: u64, is_complete: bool, numbers: &[(u64, u64)]) -> Steps {
        let publishes = numbers.iter().map(|(number, prev)| publish(*number, *prev)).collect();
        self.inbound.handle_repair(ms(0), (KEY, after, upto), is_complete, publishes, &self.config)
    }

    fn tick(&mut self, at: u64, is_up: bool) -> Steps {
        self.inbound.handle_tick(ms(at), is_up, &self.config)
    }

    fn held(&self) -> usize {
        self.inbound.held_bytes() / cost(&publish(1, 0))
    }
}

#[test]
fn the_first_that_is_heard_of_a_peer_says_where_it_stands() {
    let mut inbound = Inbound::default();
    assert!(inbound.is_met_by(&tops(1, 0, &[])));
    assert!(!inbound.is_met_by(&tops(0, 0, &[])), "all that it could not keep is still to be told");
    assert!(inbound.begin(5));
    assert!(
        !inbound.begin(9) && inbound.is_met_by(&tops(0, 0, &[])),
        "it has not said what it could not keep before"
    );
    let mut peer = Peer { inbound, config: Config::default() };
    assert_eq!(peer.come(4, 3), [], "it was said before this node listened");
    assert_eq!(peer.come(5, 4), [deliver(5, 4)]);
    assert_eq!(peer.come(5, 4), [], "once");
    assert_eq!(peer.come(9, 5), [deliver(9, 5)]);
}

#[test]
fn a_channel_begins_with_what_comes_when_it_is_confirmed_and_where_the_peer_stands_before() {
    let mut peer = Peer::covered(5);
    peer.inbound.handle_confirmed(KEY);
    assert_eq!(peer.come(5, 3), [], "a closed connection's");
    assert_eq!(peer.come(9, 7), [deliver(9, 7)]);
    assert_eq!(peer.come(12, 10), [ask(9, 10)]);
    assert_eq!(Peer::covered(5).come(9, 7), [ask(5, 7)], "not confirmed since");
    // Before the first beat nothing is known that it could begin behind.
    let mut peer = Peer { inbound: Inbound::default(), config: Config::default() };
    peer.inbound.handle_confirmed(KEY);
    assert_eq!(peer.come(9, 7), [deliver(9, 7)]);
    assert_eq!(peer.come(20, 12), [ask(9, 12)]);
}

#[test]
fn what_was_said_before_a_confirmed_channel_is_in_doubt_if_the_peer_could_not_keep_something() {
    // The publication that comes first, what the next beat says was lost, and whether that is told.
    for (number, prev, lost, told) in [(9, 7, 8, true), (9, 7, 0, false), (9, 5, 8, false), (9, 7, 5, false)]
    {
        let mut peer = Peer::covered(5);
        peer.inbound.handle_confirmed(KEY);
        assert_eq!(peer.come(number, prev), [deliver(number, prev)]);
        let steps = peer.beat(&Tops { lost, ..tops(10, 5, &[(KEY, number)]) });
        let expected = told.then(|| gap(5, prev, GapCause::Uncertain));
        assert_eq!(steps, Vec::from_iter(expected), "{number} after {prev}, {lost} is lost");
        assert_eq!(peer.beat(&Tops { lost, ..tops(11, 10, &[]) }), [], "it is told once");
    }
}

#[test]
fn a_doubt_is_in_one_gap_with_what_is_missing_behind_it_whichever_is_known_first() {
    let doubtful = || {
        let mut peer = Peer::covered(5);
        peer.inbound.handle_confirmed(KEY);
        assert_eq!(peer.come(9, 7), [deliver(9, 7)]);
        assert_eq!(peer.come(20, 15), [ask(9, 15)]);
        peer
    };
    let beat = Tops { lost: 15, ..tops(20, 5, &[]) };
    let mut peer = doubtful();
    assert_eq!(peer.beat(&beat), [gap(5, 15, GapCause::Uncertain)]);
    assert_eq!(peer.repair(9, 15, false, &[]), [deliver(20, 15)]);
    let mut peer = doubtful();
    assert_eq!(peer.repair(9, 15, false, &[]), [gap(5, 15, GapCause::Overwritten), deliver(20, 15)]);
    assert_eq!(peer.beat(&beat), []);
}

#[test]
fn of_a_channel_that_is_new_nothing_is_settled_by_a_beat_that_leaves_out_what_was_before_it() {
    let mut peer = Peer::covered(5);
    peer.inbound.handle_confirmed(KEY);
    assert_eq!(peer.beat(&tops(20, 8, &[(KEY, 9)])), [Step::AskTops { after: 5 }]);
    assert_eq!(peer.inbound.settled(KEY), None);
    let answer = Tops { lost: 7, ..tops(20, 5, &[(KEY, 9)]) };
    assert_eq!(peer.hear(&answer, Says::All), [gap(5, 9, GapCause::Uncertain)]);
}

#[test]
fn a_beat_that_tells_nothing_settles_nothing() {
    let mut peer = Peer::covered(5);
    peer.inbound.handle_confirmed(KEY);
    assert_eq!(peer.beat(&tops(5, 5, &[])), []);
    assert_eq!(
        peer.inbound.settled(KEY),
        None,
        "more may have been handed over before the channel was confirmed"
    );
    assert_eq!(peer.come(40, 30), [deliver(40, 30)]);
    assert_eq!(peer.beat(&tops(50, 50, &[])), [Step::AskTops { after: 5 }], "this one tells of more");
    // Nor does it say where a peer stands that was not heard of before.
    let mut peer = Peer { inbound: Inbound::default(), config: Config::default() };
    assert!(!peer.inbound.is_met_by(&tops(5, 5, &[])) && peer.inbound.is_met_by(&tops(5, 4, &[])));
    assert_eq!(peer.beat(&tops(5, 5, &[])), []);
    assert_eq!(peer.come(40, 30), [deliver(40, 30)]);
}

#[test]
fn whoever_has_lost_something_is_behind_until_it_has_heard_all_the_last_numbers() {
    let mut peer = Peer::covered(5);
    assert!(!peer.inbound.is_behind());
    peer.inbound.handle_down(|_| true);
    assert!(peer.inbound.is_behind());
    peer.beat(&tops(5, 5, &[]));
    assert!(peer.inbound.is_behind(), "it tells nothing");
    peer.beat(&tops(9, 5, &[]));
    assert!(!peer.inbound.is_behind());
    peer.beat(&tops(20, 10, &[]));
    assert!(peer.inbound.is_behind(), "it leaves something out");
    peer.hear(&Tops { part: (0, 2), ..tops(20, 9, &[]) }, Says::All);
    assert!(peer.inbound.is_behind());
    peer.hear(&Tops { part: (1, 2), ..tops(20, 9, &[]) }, Says::All);
    assert!(!peer.inbound.is_behind());
}

#[test]
fn a_doubt_waits_for_a_beat_that_was_said_behind_what_came_first() {
    let mut peer = Peer::covered(5);
    peer.inbound.handle_confirmed(KEY);
    assert_eq!(peer.come(9, 7), [deliver(9, 7)]);
    assert_eq!(peer.beat(&tops(8, 5, &[])), [], "a closed connection's, that the engine found late");
    let steps = peer.beat(&Tops { lost: 7, ..tops(9, 8, &[]) });
    assert_eq!(steps, [gap(5, 7, GapCause::Uncertain)]);
    // Whoever was heard of first by a publication has said where it stands likewise.
    let mut inbound = Inbound::default();
    inbound.begin(9);
    let mut peer = Peer { inbound, config: Config::default() };
    peer.beat(&tops(9, 9, &[]));
    for (top, says, is_met) in [(8, Says::Lately, false), (9, Says::All, false), (9, Says::Lately, true)] {
        peer.hear(&tops(top, top - 1, &[]), says);
        assert_eq!(!peer.inbound.is_met_by(&tops(10, top, &[])), is_met, "{top} {says:?}");
    }
}

#[test]
fn a_channel_that_is_given_up_holds_nothing_and_hears_nothing_twice_when_it_is_back() {
    let mut peer = Peer::covered(5);
    assert_eq!(peer.come(6, 5), [deliver(6, 5)]);
    assert_eq!(peer.come(9, 8), [ask(6, 8)]);
    assert_eq!(peer.held(), 1);
    peer.inbound.handle_unsubscribed(KEY);
    assert_eq!(peer.held(), 0);
    peer.inbound.handle_unsubscribed(OTHER);
    peer.inbound.handle_confirmed(KEY);
    assert_eq!(peer.come(6, 5), [], "an engine may deliver again what it was given before");
    assert_eq!(peer.come(12, 11), [deliver(12, 11)]);
    peer.inbound.handle_unsubscribed(KEY);
    peer.inbound.handle_unsubscribed(KEY);
    assert_eq!(peer.come(12, 11), []);
}

#[test]
fn after_a_cut_all_that_may_not_be_missed_is_asked_for_from_the_last_beat_on() {
    for owed in [true, false] {
        let mut peer = Peer::covered(5);
        peer.inbound.handle_confirmed(KEY);
        peer.inbound.handle_down(|_| owed);
        let steps = peer.come(9, 7);
        assert_eq!(steps, if owed { [ask(5, 7)] } else { [deliver(9, 7)] });
    }
}

#[test]
fn when_the_connection_is_back_the_open_questions_are_put_anew() {
    let mut peer = Peer::covered(5);
    peer.config = peer.config.asks_max(2);
    assert_eq!(peer.inbound.handle_up(ms(0), &peer.config), [Step::AskTops { after: 5 }]);
    assert_eq!(peer.come(9, 7), [ask(5, 7)]);
    assert_eq!(peer.tick(250, true), [ask(5, 7)]);
    let up = peer.inbound.handle_up(ms(1_000), &peer.config);
    assert_eq!(up, [Step::AskTops { after: 5 }, ask(5, 7)]);
    assert_eq!(peer.tick(1_249, true), []);
    assert_eq!(peer.tick(1_250, true), [ask(5, 7)], "all of its times are left");
    assert_eq!(peer.tick(1_500, true), [gap(5, 7, GapCause::Unanswered), deliver(9, 7)]);
    let mut unheard = Inbound::default();
    assert_eq!(unheard.handle_up(ms(0), &peer.config), []);
}

#[test]
fn a_question_is_repeated_while_there_is_an_engine_and_for_so_long() {
    let mut peer = Peer::covered(5);
    peer.config = peer.config.asks_max(100).hold_max(ms(2_000));
    assert_eq!(peer.come_at(100, KEY, 9, 7), [ask(5, 7)]);
    assert_eq!(peer.tick(349, true), []);
    assert_eq!(peer.tick(350, true), [ask(5, 7)]);
    assert_eq!(peer.tick(599, true), []);
    assert_eq!(peer.tick(600, false), [], "nobody would hear it");
    assert_eq!(peer.tick(849, true), [], "it waits as if it had been put");
    assert_eq!(peer.tick(850, true), [ask(5, 7)]);
    assert_eq!(peer.tick(2_099, false), []);
    assert_eq!(peer.tick(2_349, false), [gap(5, 7, GapCause::Unanswered), deliver(9, 7)]);
    assert_eq!(peer.held(), 0);
}

#[test]
fn a_hole_is_open_for_so_long_however_often_this_node_is_back() {
    let mut peer = Peer::covered(5);
    peer.config = peer.config.hold_max(ms(2_000));
    assert_eq!(peer.come_at(100, KEY, 9, 7), [ask(5, 7)]);
    for at in (200..2_100).step_by(100) {
        assert_eq!(peer.inbound.handle_up(ms(at), &peer.config), [Step::AskTops { after: 5 }, ask(5, 7)]);
        assert_eq!(peer.inbound.questions(), [ask(5, 7)], "also where the peer asks itself");
        assert_eq!(peer.tick(at, true), []);
    }
    assert_eq!(peer.tick(2_100, true), [gap(5, 7, GapCause::Unanswered), deliver(9, 7)]);
    assert_eq!(peer.inbound.questions(), []);
}

#[test]
fn what_is_held_back_waits_no_longer_for_a_hole_that_is_filled_in_pieces() {
    let mut peer = Peer::covered(5);
    peer.config = peer.config.hold_max(ms(2_000)).asks_max(100);
    assert_eq!(peer.come_at(0, KEY, 20, 19), [ask(5, 19)]);
    for at in 1..8 {
        let range = (KEY, 5, 5 + at);
        let steps = peer.inbound.handle_repair(ms(at * 250), range, true, vec![], &peer.config);
        assert_eq!(steps, [ask(5 + at, 19)]);
        assert_eq!(peer.tick(at * 250, true), []);
    }
    assert_eq!(peer.tick(1_999, true), []);
    assert_eq!(peer.tick(2_000, true), [gap(12, 19, GapCause::Unanswered), deliver(20, 19)]);
}

#[test]
fn while_what_is_missing_comes_by_itself_the_question_is_put_as_often_as_it_is_due() {
    let mut peer = Peer::covered(5);
    peer.config = peer.config.hold_max(ms(500)).asks_max(2);
    assert_eq!(peer.beat(&tops(9, 5, &[(KEY, 9)])), [ask(5, 9)]);
    assert_eq!(peer.hear(&tops(9, 5, &[(KEY, 1_000)]), Says::All), []);
    assert_eq!(
        peer.come_at(10, KEY, 9, 5),
        [deliver(9, 5), ask(9, 1_000)],
        "the rest was not in the question"
    );
    for at in 1..200 {
        assert_eq!(peer.come_at(10 + at * 10, KEY, 9 + at, 8 + at), [deliver(9 + at, 8 + at)]);
        let is_due = at % 25 == 0;
        assert_eq!(
            peer.tick(10 + at * 10, true),
            Vec::from_iter(is_due.then_some(ask(9 + at, 1_000))),
            "{at}"
        );
    }
    // And is given up in its time, when nothing comes any more.
    assert_eq!(peer.tick(2_250, true), [ask(208, 1_000)]);
    assert_eq!(peer.tick(2_500, true), [gap(208, 1_000, GapCause::Unanswered)]);
}

#[test]
fn questions_that_nobody_could_hear_are_not_counted() {
    let mut peer = Peer::covered(5);
    peer.config = peer.config.asks_max(2).hold_max(ms(100_000));
    assert_eq!(peer.come(9, 7), [ask(5, 7)]);
    for at in 1..20 {
        assert_eq!(peer.tick(at * 250, false), []);
    }
    assert_eq!(peer.tick(5_000, true), [ask(5, 7)]);
    assert_eq!(peer.tick(5_250, true), [gap(5, 7, GapCause::Unanswered), deliver(9, 7)]);
}

#[test]
fn a_beat_finds_a_lost_tail_of_what_may_not_be_missed() {
    let mut peer = Peer::covered(5);
    assert_eq!(peer.beat(&tops(8, 5, &[(KEY, 7), (OTHER, 8)])), [ask(5, 7)]);
    assert_eq!(peer.repair(5, 7, true, &[(7, 4)]), [deliver(7, 4)]);
    assert_eq!(peer.beat(&tops(9, 8, &[(KEY, 7)])), [], "it is there");
    assert_eq!(peer.come(12, 7), [deliver(12, 7)]);
    assert_eq!(peer.beat(&tops(12, 9, &[(KEY, 12)])), []);
    assert_eq!(peer.come(12, 7), [], "and known to be, without an entry of its own");
}

#[test]
fn a_tail_that_comes_by_itself_after_all_is_not_asked_for_again() {
    let mut peer = Peer::covered(5);
    assert_eq!(peer.beat(&tops(8, 5, &[(KEY, 7)])), [ask(5, 7)]);
    assert_eq!(peer.come(7, 4), [deliver(7, 4)]);
    assert_eq!(peer.tick(100_000, true), []);
}

#[test]
fn the_first_beat_of_all_asks_for_nothing() {
    let mut peer = Peer { inbound: Inbound::default(), config: Config::default() };
    assert_eq!(peer.beat(&tops(8, 0, &[(KEY, 7), (KEY, 9)])), [], "also not for what is still to come");
    assert_eq!(peer.come(8, 7), []);
    assert_eq!(peer.come(9, 7), [deliver(9, 7)]);
}

#[test]
fn what_a_beat_leaves_out_is_asked_for_and_what_the_peer_does_not_know_any_more_is_a_gap() {
    let mut peer = Peer::covered(5);
    assert_eq!(peer.beat(&tops(9, 6, &[])), [Step::AskTops { after: 5 }]);
    assert_eq!(peer.hear(&tops(9, 5, &[]), Says::All), []);
    assert_eq!(peer.beat(&tops(12, 9, &[])), [], "all up to 9 is known");
    assert_eq!(peer.hear(&tops(20, 12, &[]), Says::All), []);
    let all = Step::GapAll { cause: GapCause::Overwritten };
    assert_eq!(peer.hear(&tops(30, 21, &[]), Says::All), [all]);
    assert_eq!(peer.beat(&tops(31, 30, &[])), []);
    assert_eq!(peer.beat(&tops(20, 20, &[(KEY, 40)])), [], "an old one, that was late");
    assert_eq!(peer.come(32, 31), [deliver(32, 31)]);
}

#[test]
fn a_list_in_parts_counts_when_all_have_come_in_order() {
    let part = |part, top| Tops { part: (part, 3), ..tops(top, 5, &[]) };
    let covered = |parts: &[(u8, u64)]| {
        let mut peer = Peer::covered(5);
        for (number, top) in parts {
            assert_eq!(peer.hear(&part(*number, *top), Says::All), []);
        }
        // What is settled is not delivered.
        peer.come(9, 4).is_empty()
    };
    assert!(covered(&[(0, 9), (1, 9), (2, 9)]));
    assert!(covered(&[(0, 8), (0, 9), (1, 9), (2, 9)]), "it may begin anew");
    for parts in
        [&[(0, 9), (1, 9)][..], &[(2, 9)], &[(0, 9), (2, 9)], &[(0, 8), (1, 9), (2, 9)], &[(1, 9), (2, 9)]]
    {
        assert!(!covered(parts), "{parts:?}");
    }
    let mut peer = Peer::covered(5);
    peer.hear(&part(0, 9), Says::All);
    peer.hear(&part(1, 9), Says::All);
    peer.beat(&tops(5, 5, &[]));
    peer.hear(&part(2, 9), Says::All);
    assert_eq!(peer.come(9, 4), [], "a beat between them is not of them");
    let mut peer = Peer::covered(5);
    peer.hear(&part(0, 9), Says::All);
    peer.hear(&part(1, 9), Says::All);
    peer.inbound.handle_down(|_| false);
    peer.hear(&part(2, 9), Says::All);
    assert_eq!(peer.come(9, 4), [deliver(9, 4)], "a cut ends it");
}

#[test]
fn a_beat_settles_a_channel_of_which_nothing_came_since_it_was_confirmed() {
    // What the beat says was lost; the gap; where the channel begins then.
    for (lost, told) in [(0, None), (5, None), (6, Some(gap(5, 7, GapCause::Uncertain)))] {
        let mut peer = Peer::covered(5);
        peer.inbound.handle_confirmed(KEY);
        let steps = peer.beat(&Tops { lost, ..tops(8, 5, &[(KEY, 7)]) });
        assert_eq!(steps, Vec::from_iter(told), "{lost}");
        assert_eq!(peer.come(12, 10), [ask(8, 10)]);
    }
    // The peer has not handed its last to the engine yet, which is still to come.
    let mut peer = Peer::covered(5);
    peer.inbound.handle_confirmed(KEY);
    assert_eq!(peer.beat(&Tops { lost: 9, ..tops(5, 5, &[(KEY, 7)]) }), [], "and nothing is missing before");
    assert_eq!(peer.come(7, 5), [deliver(7, 5)]);
}

#[test]
fn an_answer_fills_its_hole_and_no_more() {
    let mut peer = Peer::covered(5);
    assert_eq!(peer.repair(5, 7, true, &[(7, 5)]), [], "nothing was asked");
    assert_eq!(peer.come(9, 8), [ask(5, 8)]);
    assert_eq!(peer.repair(6, 8, true, &[(7, 6), (8, 7)]), [], "it begins behind what is missing");
    assert_eq!(peer.repair(3, 5, true, &[(4, 3)]), [], "it ends before what is missing");
    assert_eq!(
        peer.repair(3, 100, true, &[(4, 3), (7, 5), (8, 7), (9, 8), (50, 9)]),
        [deliver(7, 5), deliver(8, 7), deliver(9, 8)],
        "what was held back is not given again"
    );
    assert_eq!((peer.held(), peer.come(10, 9)), (0, vec![deliver(10, 9)]));
}

#[test]
fn an_answer_with_a_part_of_it_leads_to_the_next_question_and_an_incomplete_one_to_a_gap() {
    let mut peer = Peer::covered(5);
    assert_eq!(peer.come(20, 15), [ask(5, 15)]);
    assert_eq!(peer.repair(5, 9, true, &[(9, 5)]), [deliver(9, 5), ask(9, 15)]);
    let rest = peer.repair(9, 15, false, &[(14, 12)]);
    assert_eq!(rest, [gap(9, 15, GapCause::Overwritten), deliver(14, 12), deliver(20, 15)]);
    assert_eq!(peer.tick(100_000, true), [], "nothing is open");
}

#[test]
fn whatever_is_lost_of_one_hole_is_one_gap_however_it_is_repaired() {
    let mut peer = Peer::covered(5);
    peer.config = peer.config.held_max(2).asks_max(1);
    assert_eq!(peer.come(20, 15), [ask(5, 15)]);
    let told = gap(5, 15, GapCause::Overwritten);
    assert_eq!(peer.repair(5, 9, false, &[(9, 8)]), [told, deliver(9, 8), ask(9, 15)], "up to its end");
    // The publisher has forgotten more meanwhile.
    assert_eq!(peer.repair(9, 12, false, &[(12, 11)]), [deliver(12, 11), ask(12, 15)]);
    assert_eq!(peer.tick(250, true), [deliver(20, 15)], "nor if there is no answer");
    // What is behind it is another one, and what is missing before it may be found while it is open.
    assert_eq!(peer.come(30, 25), [ask(20, 25)]);
    let told = gap(20, 25, GapCause::Overwritten);
    assert_eq!(peer.repair(20, 22, false, &[(22, 21)]), [told, deliver(22, 21), ask(22, 25)]);
    assert_eq!(peer.come(50, 40), []);
    assert_eq!(peer.repair(22, 25, false, &[]), [deliver(30, 25), ask(30, 40)]);
    assert_eq!(peer.repair(30, 40, false, &[]), [gap(30, 40, GapCause::Overwritten), deliver(50, 40)]);
}

#[test]
fn an_answer_that_extends_a_gap_that_was_told_tells_what_is_behind_it() {
    let mut peer = Peer::covered(5);
    assert_eq!(peer.come(20, 15), [ask(5, 15)]);
    assert_eq!(peer.repair(5, 9, false, &[]), [gap(5, 15, GapCause::Overwritten), ask(9, 15)]);
    assert_eq!(peer.come(40, 30), []);
    assert_eq!(peer.repair(9, 12, false, &[]), [ask(12, 30)]);
    let rest = peer.repair(12, 30, false, &[(20, 15)]);
    assert_eq!(rest, [gap(15, 30, GapCause::Overwritten), deliver(20, 15), deliver(40, 30)]);
}

#[test]
fn what_a_gap_of_all_channels_has_told_is_not_told_again() {
    let mut peer = Peer::covered(5);
    assert_eq!(peer.come(20, 15), [ask(5, 15)]);
    let steps = peer.hear(&tops(30, 10, &[(KEY, 30)]), Says::All);
    assert_eq!(steps, [Step::GapAll { cause: GapCause::Overwritten }]);
    assert_eq!(peer.repair(5, 30, false, &[]), [deliver(20, 15)], "which is held back, and forgotten there");
    assert_eq!(peer.come(40, 35), [ask(30, 35)]);
    assert_eq!(peer.repair(30, 35, false, &[]).len(), 2, "what is behind it is");
}

#[test]
fn an_answer_that_has_what_is_held_back_gives_it_once() {
    let mut peer = Peer::covered(5);
    assert_eq!(peer.come(9, 8), [ask(5, 8)]);
    assert_eq!(peer.come(12, 11), []);
    assert_eq!(peer.held(), 2);
    // The hole goes up to 11 by now, and the answer over one that is held back.
    assert_eq!(peer.repair(5, 11, true, &[(8, 5), (9, 8), (11, 9)]).len(), 4);
    assert_eq!((peer.held(), peer.come(9, 8)), (0, vec![]));
}

#[test]
fn with_its_publisher_everything_is_lost_that_is_missing_and_nothing_is_asked() {
    let mut peer = Peer::covered(5);
    assert_eq!(peer.come(9, 8), [ask(5, 8)]);
    assert_eq!(peer.come(20, 15), []);
    let steps = peer.inbound.handle_gone(ms(0), &peer.config);
    assert_eq!(steps, [gap(5, 15, GapCause::PublisherDied), deliver(9, 8), deliver(20, 15)]);
    assert_eq!(peer.held(), 0);
    assert_eq!(peer.inbound.handle_gone(ms(0), &peer.config), []);
    assert_eq!(peer.come(21, 20), [deliver(21, 20)], "it may be back");
}

#[test]
fn no_more_is_held_back_than_may_be() {
    let mut peer = Peer::covered(5);
    peer.config = peer.config.held_max(2);
    assert_eq!(peer.come(9, 8), [ask(5, 8)]);
    assert_eq!(peer.come(9, 8), [], "again");
    assert_eq!(peer.held(), 1);
    assert_eq!(peer.come(10, 9), []);
    assert_eq!(peer.held(), 2);
    let steps = peer.come(11, 10);
    assert_eq!(steps[0], gap(5, 10, GapCause::HeldTooMany));
    assert_eq!(steps[1..], [deliver(9, 8), deliver(10, 9), deliver(11, 10)]);
    assert_eq!(peer.held(), 0);
}

#[test]
fn beyond_the_bytes_that_may_be_held_back_the_fullest_channel_is_given_up() {
    let mut peer = Peer::covered(5);
    peer.config = peer.config.held_bytes_max(3 * cost(&publish(1, 0)));
    assert_eq!(peer.come_at(0, OTHER, 50, 40).len(), 1);
    assert_eq!(peer.come(9, 8), [ask(5, 8)]);
    assert_eq!(peer.come(10, 9), []);
    assert_eq!(peer.held(), 3, "as much as may be");
    let steps = peer.come_at(0, OTHER, 51, 50);
    assert_eq!(steps.len(), 3, "{steps:?}");
    assert_eq!(peer.held(), 2);
    assert_eq!(cost(&publish(1, 0)), 2 + 4 + 4 + HELD_BYTES);
}

#[test]
fn what_is_held_back_waits_for_the_hole_that_is_before_it() {
    let mut peer = Peer::covered(5);
    assert_eq!(peer.come(9, 8), [ask(5, 8)]);
    assert_eq!(peer.come(20, 15), [], "one question at a time");
    assert_eq!(peer.come(8, 5), [deliver(8, 5), deliver(9, 8), ask(9, 15)], "and then the next");
    assert_eq!(peer.come(15, 9), [deliver(15, 9), deliver(20, 15)]);
    assert_eq!(peer.tick(100_000, true), []);
}
