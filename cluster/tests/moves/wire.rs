//! The bytes of moves: as they were, and whatever else arrives.

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    moves::{
        MoveConfig, MoveOutput, Moves,
        wire::{Item, MoveWireError, VERSION, Why, begin, items},
    },
};

use crate::dice::Dice;

fn all() -> Vec<Item> {
    let number = u64::MAX;
    let bytes = Bytes::from_static(b"bytes");
    let mut all = vec![
        Item::Offer { number: 1, about: bytes.clone() },
        Item::Offer { number, about: Bytes::new() },
        Item::Piece { number, total: 300, offset: 295, bytes: bytes.clone() },
        Item::Piece { number: 0, total: 0, offset: 0, bytes: Bytes::new() },
        Item::Released { number },
        Item::Gone { number: 128 },
        Item::Have { number, bytes: number },
        Item::Ready { number: 0 },
        Item::Taken { number },
    ];
    let whys = [Why::Unwanted, Why::Busy, Why::TooLarge, Why::Unknown];
    all.extend(whys.map(|why| Item::Refused { number: 7, why }));
    all
}

fn written(all: &[Item]) -> Bytes {
    let mut message = begin();
    all.iter().for_each(|item| item.append(&mut message));
    message.freeze()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A later release must read what this one wrote, and this one says what it writes.
#[test]
fn the_frozen_bytes_of_version_1_are_written_and_read() {
    let frozen: Vec<&str> = include_str!("../data/move-1.txt").lines().collect();
    let written: Vec<String> = all().iter().map(|item| hex(&written(std::slice::from_ref(item)))).collect();
    assert_eq!(frozen, written);
}

#[test]
fn what_is_written_is_read() {
    let read: Result<Vec<_>, _> = items(&written(&all())).collect();
    assert_eq!(read, Ok(all()));
    for item in all() {
        assert_eq!(items(&written(std::slice::from_ref(&item))).collect::<Vec<_>>(), [Ok(item)]);
    }
    assert_eq!(items(&begin().freeze()).count(), 0);
}

#[test]
fn what_ends_too_soon_or_is_not_known_is_an_error_and_the_last_thing_read() {
    for item in all() {
        let whole = written(&[item]);
        for len in 2..whole.len() {
            let read: Vec<_> = items(&whole.slice(..len)).collect();
            assert_eq!(read, [Err(MoveWireError::Length)], "{len} of {whole:?}");
        }
    }
    let read = |bytes: &'static [u8]| items(&Bytes::from_static(bytes)).collect::<Vec<_>>();
    assert_eq!(read(b""), [Err(MoveWireError::Length)]);
    assert_eq!(read(&[2, 4, 1]), [Err(MoveWireError::Version(2))]);
    assert_eq!(read(&[VERSION, 9, 1]), [Err(MoveWireError::Kind(9))]);
    assert_eq!(read(&[VERSION, 0]), [Err(MoveWireError::Kind(0))]);
    assert_eq!(read(&[VERSION, 8, 1, 4]), [Err(MoveWireError::Value)]);
    assert_eq!(read(&[VERSION, 4, 1, 9, 4, 1]), [Ok(Item::Gone { number: 1 }), Err(MoveWireError::Kind(9))]);
    let too_large = [VERSION, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2];
    assert_eq!(items(&Bytes::copy_from_slice(&too_large)).collect::<Vec<_>>(), [Err(MoveWireError::Value)]);
}

/// Whatever peers say, in whatever order: it is read or refused, and a node holds no more of it than it may.
#[test]
fn whatever_comes_is_within_the_bounds() {
    let mut dice = Dice::new(7);
    let config = MoveConfig::default().incoming_max(3).gathering_bytes_max(400).replies_max(4).peers_max(2);
    let mut moves = Moves::new(config);
    moves.handle_up();
    let mut arrived = 0;
    for step in 0..50_000 {
        let number = step / 20 + dice.below(6);
        let bytes = Bytes::from(vec![b'x'; dice.below(200) as usize]);
        let item = match dice.below(9) {
            0..=1 => Item::Offer { number, about: bytes },
            2..=4 => Item::Piece { number, total: bytes.len() as u64 + dice.below(2) * 50, offset: 0, bytes },
            5 => Item::Released { number },
            6 => Item::Gone { number },
            _ => all()[dice.below(all().len() as u64) as usize].clone(),
        };
        let mut message = written(&[item]).to_vec();
        if dice.one_in(10) {
            let at = dice.below(message.len() as u64) as usize;
            message[at] = dice.below(256) as u8;
        }
        if dice.one_in(50) {
            moves.handle_gone(Instance(dice.below(3)));
        }
        moves.handle_message(Instance(dice.below(3)), &message.into());
        while let Some(output) = moves.poll_output() {
            match output {
                MoveOutput::Offered(key, _) => assert!(moves.accept(key)),
                MoveOutput::Arrived(key, _) => {
                    arrived += 1;
                    assert!(if dice.one_in(2) { moves.ready(key) } else { moves.refuse(key) });
                }
                _ => {}
            }
        }
        assert!(moves.incoming() <= 3 && moves.held().1 <= 400 && moves.outgoing() == 0);
        if dice.one_in(50) {
            while moves.poll_message().is_some() {}
        }
    }
    assert!(arrived > 50 && moves.unreadable() > 50, "{arrived}, {}", moves.unreadable());
}

#[test]
fn an_error_names_what_it_cannot_read() {
    let [version, kind] = [MoveWireError::Version(7), MoveWireError::Kind(8)].map(|error| error.to_string());
    assert!(version.contains('7') && kind.contains('8'));
    assert_ne!(MoveWireError::Length.to_string(), MoveWireError::Value.to_string());
}
