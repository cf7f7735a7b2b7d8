use proptest::prelude::*;

use super::*;

const BREACH: CloseReason = CloseReason::Protocol(1002);

/// What may happen to a connection, in whatever order the network and the driver bring it about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happens {
    WeClose,
    PeerCloses,
    Breach,
    Superseded,
    /// The driver has nothing left to write, and does what is due then.
    Written,
    Quiet,
    PeerEnds,
    Lost,
}

/// A connection as its driver and the peer see it.
#[derive(Debug)]
struct World {
    closing: Closing,
    close_sent: bool,
    shut_down: bool,
    /// The peer closed or broke the protocol, so that nothing it says counts.
    is_deaf: bool,
    /// By whose fault the peer may be in the middle of sending.
    failed: bool,
    peer_ended: bool,
    lost: bool,
}

impl World {
    fn new() -> Self {
        Self {
            closing: Closing::open(),
            close_sent: false,
            shut_down: false,
            is_deaf: false,
            failed: false,
            peer_ended: false,
            lost: false,
        }
    }

    /// Whether this can happen here: a driver decodes, discards and shuts down only when it is told to.
    fn is_possible(&self, happens: Happens) -> bool {
        let closing = &self.closing;
        let is_reading = closing.input() != Input::Leave;
        match happens {
            Happens::WeClose | Happens::Superseded => closing.is_open(),
            Happens::PeerCloses | Happens::Breach => closing.input() == Input::Decode && !self.peer_ended,
            Happens::Written => !closing.is_done(),
            Happens::Quiet | Happens::PeerEnds => is_reading && !self.peer_ended,
            Happens::Lost => !closing.is_done(),
        }
    }

    fn apply(&mut self, happens: Happens) {
        match happens {
            Happens::WeClose => self.closing.handle_close(CloseReason::Disconnected),
            Happens::PeerCloses => {
                self.is_deaf = true;
                self.closing.handle_peer_close();
            }
            Happens::Breach => {
                (self.is_deaf, self.failed) = (true, true);
                self.closing.handle_breach(BREACH);
            }
            Happens::Superseded => {
                (self.is_deaf, self.failed, self.close_sent) = (true, true, true);
                self.closing.handle_superseded();
            }
            Happens::Written => self.write(),
            Happens::Quiet => self.closing.handle_quiet(),
            Happens::PeerEnds => {
                self.peer_ended = true;
                self.closing.handle_peer_end();
            }
            Happens::Lost => {
                self.lost = true;
                self.closing.handle_lost();
            }
        }
    }

    fn write(&mut self) {
        if self.closing.close_due().is_some() {
            assert!(!self.close_sent, "a second close frame");
            self.close_sent = true;
            self.closing.handle_close_queued();
        } else if self.closing.is_finishing() {
            assert!(self.close_sent && !self.shut_down, "shut down before the close frame, or twice");
            self.shut_down = true;
            self.closing.handle_shut_down();
        }
    }

    fn check(&self) {
        let Self { closing, .. } = self;
        if self.is_deaf {
            assert_ne!(closing.input(), Input::Decode, "what comes behind the end has an effect");
        }
        if self.close_sent {
            assert!(!closing.is_sending(), "something may be sent after the close frame");
            assert_eq!(closing.close_due(), None);
        } else if !closing.is_done() {
            assert!(closing.is_sending(), "what waits may not be sent, and no close frame says why");
        }
        if self.is_deaf && self.close_sent && !self.shut_down && !closing.is_done() {
            assert!(closing.is_finishing(), "both have closed, and the server waits");
        }
        if self.failed && !self.peer_ended && !self.lost {
            assert!(!closing.is_done(), "the socket is closed with bytes unread");
            assert_eq!(closing.input(), Input::Discard, "a peer that only writes is never heard out");
        }
        if self.lost {
            assert!(closing.is_done());
        }
        if closing.is_done() && self.is_deaf && !self.lost {
            assert!(self.shut_down, "the peer got no close frame");
        }
    }
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    use Happens::*;
    let each = prop::sample::select(vec![
        WeClose, PeerCloses, Breach, Superseded, Written, Written, Written, Quiet, Quiet, PeerEnds, Lost,
    ]);
    prop::collection::vec(each, 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_in_whatever_order_things_happen(happenings in happenings()) {
        let mut world = World::new();
        for happens in happenings {
            if world.is_possible(happens) {
                let before = world.closing;
                world.apply(happens);
                world.check();
                prop_assert!(!before.is_done() || world.closing.is_done(), "done, and then not");
            }
        }
        // Who has ended it once gets to its end by writing and by the peer's end alone.
        if world.is_deaf {
            for happens in [Happens::Written, Happens::Written, Happens::Quiet, Happens::PeerEnds] {
                if world.is_possible(happens) {
                    world.apply(happens);
                    world.check();
                }
            }
            prop_assert!(world.closing.is_done(), "{world:?} has no end");
        }
    }
}

/// Plays what happens and returns the machine.
fn after(happenings: &[Happens]) -> Closing {
    let mut world = World::new();
    for happens in happenings {
        assert!(world.is_possible(*happens), "{happens:?} after {world:?}");
        world.apply(*happens);
        world.check();
    }
    world.closing
}

#[test]
fn the_peer_closes_first_and_is_answered() {
    use Happens::*;
    assert_eq!(after(&[PeerCloses]).close_due(), Some(CloseReason::Client));
    assert_eq!(after(&[PeerCloses]).input(), Input::Leave);
    assert!(after(&[PeerCloses, Written]).is_finishing());
    assert!(after(&[PeerCloses, Written, Written, Quiet]).is_done());
}

#[test]
fn we_close_first_and_hear_the_peers_close() {
    use Happens::*;
    let waiting = after(&[WeClose, Written]);
    assert_eq!((waiting.input(), waiting.is_finishing()), (Input::Decode, false));
    assert!(after(&[WeClose, Written, PeerCloses]).is_finishing());
    assert!(after(&[WeClose, Written, PeerCloses, Written, Quiet]).is_done());
    assert!(after(&[WeClose, Written, PeerEnds]).is_done());
    // What crossed our close is still decoded, to find the peer's.
    assert_eq!(after(&[WeClose]).input(), Input::Decode);
}

#[test]
fn a_failed_connection_is_read_until_the_peers_end() {
    use Happens::*;
    assert_eq!(after(&[Breach]).close_due(), Some(BREACH));
    let hearing = after(&[Breach, Written, Written, Quiet]);
    assert_eq!((hearing.input(), hearing.is_done()), (Input::Discard, false));
    assert!(after(&[Breach, Written, Written, PeerEnds]).is_done());
    // A peer that has ended its side may still listen.
    let ended = after(&[Breach, PeerEnds]);
    assert_eq!((ended.close_due(), ended.input()), (Some(BREACH), Input::Leave));
    assert!(after(&[Breach, PeerEnds, Written, Written]).is_done());
    // Behind our own close, too.
    assert!(after(&[WeClose, Written, Breach]).is_finishing());
    assert_eq!(after(&[WeClose, Breach]).close_due(), Some(BREACH));
}

#[test]
fn a_connection_without_a_close_frame_is_lost() {
    use Happens::*;
    assert!(after(&[PeerEnds]).is_done());
    assert!(after(&[WeClose, PeerEnds]).is_done());
    assert!(after(&[Lost]).is_done());
}

#[test]
fn a_connection_that_begins_with_its_end_hears_the_peer_out() {
    for (mut closing, is_done) in [(Closing::failed(), false), (Closing::answered(), true)] {
        assert!(closing.is_finishing() && !closing.is_sending());
        closing.handle_shut_down();
        assert_eq!(closing.input(), Input::Discard);
        closing.handle_quiet();
        assert_eq!(closing.is_done(), is_done);
        closing.handle_peer_end();
        assert!(closing.is_done());
    }
}
