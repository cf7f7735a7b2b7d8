use super::*;

const PEER: Instance = Instance(2);
const HEAD: Bytes = Bytes::from_static(b"head");

fn up(config: RelayConfig) -> Relays {
    let mut relays = Relays::new(config);
    relays.handle_up();
    relays
}

fn hear(relays: &mut Relays, items: &[Item]) -> Vec<RelayOutput> {
    let mut message = wire::begin();
    items.iter().for_each(|item| item.append(&mut message));
    relays.handle_message(PEER, &message.freeze());
    outputs(relays)
}

fn outputs(relays: &mut Relays) -> Vec<RelayOutput> {
    std::iter::from_fn(|| relays.poll_output()).collect()
}

/// All that is said to the peer.
fn said(relays: &mut Relays) -> Vec<Item> {
    let messages = std::iter::from_fn(|| relays.poll_message());
    messages.flat_map(|(_, message)| wire::items(&message).map(Result::unwrap).collect::<Vec<_>>()).collect()
}

fn open(relay: u64) -> Item {
    Item::Open { relay, head: HEAD }
}

/// What the carrier sends of a relay to its owner.
fn data(relay: u64, number: u64, bytes: usize) -> Item {
    let address = Address { sender: Role::Carrier, relay };
    Item::Data { to: vec![(address, number)], bytes: vec![b'x'; bytes].into() }
}

fn owned(relay: u64) -> RelayKey {
    RelayKey { peer: PEER, role: Role::Owner, relay }
}

fn cut(sender: Role, relay: u64, why: Why) -> Item {
    Item::Cut { address: Address { sender, relay }, why }
}

/// Lets time pass up to these tenths of a second; the first tenth at which something is to be said.
fn pass(relays: &mut Relays, from: u64, until: u64) -> Option<u64> {
    (from + 1..=until).find(|tenth| {
        relays.handle_tick(Duration::from_millis(tenth * 100));
        relays.has_something()
    })
}

/// An owner at 20 s, to which a relay was just opened; its head is used.
fn owner(config: RelayConfig) -> Relays {
    let mut relays = up(config);
    assert_eq!(pass(&mut relays, 0, 200), None);
    assert_eq!(hear(&mut relays, &[open(1)]), [RelayOutput::Opened(owned(1), HEAD)]);
    relays.handle_used(owned(1), 4);
    relays
}

#[test]
fn an_owner_says_after_a_second_what_it_has_and_every_five_that_it_lives() {
    let mut relays = owner(RelayConfig::default());
    assert_eq!(pass(&mut relays, 199, 300), Some(210));
    let ack = Item::Ack { address: Address { sender: Role::Owner, relay: 1 }, received: 1, used: 4 };
    assert_eq!(said(&mut relays), std::slice::from_ref(&ack));
    assert!(!relays.has_something());
    assert_eq!(pass(&mut relays, 210, 300), Some(260));
    assert_eq!(said(&mut relays), [ack]);
    // The carrier was last heard at 20 s, and is silent.
    assert_eq!(pass(&mut relays, 260, 400), Some(310));
    said(&mut relays);
    assert_eq!(pass(&mut relays, 310, 400), Some(350));
    assert_eq!(outputs(&mut relays), [RelayOutput::Ended(owned(1), RelayEnd::Lost)]);
    assert_eq!(said(&mut relays), [cut(Role::Owner, 1, Why::Lost)]);
    assert!(relays.is_empty());
}

#[test]
fn a_carrier_loses_a_relay_whose_head_is_not_acknowledged_and_says_that_the_others_live() {
    let mut relays = up(RelayConfig::default());
    assert!(relays.is_empty() && pass(&mut relays, 0, 200).is_none());
    let [lost, lives] = [(); 2].map(|()| relays.open(PEER, HEAD).unwrap());
    assert_eq!((said(&mut relays).len(), relays.len(), relays.is_empty()), (2, 2, false));
    let ack =
        Item::Ack { address: Address { sender: Role::Owner, relay: lives.relay }, received: 1, used: 4 };
    assert_eq!(pass(&mut relays, 200, 249), None);
    assert_eq!(hear(&mut relays, &[ack]), []);
    assert_eq!(pass(&mut relays, 249, 250), Some(250));
    assert_eq!(outputs(&mut relays), [RelayOutput::Ended(lost, RelayEnd::Lost)]);
    let items = said(&mut relays);
    assert_eq!(items[0], cut(Role::Carrier, lost.relay, Why::Lost));
    assert!(matches!(items[1..], [Item::Ack { address, .. }] if address.relay == lives.relay), "{items:?}");
}

#[test]
fn no_time_passes_while_the_engine_is_away_and_a_second_between_two_ticks_at_most() {
    let mut relays = owner(RelayConfig::default());
    relays.handle_down();
    assert!(relays.poll_message().is_none() && !relays.has_something());
    assert_eq!(pass(&mut relays, 200, 1_000), None);
    relays.handle_up();
    assert_eq!(pass(&mut relays, 1_000, 1_009), None);
    relays.handle_tick(Duration::from_secs(500));
    assert!(relays.has_something() && relays.len() == 1);
}

#[test]
fn a_quarter_of_the_window_that_was_used_is_told_at_once() {
    let mut relays = owner(RelayConfig::default().window_bytes(100));
    assert!(!relays.has_something());
    hear(&mut relays, &[data(1, 2, 20), data(1, 3, 1)]);
    relays.handle_used(owned(1), 20);
    assert!(!relays.has_something() && relays.held() == 1);
    relays.handle_used(owned(1), 99);
    assert!(relays.has_something() && relays.held() == 0);
}

#[test]
fn a_quarter_of_what_may_be_under_way_is_told_when_it_has_come_used_or_not() {
    let mut relays = owner(RelayConfig::default().peer_bytes_max(100));
    hear(&mut relays, &[open(2), data(1, 2, 16)]);
    assert!(!relays.has_something(), "the two heads and that are 24");
    hear(&mut relays, &[data(2, 2, 1)]);
    let ack = |relay, used| Item::Ack { address: Address { sender: Role::Owner, relay }, received: 2, used };
    assert_eq!(said(&mut relays), [ack(1, 4), ack(2, 0)]);
    hear(&mut relays, &[data(2, 3, 24)]);
    assert!(!relays.has_something());
    hear(&mut relays, &[data(2, 4, 1)]);
    assert!(
        matches!(said(&mut relays)[..], [Item::Ack { received: 4, .. }]),
        "of those that it does not know"
    );
}

#[test]
fn heads_are_as_large_as_they_may_be() {
    let mut relays = up(RelayConfig::default().head_bytes_max(4));
    assert!(relays.open(PEER, HEAD).is_ok());
    assert_eq!(relays.open(PEER, Bytes::from_static(b"heads")), Err(NotOpened::TooLarge));
    let large = Item::Open { relay: 2, head: Bytes::from_static(b"heads") };
    assert_eq!(hear(&mut relays, &[open(1), large]), [RelayOutput::Opened(owned(1), HEAD)]);
    assert_eq!(said(&mut relays)[0], cut(Role::Owner, 2, Why::Busy));
}

#[test]
fn relays_of_others_have_places_of_their_own() {
    let mut relays = up(RelayConfig::default().owned_max(2));
    relays.open(PEER, HEAD).unwrap();
    relays.open(PEER, HEAD).unwrap();
    assert_eq!(hear(&mut relays, &[open(1), open(2), open(3)]).len(), 2);
    assert_eq!((relays.len(), relays.carried()), (4, 2));
    assert_eq!(said(&mut relays)[0], cut(Role::Owner, 3, Why::Busy));
}

#[test]
fn what_came_and_is_not_used_is_bounded_for_all_together() {
    let mut relays = up(RelayConfig::default().held_bytes_max(8));
    pass(&mut relays, 0, 1);
    let lost = |relay| [RelayOutput::Ended(owned(relay), RelayEnd::Lost), RelayOutput::Dropped(owned(relay))];
    let opened = |relay| RelayOutput::Opened(owned(relay), HEAD);
    assert_eq!(hear(&mut relays, &[open(1), open(2)]), [opened(1), opened(2)]);
    assert_eq!(relays.held(), 8);
    relays.handle_used(owned(1), 4);
    pass(&mut relays, 1, 2);
    assert_eq!(hear(&mut relays, &[data(1, 2, 4)]).len(), 1, "as much as may be");
    let [end, dropped] = lost(2);
    assert_eq!(hear(&mut relays, &[open(3)]), [end, dropped, opened(3)], "it has used nothing for longest");
    assert_eq!(relays.held(), 12, "its program is about to drop that");
    relays.handle_used(owned(2), 4);
    assert_eq!((relays.held(), relays.len()), (8, 2));
    pass(&mut relays, 2, 3);
    let [end, dropped] = lost(1);
    let came = RelayOutput::Data(owned(3), Bytes::from_static(b"x"));
    assert_eq!(hear(&mut relays, &[data(3, 2, 1)]), [end, dropped, came]);
    // Its program drops nothing, nor what has to go next; so there is no room in the end, and nobody goes for that.
    let [end, dropped] = lost(3);
    assert_eq!(hear(&mut relays, &[open(4)]), [end, dropped, opened(4)]);
    assert_eq!((relays.held(), relays.len()), (13, 1));
    assert_eq!(hear(&mut relays, &[open(5)]), []);
    assert_eq!((relays.held(), relays.len()), (13, 1));
    assert_eq!(said(&mut relays).last(), Some(&cut(Role::Owner, 5, Why::Busy)));
    relays.cut(owned(4));
    for relay in [1, 3] {
        relays.handle_used(owned(relay), usize::MAX);
    }
    assert_eq!((relays.held(), relays.is_empty()), (0, true));
    assert_eq!(hear(&mut relays, &[open(6)]), [opened(6)]);
}

#[test]
fn a_side_that_sends_more_than_it_may_loses_its_relay() {
    let mut relays = owner(RelayConfig::default().window_bytes(10).piece_bytes_max(4));
    assert_eq!(hear(&mut relays, &[data(1, 2, 14)]).len(), 1, "a window and a piece");
    let lost = hear(&mut relays, &[data(1, 3, 1)]);
    assert_eq!(lost, [RelayOutput::Ended(owned(1), RelayEnd::Lost)]);
}

#[test]
fn the_end_of_a_side_is_told_and_nothing_comes_behind_it() {
    let mut relays = owner(RelayConfig::default());
    let end = Item::End { address: Address { sender: Role::Carrier, relay: 1 }, number: 2 };
    assert_eq!(hear(&mut relays, &[end]), [RelayOutput::Finished(owned(1))]);
    let lost = hear(&mut relays, &[data(1, 3, 1)]);
    assert_eq!(lost, [RelayOutput::Ended(owned(1), RelayEnd::Lost)]);
}

#[test]
fn what_is_cut_waits_in_no_queue() {
    let mut relays = owner(RelayConfig::default());
    relays.send(owned(1), Bytes::from_static(b"x")).unwrap();
    relays.send(owned(1), Bytes::from_static(b"y")).unwrap();
    assert_eq!((relays.in_flight(PEER), relays.peers[&PEER].queue.len(), relays.ready.len()), (2, 2, 1));
    relays.cut(owned(1));
    assert_eq!((relays.in_flight(PEER), relays.peers[&PEER].queue.len()), (0, 0));
    assert_eq!(said(&mut relays), [cut(Role::Owner, 1, Why::GivenUp)]);
}

#[test]
fn what_cannot_be_read_is_counted() {
    let mut relays = up(RelayConfig::default());
    for count in 1..=3 {
        relays.handle_message(PEER, &Bytes::from_static(&[0xff, 0xff]));
        assert_eq!(relays.unreadable(), count);
    }
}

#[test]
fn at_the_bound_of_peers_one_is_forgotten_that_has_no_relays_and_no_other() {
    let hear_of = |relays: &mut Relays, from: u64, item: Item| {
        let mut message = wire::begin();
        item.append(&mut message);
        relays.handle_message(Instance(from), &message.freeze());
        outputs(relays)
    };
    let mut relays = owner(RelayConfig::default().peers_max(2));
    assert_eq!(hear_of(&mut relays, 3, open(1)).len(), 1);
    assert_eq!(hear_of(&mut relays, 4, open(1)), [], "both have relays");
    assert_eq!(relays.open(Instance(4), HEAD), Err(NotOpened::Full));
    relays.send(owned(1), Bytes::from_static(b"x")).unwrap();
    assert_eq!(hear_of(&mut relays, 3, cut(Role::Carrier, 1, Why::GivenUp)).len(), 1);
    assert_eq!(hear_of(&mut relays, 4, open(1)).len(), 1);
    let (to, _) = relays.poll_message().unwrap();
    assert_eq!((to, relays.poll_message()), (PEER, None), "what waits for another goes on waiting");
}
