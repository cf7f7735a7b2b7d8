//! The small values: what they say, and what is said about them.

use std::time::Duration;

use lapwing_presence::{
    Clock, Clocks, Config, Delta, Owner, Presences, Replica, ReplicaConfig, ReplicaConfigError, ReplicaId,
    TrackError, UpError, UpdateError,
};

use crate::support::node;

fn one() -> Presences {
    let mut presences = Presences::new(node(1), Config::default());
    presences.track("room", "ada", Owner(7), b"{}").unwrap();
    presences
}

#[test]
fn clocks_are_what_was_noted() {
    let first = one().clock(node(1)).unwrap();
    let mut clocks = Clocks::new();
    assert!(clocks.is_empty());
    clocks.set(node(3), Clock::ZERO);
    clocks.set(node(2), Clock::ZERO);
    clocks.set(node(3), first);
    assert_eq!((clocks.is_empty(), clocks.len()), (false, 2));
    assert_eq!(clocks.iter().collect::<Vec<_>>(), [(node(2), Clock::ZERO), (node(3), first)]);
    assert_eq!((clocks.seen(node(3)), clocks.seen(node(1))), (Some(first), None));
    assert_eq!(clocks, [(node(3), first), (node(2), Clock::ZERO)].into_iter().collect());
}

#[test]
fn a_delta_says_how_much_it_is() {
    assert!(Delta::default().is_empty() && !Delta::default().has_whole());
    assert_eq!((Delta::default().len(), Delta::default().bytes()), (0, 0));
    let mut presences = one();
    presences.track("hall", "ada", Owner(8), b"{}").unwrap();
    let nothing = [(node(1), Clock::ZERO)].into_iter().collect();
    let delta = presences.extract(&nothing);
    assert_eq!((delta.is_empty(), delta.len(), delta.has_whole()), (false, 2, false));
    assert!(delta.bytes() > 2 * (30 + 3 + 2 + 4));
}

#[test]
fn a_diff_says_how_much_it_is() {
    let mut presences = one();
    assert!(presences.untrack("room", "bob", Owner(7)).is_empty());
    let mut diff = presences.update("room", "ada", Owner(7), b"[]").unwrap();
    assert_eq!((diff.is_empty(), diff.len(), diff.topics()[0].len()), (false, 2, 2));
    assert!(!diff.topics()[0].is_empty());
    diff.absorb(presences.track("hall", "ada", Owner(7), b"{}").unwrap());
    assert_eq!((diff.len(), diff.topics().len()), (3, 2));
    assert_eq!(diff.first_join().map(|entry| entry.meta()), Some(&b"[]"[..]));
    assert!(lapwing_presence::Diff::new().is_empty() && lapwing_presence::Diff::new().first_join().is_none());
}

#[test]
fn ids_say_what_they_were_made_of() {
    let id = ReplicaId::new(7, 3);
    assert_eq!((id.node(), id.incarnation()), (7, 3));
    assert!(ReplicaId::new(7, 4).supersedes(id));
    assert!(
        !id.supersedes(id) && !ReplicaId::new(7, 2).supersedes(id) && !ReplicaId::new(8, 4).supersedes(id)
    );
}

#[test]
fn errors_say_what_is_wrong() {
    let mut presences = one();
    let track = presences.track("room", "ada", Owner(7), b"{}").unwrap_err();
    assert!(matches!(track, TrackError::AlreadyTracked { .. }));
    let said = [
        track.to_string(),
        UpdateError::NotTracked.to_string(),
        UpError::OwnNode.to_string(),
        UpError::TooMany.to_string(),
        UpError::Departed { incarnation: 7 }.to_string(),
        ReplicaConfigError::PeriodOutOfRange.to_string(),
        ReplicaConfigError::DownTooEarly.to_string(),
        ReplicaConfigError::ForgottenTooEarly.to_string(),
    ];
    let expected = [
        "the owner tracks this key in this topic already",
        "the owner does not track this key in this topic",
        "the replica has this node's own number",
        "as many replicas are known as may be",
        "the node's incarnations up to 7 are gone for good",
        "the period is zero or longer than the longest silence",
        "a replica is down after less than twice the longest silence",
        "a replica is forgotten before it is down",
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_a_developer_prints_can_be_read() {
    let presences = one();
    let entry = presences.find("room", "ada", Owner(7)).unwrap();
    let phx_ref = entry.tag().phx_ref();
    assert_eq!(format!("{phx_ref:?}"), format!("\"{phx_ref}\""));
    assert_eq!(format!("{:?}", entry.tag()), format!("Tag({phx_ref})"));
    assert_eq!(format!("{:?}", entry.tag().clock()), "Clock(1)");
    let printed = format!("{entry:?}");
    let expected = format!("key: \"ada\", owner: Owner(7), tag: Tag({phx_ref}), meta: \"{{}}\"");
    assert_eq!(printed, format!("Entry {{ {expected} }}"));
    assert_eq!(format!("{:?}", presences.list("room")), format!("[{printed}]"));
}

#[test]
fn durations_that_contradict_each_other_are_refused() {
    const S: Duration = Duration::from_secs(1);
    let config = || ReplicaConfig::default().period(S).silence_max(S).down_after(S * 2).forget_after(S * 3);
    let checked = |config: ReplicaConfig| Replica::new(node(1), config, S).err();
    assert_eq!(checked(config()), None);
    assert_eq!(checked(ReplicaConfig::default()), None);
    let near = Duration::from_nanos(1);
    let (period, down) = (ReplicaConfigError::PeriodOutOfRange, ReplicaConfigError::DownTooEarly);
    assert_eq!(checked(config().period(Duration::ZERO)), Some(period.clone()));
    assert_eq!(checked(config().period(S + near)), Some(period));
    assert_eq!(checked(config().down_after(S * 2 - near)), Some(down));
    assert_eq!(checked(config().forget_after(S * 2)), Some(ReplicaConfigError::ForgottenTooEarly));
    assert_eq!(checked(config().forget_after(S * 2 + near)), None);
}

#[test]
fn what_was_displaced_stays_away_and_what_its_owner_says_anew_is_shown() {
    let mut goes = one();
    let mut stays = Presences::new(node(2), Config::default());
    stays.replica_up(goes.id()).unwrap();
    stays.merge(&goes.extract(&stays.clocks()));
    let left = stays.list("room").next().unwrap().clone();
    assert!(stays.displace("hall", &left).is_empty(), "there is none of it");
    assert_eq!(stays.displace("room", &left).topics()[0].leaves()[0].tag(), left.tag());
    assert!(stays.displace("room", &left).is_empty(), "it has gone");
    assert_eq!(stays.count("room").presences, 0);
    // It is live after all: a new state of it is shown, and the old one cannot be displaced any more.
    goes.update("room", "ada", Owner(7), b"[]").unwrap();
    assert_eq!(stays.merge(&goes.extract(&stays.clocks())).len(), 1);
    assert!(stays.displace("room", &left).is_empty());
    goes.untrack_all(Owner(7));
    assert_eq!(stays.merge(&goes.extract(&stays.clocks())).len(), 1);
    assert_eq!(stays.count("room").presences, 0);
    // One's own goes as by an untrack: the others hear of it.
    let own = stays.track("hall", "bob", Owner(1), b"{}").unwrap().first_join().unwrap().clone();
    goes.replica_up(stays.id()).unwrap();
    goes.merge(&stays.extract(&goes.clocks()));
    assert_eq!(stays.displace("hall", &own).len(), 1);
    assert_eq!(goes.merge(&stays.extract(&goes.clocks())).len(), 1);
    assert!(stays.untrack_all(Owner(1)).is_empty());
}
