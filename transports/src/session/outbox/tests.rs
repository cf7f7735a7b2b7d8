use super::*;
use crate::policy::compared;

fn texts(outbox: &Outbox) -> Vec<&[u8]> {
    outbox.iter().map(|frame| &frame.payload()[..]).collect()
}

#[test]
fn frames_come_out_in_the_order_they_went_in() {
    let mut outbox = Outbox::default();
    for text in ["a", "bb", "ccc"] {
        outbox.push(Frame::text(text));
    }
    assert_eq!((outbox.len(), outbox.bytes()), (3, 6));
    assert_eq!(texts(&outbox), [&b"a"[..], b"bb", b"ccc"]);
    assert_eq!(outbox.pop().unwrap().payload(), "a");
    assert_eq!(outbox.pop().unwrap().payload(), "bb");
    assert_eq!(outbox.pop().unwrap().payload(), "ccc");
    assert!(outbox.pop().is_none() && outbox.is_empty() && outbox.bytes() == 0);
}

#[test]
fn the_bounds_in_bytes_are_passed_by_one_frame_at_most() {
    let limits = OutboxLimits::new().frames_max(3).bytes_max(4);
    let limits = limits.unacknowledged_frames_max(3).unacknowledged_bytes_max(4);
    let may = |frames, bytes| {
        let waiting = Waiting { frames, bytes };
        assert_eq!(limits.admits(waiting), limits.may_send(waiting));
        limits.admits(waiting)
    };
    assert!(may(0, 0) && may(1, 3) && may(2, 3));
    assert!(!may(1, 4) && !may(1, 1_000) && !may(3, 3) && !may(4, 0));
}

#[test]
fn a_frame_is_found_by_its_key_behind_the_last_fence_and_replaced_with_its_bytes() {
    let key = |name: &str| Policy::Latest(Key::new(name));
    let (a, b) = (Key::new("a"), Key::new("b"));
    let mut outbox = Outbox::default();
    outbox.replace(0, Frame::text("nothing to replace"));
    outbox.replace(1, Frame::text("nothing to replace"));
    assert!(outbox.is_empty() && outbox.place_of(0, &a).is_none());
    for (text, policy) in [("1", Some(key("a"))), ("2", None), ("3", Some(key("b"))), ("4", Some(key("a")))] {
        let frame = Frame::text(text);
        outbox.push(policy.map_or(frame.clone(), |policy| frame.with_policy(policy)));
    }
    assert_eq!((outbox.place_of(0, &a), outbox.place_of(0, &b)), (Some(3), Some(2)));
    assert_eq!(
        (outbox.place_of(3, &a), outbox.place_of(3, &b), outbox.place_of(9, &a)),
        (Some(3), None, None)
    );
    outbox.replace(3, Frame::text("444").with_policy(key("a")));
    outbox.replace(0, Frame::text("11").with_policy(key("a")));
    assert_eq!((texts(&outbox), outbox.bytes()), (vec![&b"11"[..], b"2", b"3", b"444"], 7));
    assert_eq!(outbox.remove(1).unwrap().payload(), "2");
    assert_eq!((texts(&outbox), outbox.bytes()), (vec![&b"11"[..], b"3", b"444"], 6));
    assert_eq!(outbox.remove(0).unwrap().payload(), "11");
    assert_eq!((texts(&outbox), outbox.bytes()), (vec![&b"3"[..], b"444"], 4));
    assert!(outbox.remove(2).is_none());
    assert_eq!((outbox.remove(1).unwrap().payload().len(), outbox.bytes()), (3, 1));
    outbox.push(Frame::text("5").as_fence());
    assert_eq!((outbox.place_of(0, &a), outbox.place_of(0, &b)), (None, None));
    outbox.push(Frame::text("6").with_policy(key("b")));
    assert_eq!((outbox.place_of(0, &a), outbox.place_of(0, &b)), (None, Some(2)));
}

#[test]
fn a_place_in_which_no_frame_is_has_none() {
    for frames in [0, 1, 3] {
        let mut outbox = Outbox::default();
        (0..frames).for_each(|_| outbox.push(Frame::text("a")));
        for beyond in [frames, frames + 1, usize::MAX] {
            outbox.replace(beyond, Frame::text("bb"));
            assert!(outbox.get(beyond).is_none() && outbox.remove(beyond).is_none());
            assert_eq!(outbox.iter_from(beyond).count(), 0);
        }
        assert_eq!((texts(&outbox), outbox.bytes()), (vec![&b"a"[..]; frames], frames));
    }
}

/// Beside what a look at each frame finds.
#[test]
fn what_waits_among_many_is_found_as_among_few() {
    let mut dice = 1_u64;
    let mut roll = |below: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % below
    };
    let keys: Vec<_> = (0..300).map(|number| Key::new(&number.to_string())).collect();
    let (mut outbox, mut indexed) = (Outbox::default(), 0);
    for step in 0..60_000 {
        let key = &keys[roll(keys.len())];
        let frame = Frame::text(step.to_string()).with_policy(Policy::Latest(key.clone()));
        let skip = roll(4) * 20;
        let naive = (skip..outbox.len()).rev().find_map(|place| {
            let frame = outbox.get(place).unwrap();
            let is_it = matches!(frame.policy(), Some(Policy::Latest(known)) if known == key);
            (is_it || frame.is_fence()).then_some(is_it.then_some(place))
        });
        let place = outbox.place_of(skip, key);
        assert_eq!(place, naive.flatten(), "step {step}");
        let many = 150 + 150 * (step / 5_000 % 3);
        let any = roll(outbox.len() + 1);
        let stays = outbox.get(any).is_none_or(|frame| frame.policy().is_some() || frame.is_fence());
        match (roll(100), place) {
            (0, _) => outbox.push(Frame::text("fence").as_fence()),
            (1..10, _) => outbox.push(Frame::text("event")),
            // A state leaves when it is sent, and in no other way; so does a fence.
            (10..20, _) if !stays => drop(outbox.remove(any)),
            (20..30, _) if !stays => outbox.replace(any, Frame::text("what tells of others")),
            (_, Some(place)) => outbox.replace(place, frame),
            (_, None) => outbox.push(frame),
        }
        while outbox.len() > many || (step % 10_000 == 0 && !outbox.is_empty()) {
            outbox.pop();
        }
        indexed += usize::from(matches!(&outbox.0, Kept::Many(many) if many.index.is_some()));
    }
    assert!(indexed > 30_000, "it is looked for in an index: {indexed}");
}

/// As many comparisons of keys for each state that is pushed, however many others wait.
#[test]
fn a_state_is_found_among_ten_thousand_as_fast_as_among_a_hundred() {
    const ROUNDS: usize = 30_000;
    for keys in [100, 1_000, 10_000] {
        let keys: Vec<_> = (0..keys).map(|number| Key::new(&number.to_string())).collect();
        let mut outbox = Outbox::default();
        let push = |outbox: &mut Outbox, key: &Key| {
            let frame = Frame::text("state").with_policy(Policy::Latest(key.clone()));
            match outbox.place_of(0, key) {
                Some(place) => outbox.replace(place, frame),
                None => outbox.push(frame),
            }
        };
        keys.iter().for_each(|key| push(&mut outbox, key));
        compared::take();
        for round in 0..ROUNDS {
            push(&mut outbox, &keys[round * 7_919 % keys.len()]);
            // The client has taken one, which tells of another thing than the next that is said.
            if round % 3 == 0 {
                outbox.pop();
            }
        }
        let each = compared::take() as f64 / ROUNDS as f64;
        assert!(each < 4.0, "{each} comparisons for each, among {}", keys.len());
        assert!(outbox.len() > keys.len() / 2, "{} wait", outbox.len());
    }
}

#[test]
fn a_place_that_another_thing_takes_is_found_by_that_one() {
    let key = |name: &str| Policy::Latest(Key::new(name));
    let [a, b, c] = ["a", "b", "c"].map(Key::new);
    let mut outbox = Outbox::default();
    (0..9).for_each(|_| outbox.push(Frame::text("event")));
    outbox.push(Frame::text("state").with_policy(key("a")));
    (0..200).for_each(|_| outbox.push(Frame::text("event")));
    assert_eq!((outbox.place_of(0, &a), outbox.place_of(0, &b)), (Some(9), None));
    (0..4).for_each(|_| _ = outbox.pop());
    assert!(matches!(&outbox.0, Kept::Many(many) if many.index.is_some()), "it is looked for in an index");
    outbox.replace(5, Frame::text("state").with_policy(key("b")));
    assert_eq!((outbox.place_of(0, &a), outbox.place_of(0, &b)), (None, Some(5)));
    outbox.replace(7, Frame::text("state").with_policy(key("c")));
    outbox.replace(5, Frame::text("event"));
    assert_eq!((outbox.place_of(0, &b), outbox.place_of(0, &c)), (None, Some(7)));
}

#[test]
fn truncation_keeps_the_frame_that_may_be_half_written() {
    let mut outbox = Outbox::default();
    for text in ["a", "bb", "ccc"] {
        outbox.push(Frame::text(text));
    }
    outbox.truncate_to_first();
    assert_eq!((outbox.len(), outbox.bytes()), (1, 1));
}

#[test]
fn the_first_that_are_meant_are_taken_out_with_their_bytes_and_no_others() {
    let filled = || {
        let mut outbox = Outbox::default();
        ["a", "-", "bb", "ccc", "-", "dddd"].into_iter().for_each(|text| outbox.push(Frame::text(text)));
        outbox
    };
    let is_meant = |frame: &Frame| frame.payload() != "-";
    for (from, count, left) in [
        (0, 0, "a - bb ccc - dddd"),
        (0, 1, "- bb ccc - dddd"),
        (1, 1, "a - ccc - dddd"),
        (1, 2, "a - - dddd"),
        (0, 3, "- - dddd"),
        (0, 9, "- -"),
        (6, 2, "a - bb ccc - dddd"),
        (9, 2, "a - bb ccc - dddd"),
    ] {
        let mut outbox = filled();
        outbox.remove_first(from, count, is_meant);
        let texts: Vec<_> = texts(&outbox).into_iter().map(String::from_utf8_lossy).collect();
        assert_eq!(texts.join(" "), left, "{count} from {from}");
        assert_eq!(outbox.bytes(), texts.concat().len());
    }
    let mut outbox = filled();
    outbox.remove_first(0, 9, |_| true);
    assert!(outbox.is_empty() && outbox.bytes() == 0);
    let mut one = Outbox::default();
    one.push(Frame::text("a"));
    one.remove_first(0, 1, is_meant);
    assert!(one.is_empty());
}

/// A client that was behind for a moment may have thousands waiting when it becomes late.
#[test]
fn a_state_is_found_again_after_many_were_taken_out() {
    let (mut outbox, key) = (Outbox::default(), Key::new("a"));
    for n in 0..200 {
        outbox.push(Frame::text(n.to_string()));
    }
    outbox.push(Frame::text("state").with_policy(Policy::Latest(key.clone())));
    (0..100).for_each(|n| outbox.push(Frame::text(n.to_string())));
    assert_eq!(outbox.place_of(0, &key), Some(200));
    outbox.remove_first(0, 150, |frame| frame.policy().is_none());
    assert_eq!(outbox.place_of(0, &key), Some(50));
    outbox.remove_first(0, 1, |frame| frame.policy().is_none());
    assert_eq!(outbox.place_of(0, &key), Some(49));
}

#[test]
fn a_client_is_asked_for_more_than_half_of_what_may_be_unacknowledged() {
    let limits = OutboxLimits::new().unacknowledged_frames_max(80).unacknowledged_bytes_max(800);
    let asked = |frames, bytes| limits.is_to_be_asked(Waiting { frames, bytes });
    assert!(!asked(40, 400) && asked(41, 400) && asked(40, 401));
}

#[test]
fn a_queue_is_crowded_when_an_eighth_of_either_bound_is_left() {
    let limits = OutboxLimits::new().frames_max(80).bytes_max(800);
    let crowded = |frames, bytes| limits.is_crowded(Waiting { frames, bytes });
    assert!(!crowded(70, 0) && crowded(71, 0));
    assert!(!crowded(0, 700) && crowded(0, 701));
    assert!(!crowded(70, 700) && crowded(71, 701));
}
