//! The nodes with their programs, what is under way between them, and time.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    relay::{NotSent, RelayConfig, RelayEnd, RelayKey, RelayOutput, Relays, Role},
};

use crate::dice::Dice;

const NODES: usize = 3;
const TICK: Duration = Duration::from_millis(100);

const PEER_BYTES_MAX: usize = 600;
const PIECE_BYTES_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 32;
const HELD_BYTES_MAX: usize = 1_000;
const BATCH_BYTES_MAX: usize = 300;
const CARRIED_MAX: usize = 8;
const OWNED_MAX: usize = 10;

fn config() -> RelayConfig {
    RelayConfig::default()
        .window_bytes(200)
        .piece_bytes_max(PIECE_BYTES_MAX)
        .head_bytes_max(HEAD_BYTES_MAX)
        .peer_bytes_max(PEER_BYTES_MAX)
        .held_bytes_max(HELD_BYTES_MAX)
        .batch_bytes_max(BATCH_BYTES_MAX)
        .carried_max(CARRIED_MAX)
        .owned_max(OWNED_MAX)
        .controls_max(20)
        .ack_every(Duration::from_millis(200))
        .ack_timeout(Duration::from_secs(1))
        .say_every(Duration::from_secs(1))
        .silence_max(Duration::from_secs(3))
        .room_timeout(Duration::from_secs(2))
}

/// A relay, whoever names it: its carrier, and that one's number.
type Name = (Instance, u64);

/// What both sides gave, heard and were told.
struct Story {
    owner: Instance,
    head: Bytes,
    was_opened: bool,
    carrier: Side,
    owned: Side,
}

/// One side of it.
#[derive(Default)]
struct Side {
    gave: Vec<u8>,
    got: Vec<u8>,
    unused: usize,
    /// So many bytes its program uses, and no more, as a client that reads no further; none of those that use all.
    stops_after: Option<usize>,
    has_finished: bool,
    /// It heard that the other side sends nothing more.
    is_finished: bool,
    waits_for_room: bool,
    /// It heard the end, or has cut the relay.
    is_over: bool,
}

struct Program {
    instance: Instance,
    relays: Relays,
}

struct Message {
    from: Instance,
    to: Instance,
    bytes: Bytes,
}

pub(crate) struct World {
    dice: Dice,
    programs: Vec<Program>,
    stories: BTreeMap<Name, Story>,
    under_way: Vec<Message>,
    /// The dead, and who has not heard of it.
    dead: Vec<(Instance, Vec<Instance>)>,
    instances: u64,
    now: Duration,
    /// One message in so many is lost, comes twice, overtakes others; 0 for none.
    losses: u64,
    repeats: u64,
    overtakes: u64,
    /// One side in so many uses nothing; 0 for none.
    hoarders: u64,
    pieces: u32,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut one_in = |least: u64| if dice.one_in(2) { 0 } else { least + dice.below(40) };
        let (losses, repeats, overtakes, hoarders) = (one_in(4), one_in(3), one_in(2), one_in(1).min(8));
        let mut world = Self {
            dice,
            programs: Vec::new(),
            stories: BTreeMap::new(),
            under_way: Vec::new(),
            dead: Vec::new(),
            instances: 0,
            now: Duration::ZERO,
            losses,
            repeats,
            overtakes,
            hoarders,
            pieces: 0,
        };
        for _ in 0..NODES {
            let program = world.start();
            world.programs.push(program);
        }
        world
    }

    pub(crate) fn run(&mut self, steps: u32) {
        for _ in 0..steps {
            match self.dice.below(100) {
                0..12 => self.open(),
                12..30 => self.send(),
                30..36 => self.broadcast(),
                36..50 => self.use_some(),
                50..54 => self.finish(),
                54..56 => self.cut(),
                56..70 => self.hand_over(),
                70..90 => self.deliver(),
                90..97 => self.tick(),
                97 => self.engine_fails(),
                98 => self.somebody_is_thought_dead(),
                _ => self.somebody_dies(),
            }
            self.check_bounds();
        }
    }

    /// From here on nothing goes wrong: everything has to come to its end.
    pub(crate) fn heal(&mut self) {
        (self.losses, self.repeats, self.overtakes) = (0, 0, 0);
        for program in &mut self.programs {
            program.relays.handle_up();
        }
        for (instance, unaware) in std::mem::take(&mut self.dead) {
            for node in unaware {
                self.tell_gone(node, instance);
            }
        }
        self.settle(60);
        self.check_stories();
        self.go_on();
        self.check_stories();
        let left: Vec<Name> = self.stories.keys().copied().collect();
        for name in left {
            for role in [Role::Carrier, Role::Owner] {
                self.finish_side(name, role);
            }
        }
        self.settle(60);
        // Whoever has not used something holds on to it no longer.
        for (name, role) in self.unread() {
            self.use_up(name, role, usize::MAX);
        }
        self.settle(60);
        for Program { instance, relays } in &self.programs {
            assert_eq!((relays.is_empty(), relays.len()), (true, 0), "{instance} still has some");
            assert_eq!(relays.held(), 0, "{instance} still counts some");
            for peer in (1..=self.instances).map(Instance) {
                assert_eq!(relays.in_flight(peer), 0, "{instance} still counts some for {peer}");
            }
            assert_eq!(relays.unreadable(), 0);
        }
    }

    fn check_stories(&self) {
        for ((carrier, number), story) in &self.stories {
            let (name, owner) = (format!("{carrier} {number}"), &story.owned);
            // A relay that lasts lasts at both sides, and has brought over what was given.
            if story.was_opened && !self.is_dead(*carrier) && !self.is_dead(story.owner) {
                assert_eq!(story.carrier.is_over, owner.is_over, "{name}: one side alone is left");
            }
            if !story.carrier.is_over && !self.is_dead(*carrier) {
                assert!(story.was_opened, "{name} neither began nor ended");
                assert_eq!(story.carrier.got, owner.gave, "{name}: down");
                assert_eq!(owner.got, story.carrier.gave, "{name}: up");
                let waits = |side: &Side| side.waits_for_room && !side.has_finished;
                // An owner takes its time.
                let waits_for_owner = owner.stops_after.is_none() && waits(&story.carrier);
                assert!(!waits(owner) && !waits_for_owner, "{name} waits for room");
            }
        }
    }

    /// Law 4: whoever uses what it has is stopped by nobody who does not, however much those have been sent.
    fn go_on(&mut self) {
        let sides = self.sides(|side| !side.has_finished);
        let uses = |world: &mut Self, name, role: Role| world.side(name, role.other()).stops_after.is_none();
        let (going_on, stuck): (Vec<_>, Vec<_>) = sides
            .into_iter()
            .partition(|(name, role)| uses(self, *name, *role) && uses(self, *name, role.other()));
        for _ in 0..8 {
            for (name, role) in going_on.iter().chain(&stuck) {
                let piece = self.piece(PIECE_BYTES_MAX);
                if !self.side(*name, *role).waits_for_room {
                    self.send_to(*name, *role, &piece);
                }
            }
            self.settle(1);
        }
        self.settle(60);
        for (name, role) in going_on {
            assert!(!self.side(name, role).is_over, "{name:?} {role:?} was stopped by others");
        }
    }

    /// So many ticks, each followed by all that it leads to.
    fn settle(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.tick();
            loop {
                for (name, role) in self.unread() {
                    let bytes = self.side(name, role).stops_after.unwrap_or(usize::MAX);
                    self.use_up(name, role, bytes);
                }
                for at in 0..NODES {
                    while self.hand_over_of(at) {}
                }
                if self.under_way.is_empty() {
                    break;
                }
                while !self.under_way.is_empty() {
                    self.deliver();
                }
                self.check_bounds();
            }
        }
    }

    fn start(&mut self) -> Program {
        self.instances += 1;
        let mut relays = Relays::new(config());
        relays.handle_up();
        Program { instance: Instance(self.instances), relays }
    }

    fn open(&mut self) {
        let from = self.dice.below(NODES as u64) as usize;
        let to = (from + 1 + self.dice.below(NODES as u64 - 1) as usize) % NODES;
        let owner = self.programs[to].instance;
        let head = self.piece(HEAD_BYTES_MAX);
        let mut stops_after = || {
            let stops = self.hoarders > 0 && self.dice.one_in(self.hoarders);
            stops.then(|| self.dice.below(100) as usize)
        };
        let (at_carrier, at_owner) = (stops_after(), stops_after());
        let program = &mut self.programs[from];
        if let Ok(key) = program.relays.open(owner, head.clone()) {
            let carrier = Side { gave: head.to_vec(), stops_after: at_carrier, ..Side::default() };
            let owned = Side { stops_after: at_owner, ..Side::default() };
            let story = Story { owner, head, was_opened: false, carrier, owned };
            assert!(self.stories.insert((program.instance, key.relay), story).is_none());
        }
        self.hear(from);
    }

    /// Bytes that were never sent before.
    fn piece(&mut self, bytes_max: usize) -> Bytes {
        self.pieces += 1;
        let mut piece = self.pieces.to_be_bytes().to_vec();
        piece.resize(4 + self.dice.below(bytes_max as u64 - 4) as usize, b'.');
        piece.into()
    }

    fn send(&mut self) {
        let sides = self.sides(|side| !side.has_finished && !side.waits_for_room);
        if let Some((name, role)) = self.pick(&sides) {
            let piece = self.piece(PIECE_BYTES_MAX);
            self.send_to(name, role, &piece);
        }
    }

    /// The same piece for all that a node owns.
    fn broadcast(&mut self) {
        let from = self.programs[self.dice.below(NODES as u64) as usize].instance;
        let piece = self.piece(PIECE_BYTES_MAX);
        for (name, role) in self.sides(|side| !side.has_finished && !side.waits_for_room) {
            if role == Role::Owner && self.stories[&name].owner == from {
                self.send_to(name, role, &piece);
            }
        }
    }

    fn send_to(&mut self, name: Name, role: Role, piece: &Bytes) {
        let Some((relays, key)) = self.relays_of(name, role) else { return };
        match relays.send(key, piece.clone()) {
            Ok(_) => self.side(name, role).gave.extend_from_slice(piece),
            Err(NotSent::Full) => self.side(name, role).waits_for_room = true,
            Err(error) => panic!("{name:?} {role:?}: {error:?}"),
        }
    }

    fn use_some(&mut self) {
        let sides = self.unread();
        if let Some((name, role)) = self.pick(&sides) {
            let bytes = 1 + self.dice.below(200) as usize;
            let bytes = bytes.min(self.side(name, role).stops_after.unwrap_or(usize::MAX));
            self.use_up(name, role, bytes);
        }
    }

    fn use_up(&mut self, name: Name, role: Role, bytes: usize) {
        let side = self.side(name, role);
        let bytes = bytes.min(side.unused);
        side.unused -= bytes;
        side.stops_after = side.stops_after.map(|left| left.saturating_sub(bytes));
        if let Some((relays, key)) = self.node_of(name, role) {
            relays.handle_used(key, bytes);
        }
    }

    fn finish(&mut self) {
        let sides = self.sides(|side| !side.has_finished);
        if let Some((name, role)) = self.pick(&sides) {
            self.finish_side(name, role);
        }
    }

    fn finish_side(&mut self, name: Name, role: Role) {
        let side = self.side(name, role);
        if side.is_over || std::mem::replace(&mut side.has_finished, true) {
            return;
        }
        if role == Role::Owner && !self.stories[&name].was_opened {
            return;
        }
        if let Some((relays, key)) = self.relays_of(name, role) {
            relays.finish(key).unwrap();
        }
    }

    fn cut(&mut self) {
        let sides = self.sides(|_| true);
        if let Some((name, role)) = self.pick(&sides) {
            if let Some((relays, key)) = self.relays_of(name, role) {
                relays.cut(key);
            }
            let side = self.side(name, role);
            (side.is_over, side.unused) = (true, 0);
        }
    }

    fn hand_over(&mut self) {
        let at = self.dice.below(NODES as u64) as usize;
        self.hand_over_of(at);
    }

    fn hand_over_of(&mut self, at: usize) -> bool {
        let from = self.programs[at].instance;
        let Some((to, bytes)) = self.programs[at].relays.poll_message() else { return false };
        assert!(bytes.len() <= BATCH_BYTES_MAX + PIECE_BYTES_MAX + 40, "a message of {} bytes", bytes.len());
        self.under_way.push(Message { from, to, bytes });
        true
    }

    fn deliver(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let is_first = self.overtakes == 0 || !self.dice.one_in(self.overtakes);
        let at = if is_first { 0 } else { self.dice.below(self.under_way.len() as u64) as usize };
        let Message { from, to, bytes } = self.under_way.remove(at);
        if self.losses > 0 && self.dice.one_in(self.losses) {
            return;
        }
        if self.repeats > 0 && self.dice.one_in(self.repeats) {
            self.under_way.push(Message { from, to, bytes: bytes.clone() });
        }
        if let Some(at) = self.programs.iter().position(|program| program.instance == to) {
            self.programs[at].relays.handle_message(from, &bytes);
            self.hear(at);
        }
    }

    fn tick(&mut self) {
        self.now += TICK;
        for at in 0..NODES {
            self.programs[at].relays.handle_tick(self.now);
            self.hear(at);
        }
    }

    /// The engine goes away for one node or all, or comes back; what was under way is lost, all of it or some.
    fn engine_fails(&mut self) {
        let alone = self.dice.below(2 * NODES as u64) as usize;
        let comes_back = self.dice.one_in(2);
        for (at, program) in self.programs.iter_mut().enumerate() {
            if alone < NODES && alone != at {
                continue;
            }
            if comes_back { program.relays.handle_up() } else { program.relays.handle_down() }
        }
        if !comes_back {
            let left = self.dice.below(self.under_way.len() as u64 + 1) as usize;
            self.under_way.truncate(left);
        } else {
            for program in &mut self.programs {
                program.relays.handle_up();
            }
        }
    }

    fn somebody_is_thought_dead(&mut self) {
        let at = self.dice.below(NODES as u64) as usize;
        let peer = (at + 1) % NODES;
        let peer = self.programs[peer].instance;
        self.programs[at].relays.handle_gone(peer);
        self.hear(at);
    }

    fn somebody_dies(&mut self) {
        let at = self.dice.below(NODES as u64) as usize;
        let started = self.start();
        let died = std::mem::replace(&mut self.programs[at], started).instance;
        let others = self.programs.iter().map(|program| program.instance).collect();
        self.dead.push((died, others));
        for (instance, unaware) in std::mem::take(&mut self.dead) {
            let mut still = Vec::new();
            for node in unaware {
                if self.dice.one_in(3) { self.tell_gone(node, instance) } else { still.push(node) }
            }
            self.dead.push((instance, still));
        }
    }

    fn tell_gone(&mut self, node: Instance, died: Instance) {
        if let Some(at) = self.programs.iter().position(|program| program.instance == node) {
            self.programs[at].relays.handle_gone(died);
            self.hear(at);
        }
    }

    /// What a program hears, held against the story.
    fn hear(&mut self, at: usize) {
        while let Some(output) = self.programs[at].relays.poll_output() {
            let instance = self.programs[at].instance;
            let key = *match &output {
                RelayOutput::Opened(key, _)
                | RelayOutput::Data(key, _)
                | RelayOutput::Finished(key)
                | RelayOutput::Room(key)
                | RelayOutput::Ended(key, _)
                | RelayOutput::Dropped(key) => key,
            };
            let name = if key.role == Role::Carrier { (instance, key.relay) } else { (key.peer, key.relay) };
            let story = self.stories.get_mut(&name).expect("nobody opened it");
            let (here, there) = match key.role {
                Role::Carrier => (&mut story.carrier, &story.owned),
                Role::Owner => (&mut story.owned, &story.carrier),
            };
            let is_dropped = matches!(output, RelayOutput::Dropped(_));
            assert_eq!(here.is_over, is_dropped, "{name:?} {:?}: told after its end: {output:?}", key.role);
            match output {
                RelayOutput::Opened(_, head) => {
                    assert!(!std::mem::replace(&mut story.was_opened, true), "{name:?} began twice");
                    assert_eq!((story.owner, &story.head), (instance, &head), "{name:?}");
                    (here.got, here.unused) = (head.to_vec(), head.len());
                }
                RelayOutput::Data(_, bytes) => {
                    here.got.extend_from_slice(&bytes);
                    here.unused += bytes.len();
                    assert!(there.gave.starts_with(&here.got), "{name:?} {:?}: no prefix", key.role);
                }
                RelayOutput::Finished(_) => {
                    assert!(there.has_finished && there.gave == here.got, "{name:?}: finished too soon");
                    assert!(!std::mem::replace(&mut here.is_finished, true), "{name:?}: finished twice");
                }
                RelayOutput::Room(_) => here.waits_for_room = false,
                RelayOutput::Dropped(_) => {
                    let unused = std::mem::take(&mut here.unused);
                    assert!(unused > 0, "{name:?} {:?}: there is nothing to be dropped", key.role);
                    self.programs[at].relays.handle_used(key, unused);
                }
                RelayOutput::Ended(_, end) => {
                    here.is_over = true;
                    if end == RelayEnd::Done {
                        let owner = &story.owned;
                        assert!(owner.has_finished, "{name:?}: done before its answer was");
                        assert_eq!(story.carrier.got, owner.gave, "{name:?}: not all of its answer came");
                    }
                }
            }
        }
    }

    fn check_bounds(&self) {
        for Program { instance, relays } in &self.programs {
            for peer in (1..=self.instances).map(Instance) {
                let in_flight = relays.in_flight(peer);
                assert!(in_flight <= PEER_BYTES_MAX + PIECE_BYTES_MAX, "{instance}: {in_flight} to {peer}");
            }
            // What the programs have not used, of relays that are over as of others.
            let held: usize = self
                .stories
                .iter()
                .map(|(name, story)| {
                    let at_carrier = if name.0 == *instance { story.carrier.unused } else { 0 };
                    let at_owner = if story.owner == *instance { story.owned.unused } else { 0 };
                    at_carrier + at_owner
                })
                .sum();
            assert_eq!(relays.held(), held, "{instance} does not count what is not used");
            assert!(held <= HELD_BYTES_MAX, "{instance}: holds {held}");
            assert!(relays.carried() <= CARRIED_MAX && relays.len() - relays.carried() <= OWNED_MAX);
        }
    }

    fn is_dead(&self, instance: Instance) -> bool {
        self.programs.iter().all(|program| program.instance != instance)
    }

    fn side(&mut self, (carrier, number): Name, role: Role) -> &mut Side {
        let story = self.stories.get_mut(&(carrier, number)).unwrap();
        match role {
            Role::Carrier => &mut story.carrier,
            Role::Owner => &mut story.owned,
        }
    }

    /// The node of a side that is not over, and its key.
    fn relays_of(&mut self, name: Name, role: Role) -> Option<(&mut Relays, RelayKey)> {
        if self.side(name, role).is_over { None } else { self.node_of(name, role) }
    }

    fn node_of(&mut self, name: Name, role: Role) -> Option<(&mut Relays, RelayKey)> {
        let owner = self.stories[&name].owner;
        let (node, peer) = if role == Role::Carrier { (name.0, owner) } else { (owner, name.0) };
        let program = self.programs.iter_mut().find(|program| program.instance == node)?;
        Some((&mut program.relays, RelayKey { peer, role, relay: name.1 }))
    }

    /// The sides that live and are as wanted.
    fn sides(&self, wanted: impl Fn(&Side) -> bool) -> Vec<(Name, Role)> {
        let mut sides = Vec::new();
        for (name, story) in &self.stories {
            if !story.carrier.is_over && wanted(&story.carrier) && !self.is_dead(name.0) {
                sides.push((*name, Role::Carrier));
            }
            if story.was_opened && !story.owned.is_over && wanted(&story.owned) && !self.is_dead(story.owner)
            {
                sides.push((*name, Role::Owner));
            }
        }
        sides
    }

    /// The sides whose nodes live and that have not used all, over or not.
    fn unread(&self) -> Vec<(Name, Role)> {
        let sides = self.stories.iter().flat_map(|(name, Story { carrier, owned, owner, .. })| {
            [(*name, Role::Carrier, carrier, name.0), (*name, Role::Owner, owned, *owner)]
        });
        let unread = sides.filter(|(.., side, node)| side.unused > 0 && !self.is_dead(*node));
        unread.map(|(name, role, ..)| (name, role)).collect()
    }

    fn pick(&mut self, sides: &[(Name, Role)]) -> Option<(Name, Role)> {
        let at = self.dice.below(sides.len() as u64) as usize;
        sides.get(at).copied()
    }
}
