use super::*;

const A: Key = Key(1);
const B: Key = Key(2);
const C: Key = Key(3);

/// Publishes so many bytes; returns the number and the one before it, and what became of it.
fn say(outbound: &mut Outbound, key: Key, bytes: usize) -> ((u64, u64), Stored) {
    let mut numbers = (0, 0);
    let stored = outbound.publish(key, |number, prev| {
        numbers = (number, prev);
        Bytes::from(vec![0; bytes])
    });
    (numbers, stored)
}

fn said(config: Config, keys: &[Key], bytes: usize) -> Outbound {
    let mut outbound = Outbound::new(&config);
    for key in keys {
        say(&mut outbound, *key, bytes);
    }
    outbound
}

fn numbers(outbound: &mut Outbound) -> Vec<u64> {
    std::iter::from_fn(|| outbound.next()).map(|(number, ..)| number).collect()
}

fn limits(tops_max: usize, publishes_max: usize) -> WireLimits {
    WireLimits { tops_max, publishes_max, ..WireLimits::default() }
}

#[test]
fn each_has_its_number_and_the_one_before_it_on_its_channel() {
    let mut outbound = Outbound::new(&Config::default());
    let numbers = [A, B, A, A, B].map(|key| say(&mut outbound, key, 1).0);
    assert_eq!(numbers, [(1, 0), (2, 0), (3, 1), (4, 3), (5, 2)]);
}

#[test]
fn the_engine_has_no_more_than_it_may_before_it_confirms_but_one_of_any_size() {
    let mut outbound = said(Config::default().in_flight_bytes_max(100), &[A, A, A], 50);
    assert_eq!(numbers(&mut outbound), [1, 2]);
    assert!(!outbound.is_drained() && !outbound.is_confirmed());
    outbound.handle_confirmed(1);
    outbound.handle_confirmed(1);
    assert_eq!(numbers(&mut outbound), [3]);
    assert!(outbound.is_drained() && !outbound.is_confirmed());
    outbound.handle_confirmed(99);
    assert!(outbound.is_confirmed() && outbound.in_flight_bytes == 0);
    say(&mut outbound, A, 1_000);
    say(&mut outbound, A, 1);
    assert_eq!(numbers(&mut outbound), [4], "alone");
    outbound.handle_confirmed(4);
    assert_eq!(
        numbers(&mut outbound),
        [5],
        "what was confirmed is not in flight, and no number that was not sent is"
    );
}

#[test]
fn what_is_in_flight_is_what_was_sent_and_not_confirmed() {
    let mut outbound = said(Config::default().in_flight_bytes_max(100), &[A; 6], 40);
    assert_eq!(numbers(&mut outbound), [1, 2]);
    for number in 1..4 {
        outbound.handle_confirmed(number);
        assert_eq!(numbers(&mut outbound), [number + 2]);
    }
}

#[test]
fn what_was_not_confirmed_is_handed_over_again_when_the_connection_is_back() {
    let mut outbound = said(Config::default().in_flight_bytes_max(100), &[A, B, A], 40);
    assert_eq!(numbers(&mut outbound), [1, 2]);
    outbound.handle_confirmed(1);
    outbound.handle_down();
    assert_eq!(numbers(&mut outbound), [2, 3]);
    outbound.handle_confirmed(2);
    outbound.handle_down();
    assert_eq!(numbers(&mut outbound), [3]);
}

#[test]
fn the_ring_forgets_the_oldest_but_nothing_behind_what_was_handed_over() {
    let each = 10 + ENTRY_BYTES;
    let mut outbound = said(Config::default().ring_bytes_max(2 * each), &[A, A], 10);
    assert_eq!(outbound.bytes(), 2 * each);
    assert_eq!(say(&mut outbound, A, 10), ((3, 2), Stored::Kept));
    assert_eq!((outbound.bytes(), outbound.floor, outbound.forgotten()), (2 * each, 1, 1));
    assert_eq!(numbers(&mut outbound), [2, 3]);
    assert_eq!([say(&mut outbound, A, 10).1, say(&mut outbound, A, 10).1], [Stored::Kept; 2]);
    assert_eq!((outbound.floor, outbound.forgotten()), (3, 1), "the engine was given those");
    assert_eq!(say(&mut outbound, A, 10), ((6, 5), Stored::Lost));
    outbound.handle_confirmed(2);
    assert_eq!(numbers(&mut outbound), [4, 5]);
    outbound.handle_confirmed(4);
    assert_eq!(say(&mut outbound, A, 10).1, Stored::Lost, "the engine does not have all");
    outbound.handle_confirmed(5);
    assert_eq!((outbound.in_flight_bytes, outbound.forgotten_in_flight_bytes), (0, 0));
    assert_eq!(say(&mut outbound, A, 10), ((8, 7), Stored::Kept));
    assert_eq!((outbound.bytes(), outbound.floor), (2 * each, 4));
    assert_eq!(say(&mut outbound, A, each + 10).1, Stored::Lost, "there would be room in the place of two");
    assert_eq!(numbers(&mut outbound), [8]);
    outbound.handle_confirmed(8);
    assert_eq!(say(&mut outbound, A, each + 10).1, Stored::Kept);
    assert_eq!((outbound.bytes(), outbound.floor), (2 * each, 8));
}

#[test]
fn an_outage_leaves_one_hole_before_all_that_is_kept_and_what_is_forgotten_later_is_next_to_it() {
    let each = 100 + ENTRY_BYTES;
    let mut outbound = said(Config::default().ring_bytes_max(3 * each), &[A, B, A, A, B, A], 100);
    assert_eq!((outbound.forgotten(), outbound.unkept), (3, 3));
    assert_eq!(repaired(&outbound, A, 0, 6), (6, false, 2));
    assert_eq!(repaired(&outbound, A, 3, 6), (6, true, 2));
    assert_eq!(numbers(&mut outbound), [4, 5, 6]);
    // Who is back when the engine has it all, and the ring goes on.
    outbound.handle_confirmed(6);
    for number in 7..9 {
        assert_eq!(say(&mut outbound, A, 100).0.0, number);
        let first = number - 2;
        let has = [6, 7, 8].into_iter().filter(|kept| (first..=number).contains(kept)).count();
        assert!(!repaired(&outbound, A, 0, number).1);
        assert_eq!(outbound.repair(A, 0, number, &limits(9, 9)).publishes.len(), has);
        assert!(repaired(&outbound, A, first - 1, number).1);
    }
    assert_eq!(outbound.forgotten(), 3, "the engine had the others");
}

/// One that the engine is given and one that is in its place, two that wait, and two that find no room.
fn overrun() -> Outbound {
    let config = Config::default().ring_bytes_max(3 * (100 + ENTRY_BYTES)).in_flight_bytes_max(100);
    let mut outbound = said(config, &[A, B, A], 100);
    assert_eq!(numbers(&mut outbound), [1]);
    assert_eq!(say(&mut outbound, A, 100), ((4, 3), Stored::Kept), "in the place of the one in flight");
    assert_eq!(numbers(&mut outbound), [0; 0], "which is in flight all the same");
    assert_eq!(say(&mut outbound, A, 100), ((5, 4), Stored::Lost));
    assert_eq!(say(&mut outbound, A, 0), ((6, 5), Stored::Lost), "though it is small");
    outbound
}

#[test]
fn an_engine_that_takes_less_than_is_said_leaves_one_hole_behind_what_it_was_given() {
    let mut outbound = overrun();
    outbound.handle_confirmed(1);
    for number in 2..=4 {
        assert_eq!(say(&mut outbound, A, 1).1, Stored::Lost, "though there is room now");
        assert_eq!(numbers(&mut outbound), [number]);
        assert_eq!(outbound.tops(1, &limits(9, 9)).top, 0, "more may be lost");
        outbound.handle_confirmed(number);
    }
    assert_eq!(say(&mut outbound, B, 1), ((10, 2), Stored::Kept));
    assert_eq!(say(&mut outbound, A, 1), ((11, 9), Stored::Kept));
    assert_eq!(repaired(&outbound, A, 4, 9), (9, false, 0), "from the last that was kept to the next");
    assert_eq!(repaired(&outbound, A, 9, 11), (11, true, 1));
    numbers(&mut outbound);
    assert_eq!((outbound.tops(1, &limits(9, 9)).lost, outbound.forgotten()), (9, 0));
}

#[test]
fn what_lies_before_another_hole_is_forgotten_with_it() {
    let mut outbound = overrun();
    outbound.handle_down();
    assert_eq!(say(&mut outbound, A, 100), ((7, 6), Stored::Kept));
    assert_eq!((outbound.ring.len(), outbound.floor, outbound.forgotten()), (1, 4, 3));
    assert_eq!(repaired(&outbound, A, 6, 7), (7, true, 1));
    assert_eq!(numbers(&mut outbound), [7]);
}

#[test]
fn what_was_forgotten_in_flight_is_lost_if_the_engine_has_not_confirmed_it() {
    for (confirmed, since, lost) in [(0, 0, 1), (1, 1, 0), (2, 2, 0)] {
        let mut outbound = said(Config::default().ring_bytes_max(2 * (10 + ENTRY_BYTES)), &[A, A], 10);
        assert_eq!(numbers(&mut outbound), [1, 2]);
        assert_eq!(outbound.tops(1, &limits(9, 9)).top, 2);
        assert_eq!(say(&mut outbound, A, 10).1, Stored::Kept);
        outbound.handle_confirmed(confirmed);
        outbound.handle_down();
        let tops = outbound.tops(1, &limits(9, 9));
        assert_eq!((tops.top, tops.lost), (since, lost), "what it was told may not have reached it");
        assert_eq!(numbers(&mut outbound), if confirmed == 2 { vec![3] } else { vec![2, 3] });
        let tops = outbound.tops(1, &limits(9, 9));
        assert_eq!((tops.top, tops.since, tops.lost), (3, since, lost));
    }
}

#[test]
fn a_beat_says_what_was_lost_also_where_it_has_no_room_for_all_channels() {
    let each = 1 + ENTRY_BYTES;
    let mut outbound = said(Config::default().ring_bytes_max(3 * each), &[A, B, C, A], 1);
    assert_eq!(outbound.tops(1, &limits(1, 9)).lost, 1, "also before the engine has it all");
    numbers(&mut outbound);
    let tops = outbound.tops(1, &limits(1, 9));
    assert_eq!((tops.since, tops.lost), (3, 1));
}

#[test]
fn a_beat_tells_what_is_new_once_the_engine_has_everything() {
    let mut outbound = said(Config::default(), &[A, B, A], 1);
    let nothing = Tops { top: 0, since: 0, lost: 0, part: (0, 1), changed: Vec::new() };
    assert_eq!(outbound.tops(1, &limits(9, 9)), nothing);
    assert_eq!(numbers(&mut outbound).len(), 3);
    let tops = |outbound: &mut Outbound| {
        let tops = outbound.tops(1, &limits(2, 9));
        (tops.top, tops.since, tops.lost, tops.changed)
    };
    assert_eq!(tops(&mut outbound), (3, 0, 0, vec![(B, 2), (A, 3)]));
    assert_eq!(tops(&mut outbound), (3, 2, 0, vec![(A, 3)]), "that nothing is new is said as well");
    for key in [A, B, C] {
        say(&mut outbound, key, 1);
    }
    assert_eq!(tops(&mut outbound), (3, 3, 0, vec![]), "the others would ask for what is on its way");
    let last = outbound.last_tops(&limits(9, 9));
    let changed = vec![(A, 4), (B, 5), (C, 6)];
    assert_eq!(
        last,
        Tops { top: 6, since: 3, lost: 6, part: (0, 1), changed: changed.clone() },
        "if nothing comes later"
    );
    assert_eq!(numbers(&mut outbound).len(), 3);
    assert_eq!(outbound.last_tops(&limits(9, 9)), Tops { lost: 0, ..last });
    assert_eq!(tops(&mut outbound), (6, 4, 0, vec![(B, 5), (C, 6)]), "the latest alone, and from where on");
}

#[test]
fn a_beat_has_no_more_channels_than_may_be_and_says_behind_which_number_they_are_all() {
    let keys: Vec<Key> = (0..7).map(Key).collect();
    for (tops_max, since) in [(7, 0), (6, 1), (2, 5), (1, 6)] {
        let mut outbound = said(Config::default(), &keys, 1);
        numbers(&mut outbound);
        let tops = outbound.tops(1, &limits(tops_max, 9));
        assert_eq!((tops.since, tops.changed.len()), (since, tops_max));
        assert!(tops.changed.iter().all(|(_, number)| *number > since));
    }
}

#[test]
fn what_was_lost_is_told_until_a_beat_that_told_it_is_back() {
    let mut outbound = said(Config::default().ring_bytes_max(0), &[A], 1);
    let lost = |outbound: &mut Outbound, beat| outbound.tops(beat, &limits(9, 9)).lost;
    assert_eq!([1, 2].map(|beat| lost(&mut outbound, beat)), [1, 1]);
    outbound.handle_echo(0);
    assert_eq!(lost(&mut outbound, 3), 1, "that was one before it");
    say(&mut outbound, A, 1);
    assert_eq!(lost(&mut outbound, 4), 2);
    outbound.handle_echo(2);
    assert_eq!(lost(&mut outbound, 5), 2, "which that one did not tell");
    outbound.handle_echo(4);
    assert_eq!(lost(&mut outbound, 6), 2, "only what the fifth tells counts");
    outbound.handle_down();
    assert_eq!(lost(&mut outbound, 7), 2, "the connection took the fifth with it");
    outbound.handle_echo(6);
    assert_eq!(lost(&mut outbound, 8), 2);
    outbound.handle_echo(7);
    assert_eq!(lost(&mut outbound, 9), 0);
    let all = |after| outbound.tops_since(after, &limits(9, 9)).iter().map(|tops| tops.lost).max();
    assert_eq!((all(0), all(2)), (Some(2), Some(0)), "whoever asks hears it always");
}

/// The others have heard of more than such a beat tells, and pass over it.
#[test]
fn what_a_beat_tells_before_the_engine_has_everything_does_not_count_as_told() {
    let mut outbound =
        said(Config::default().ring_bytes_max(2 * (10 + ENTRY_BYTES)).in_flight_bytes_max(10), &[A], 10);
    numbers(&mut outbound);
    assert_eq!(outbound.tops(1, &limits(9, 9)).top, 1);
    outbound.handle_down();
    for key in [A, A, B] {
        say(&mut outbound, key, 10);
    }
    assert_eq!(numbers(&mut outbound), [3], "the first two are forgotten, and the last one waits");
    let tops = outbound.tops(2, &limits(9, 9));
    assert_eq!((tops.top, tops.lost), (0, 2));
    outbound.handle_echo(2);
    outbound.handle_confirmed(3);
    assert_eq!(numbers(&mut outbound), [4]);
    let tops = outbound.tops(3, &limits(9, 9));
    assert_eq!((tops.top, tops.lost), (4, 2));
    outbound.handle_echo(3);
    assert_eq!(outbound.tops(4, &limits(9, 9)).lost, 0);
}

#[test]
fn whoever_asks_hears_the_last_numbers_of_all_channels_in_parts() {
    let mut outbound = said(Config::default(), &[A, B, C], 1);
    numbers(&mut outbound);
    outbound.tops(1, &limits(9, 9));
    let parts = outbound.tops_since(0, &limits(2, 9));
    let part = |part, changed| Tops { top: 3, since: 0, lost: 0, part, changed };
    assert_eq!(parts, [part((0, 2), vec![(A, 1), (B, 2)]), part((1, 2), vec![(C, 3)])]);
    let parts = outbound.tops_since(3, &limits(2, 9));
    assert_eq!(parts, [Tops { since: 3, ..part((0, 1), vec![]) }], "and that there is nothing");
    // Of what was not handed over there is no end yet.
    say(&mut outbound, A, 1);
    say(&mut outbound, B, 1);
    assert_eq!(outbound.tops_since(2, &limits(9, 9))[0].top, 3);
    outbound.next();
    let answer = Tops { top: 4, since: 2, ..part((0, 1), vec![(C, 3), (A, 4), (B, 5)]) };
    assert_eq!(outbound.tops_since(2, &limits(9, 9)), [answer]);
}

fn repaired(outbound: &Outbound, key: Key, after: u64, upto: u64) -> (u64, bool, usize) {
    let repair = outbound.repair(key, after, upto, &limits(9, 2));
    assert_eq!((repair.key, repair.after), (key, after));
    (repair.upto, repair.is_complete, repair.publishes.len())
}

#[test]
fn an_answer_has_what_is_kept_of_a_channel_and_as_much_as_fits() {
    let outbound = said(Config::default(), &[A, B, A, A, B, A], 1);
    assert_eq!(repaired(&outbound, A, 0, 3), (3, true, 2));
    assert_eq!(repaired(&outbound, A, 0, 6), (3, true, 2), "the rest is for the next question");
    assert_eq!(repaired(&outbound, A, 3, 6), (6, true, 2));
    assert_eq!(repaired(&outbound, A, 6, 6), (6, true, 0));
    assert_eq!(repaired(&outbound, C, 0, 6), (6, true, 0), "nothing was said there");
    let bytes = REPAIR_BYTES_MAX / 2;
    assert_eq!(repaired(&said(Config::default(), &[A, A], bytes), A, 0, 2), (2, true, 2));
    assert_eq!(repaired(&said(Config::default(), &[A, A], bytes + 1), A, 0, 2), (1, true, 1));
    assert_eq!(
        repaired(&said(Config::default(), &[A, A], 2 * bytes + 1), A, 0, 1),
        (1, true, 1),
        "one at least"
    );
}

#[test]
fn an_answer_is_complete_if_nothing_on_its_channel_is_forgotten_or_lost() {
    let each = 1 + ENTRY_BYTES;
    let mut outbound = said(Config::default().ring_bytes_max(3 * each), &[A, B, A], 1);
    numbers(&mut outbound);
    outbound.handle_confirmed(3);
    say(&mut outbound, B, 1);
    assert_eq!(outbound.floor, 1, "the first is forgotten");
    assert_eq!(repaired(&outbound, A, 0, 4), (4, false, 1));
    assert_eq!(repaired(&outbound, A, 1, 4), (4, true, 1));
    assert_eq!(
        repaired(&outbound, B, 0, 4),
        (4, true, 2),
        "nothing of it was forgotten: they say so themselves"
    );
    assert_eq!(repaired(&outbound, C, 0, 4), (4, true, 0), "nothing was ever said there");
    assert_eq!(repaired(&outbound, A, 0, 1), (1, false, 0), "what follows says that one is missing");
    // The newest is lost: nothing in the ring tells of it.
    let mut outbound = said(Config::default().ring_bytes_max(each), &[A, A], 1);
    assert_eq!(repaired(&outbound, A, 0, 2), (2, false, 1));
    assert_eq!(repaired(&outbound, A, 2, 2), (2, true, 0));
    assert_eq!(repaired(&outbound, B, 0, 2), (2, true, 0));
    numbers(&mut outbound);
    outbound.handle_confirmed(1);
    say(&mut outbound, B, 1);
    assert_eq!(repaired(&outbound, A, 1, 3), (3, false, 0));
    assert_eq!(repaired(&outbound, B, 1, 3), (3, true, 1));
    // What is lost behind a question is not missing from its answer.
    let mut outbound = said(Config::default().ring_bytes_max(2 * each), &[A, A], 1);
    numbers(&mut outbound);
    say(&mut outbound, A, 3 * each);
    assert_eq!(repaired(&outbound, A, 0, 2), (2, true, 2));
    assert_eq!(repaired(&outbound, A, 0, 3), (3, false, 2));
}

#[test]
fn what_is_too_large_for_the_ring_takes_nothing_out_of_it() {
    let mut outbound = said(Config::default().ring_bytes_max(1_000), &[A, A], 1);
    let bytes = outbound.bytes();
    assert_eq!(say(&mut outbound, A, 1_000), ((3, 2), Stored::Lost));
    assert_eq!((outbound.bytes(), numbers(&mut outbound)), (bytes, vec![1, 2]));
    assert_eq!(outbound.tops(1, &limits(9, 9)).lost, 3);
}

#[test]
fn of_channels_that_are_not_remembered_it_is_known_how_late_they_can_have_been_used() {
    let mut last = LastNumbers { keys_max: 2, ..LastNumbers::default() };
    assert_eq!(last.last(C), None);
    assert_eq!([(A, 1), (B, 2), (A, 3)].map(|(key, number)| last.replace(key, number)), [0, 0, 1]);
    assert_eq!((last.replace(C, 4), last.forgotten), (2, 2), "B was used longest ago, and C not behind it");
    assert_eq!([A, B, C].map(|key| last.last(key)), [Some(3), Some(2), Some(4)]);
    assert_eq!(last.since(3), [(C, 4)]);
    assert_eq!((last.replace(B, 5), last.forgotten), (3, 3));
    assert_eq!((last.numbers.len(), last.keys.len()), (2, 2));
}
