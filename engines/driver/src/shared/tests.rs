use lapwing_cluster::{
    Config, Identity,
    wire::{Beat, Message, Publish, Tops},
};
use tokio::sync::mpsc;

use super::*;
use crate::inbox::Room;

const PEER: Instance = Instance(2);

fn beat(top: u64, changed: Vec<(Key, u64)>) -> Event {
    let tops = Tops { top, since: top - 1, lost: 0, part: (0, 1), changed };
    let beat = Beat { number: 1, name: "two".into(), versions: (1, 3), is_draining: false, tops };
    Event::Message { channel: Channel::Control, bytes: Message::Beat(beat).encode(PEER) }
}

#[test]
fn what_finds_no_room_is_a_loss_before_what_is_behind_it() {
    let identity = Identity { app: "chat".into(), name: "one".into(), instance: Instance(1) };
    let node = Node::new(identity, Config::default(), Duration::ZERO);
    let (tx, _rx) = mpsc::unbounded_channel();
    // That the engine is up takes all the room that there is.
    let inbox = Inbox::new(tx, Room::new(1, 1_000));
    let shared = Arc::new(Shared::new(inbox, node, None, RelayConfig::default(), None));
    shared.handle(&mut vec![Event::Up, beat(9, vec![])]);
    assert!(matches!(shared.subscribe("room:1"), Wanted::Waiting(_)));
    let Some(Work::Subscribe(channels)) = shared.next_work() else { panic!("it subscribes") };
    let Some(Channel::Topics(key)) = channels.last().copied() else { panic!("{channels:?}") };
    shared.handle(&mut vec![Event::Subscribed(channels)]);
    let (topic, event, kind) = ("room:1".into(), "said".into(), PayloadKind::Json);
    let publish =
        Publish { number: 10, prev: 3, topic, event, kind, slow: None, payload: Bytes::from_static(b"{}") };
    let bytes = Message::Publish(publish).encode(PEER);
    let dropped = Event::Message { channel: Channel::Topics(key), bytes };
    shared.handle(&mut vec![dropped, beat(10, vec![(key, 10)])]);
    assert_eq!(shared.stats().overflowed, 1);
    let bytes = Message::Ask { key, after: 9, upto: 10 }.encode(Instance(1));
    let ask = Work::Publish { number: None, channel: Channel::Node(PEER), bytes };
    assert!(std::iter::from_fn(|| shared.next_work()).any(|work| work == ask));
}
