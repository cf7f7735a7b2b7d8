//! The nodes with their sessions, what is under way between them, and time.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    moves::{Back, MoveConfig, MoveKey, MoveOutput, Moves, NotSent, Side},
};

use crate::dice::Dice;

const NODES: usize = 3;
const TICK: Duration = Duration::from_millis(100);

const OUTGOING_MAX: usize = 4;
const INCOMING_MAX: usize = 5;
const ABOUT_BYTES_MAX: usize = 30;
const BAGGAGE_BYTES_MAX: usize = 200;
const SENDING_BYTES_MAX: usize = 500;
const GATHERING_BYTES_MAX: usize = 600;
const PIECE_BYTES_MAX: usize = 32;
const BATCH_BYTES_MAX: usize = 100;

fn config() -> MoveConfig {
    MoveConfig::default()
        .outgoing_max(OUTGOING_MAX)
        .incoming_max(INCOMING_MAX)
        .about_bytes_max(ABOUT_BYTES_MAX)
        .baggage_bytes_max(BAGGAGE_BYTES_MAX)
        .sending_bytes_max(SENDING_BYTES_MAX)
        .gathering_bytes_max(GATHERING_BYTES_MAX)
        .piece_bytes_max(PIECE_BYTES_MAX)
        .window_bytes(80)
        .batch_bytes_max(BATCH_BYTES_MAX)
        .replies_max(20)
        .repeat_every(Duration::from_millis(200))
        .patience(Duration::from_secs(3))
}

/// A move, whoever names it: its source, and that one's number.
type Name = (Instance, u64);

/// A session, and all that was heard of its move. It moves once: a second move is that of another session, as far as the laws go.
struct Story {
    target: Instance,
    about: Bytes,
    baggage: Bytes,
    source: SourceSide,
    arrived: Option<Bytes>,
    incoming: TargetSide,
    /// One of the two has taken the other for dead, or is.
    was_doubted: bool,
}

/// Where the program of the source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SourceSide {
    Offered,
    /// It is to freeze the session, and send it.
    Accepted,
    Sent,
    Released,
    Back,
    Done,
    Lost,
}

/// Where the program of the target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TargetSide {
    Unheard,
    /// It is to accept or to refuse.
    Offered,
    Accepted,
    /// It is to say that it is ready, or to refuse.
    Arrived,
    Ready,
    Refused,
    Taken,
    Dropped,
}

struct Program {
    instance: Instance,
    moves: Moves,
}

struct Message {
    from: Instance,
    to: Instance,
    bytes: Bytes,
}

/// How many moves came to each end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fates {
    pub(crate) taken: u64,
    pub(crate) back: u64,
    pub(crate) lost: u64,
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
    sessions: u32,
    pub(crate) fates: Fates,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut one_in = |least: u64| if dice.one_in(2) { 0 } else { least + dice.below(40) };
        let (losses, repeats, overtakes) = (one_in(3), one_in(3), one_in(2));
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
            sessions: 0,
            fates: Fates::default(),
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
                0..10 => self.offer(),
                10..30 => self.programs_act(),
                30..50 => self.hand_over(),
                50..78 => self.deliver(),
                78..95 => self.tick(),
                95 => self.withdraw(),
                96..98 => self.engine_fails(),
                98 => self.somebody_is_thought_dead(),
                _ => self.somebody_dies(),
            }
            self.check();
        }
    }

    /// From here on nothing goes wrong: everything has to come to its end.
    pub(crate) fn heal(&mut self) {
        (self.losses, self.repeats, self.overtakes) = (0, 0, 0);
        for program in &mut self.programs {
            program.moves.handle_up();
        }
        for (instance, unaware) in std::mem::take(&mut self.dead) {
            for node in unaware {
                self.tell_gone(node, instance);
            }
        }
        for _ in 0..150 {
            self.tick();
            self.settle();
            self.check();
        }
        for ((source, number), story) in &self.stories {
            let name = format!("{source} {number}: {:?} {:?}", story.source, story.incoming);
            let (source_lives, target_lives) = (!self.is_dead(*source), !self.is_dead(story.target));
            let is_over = matches!(story.source, SourceSide::Back | SourceSide::Done | SourceSide::Lost);
            assert!(is_over || !source_lives, "{name}: it has no end at its source");
            use TargetSide::{Dropped, Refused, Taken, Unheard};
            let is_over = matches!(story.incoming, Unheard | Refused | Taken | Dropped);
            assert!(is_over || !target_lives, "{name}: it has no end at its target");
            if story.source == SourceSide::Done {
                assert_eq!(story.incoming, Taken, "{name}");
            }
            self.fates.taken += u64::from(story.incoming == Taken);
            self.fates.back += u64::from(story.source == SourceSide::Back);
            self.fates.lost += u64::from(story.source == SourceSide::Lost);
        }
        for Program { instance, moves } in &self.programs {
            assert_eq!((moves.outgoing(), moves.incoming()), (0, 0), "{instance} still has some");
            assert_eq!(moves.held(), (0, 0), "{instance} still counts some");
            assert_eq!(moves.unreadable(), 0);
        }
    }

    fn settle(&mut self) {
        loop {
            self.programs_act_all();
            for at in 0..NODES {
                while self.hand_over_of(at) {}
            }
            if self.under_way.is_empty() {
                return;
            }
            while !self.under_way.is_empty() {
                self.deliver();
            }
        }
    }

    fn start(&mut self) -> Program {
        self.instances += 1;
        let mut moves = Moves::new(config());
        moves.handle_up();
        Program { instance: Instance(self.instances), moves }
    }

    fn offer(&mut self) {
        let from = self.dice.below(NODES as u64) as usize;
        let to = (from + 1 + self.dice.below(NODES as u64 - 1) as usize) % NODES;
        let target = self.programs[to].instance;
        let (about, baggage) = (self.bytes(ABOUT_BYTES_MAX), self.bytes(BAGGAGE_BYTES_MAX));
        let program = &mut self.programs[from];
        let Ok(key) = program.moves.offer(target, about.clone()) else { return };
        assert_eq!((key.peer, key.side), (target, Side::Source));
        let story = Story {
            target,
            about,
            baggage,
            source: SourceSide::Offered,
            arrived: None,
            incoming: TargetSide::Unheard,
            was_doubted: false,
        };
        assert!(self.stories.insert((program.instance, key.number), story).is_none());
    }

    /// Bytes that no other session has.
    fn bytes(&mut self, most: usize) -> Bytes {
        self.sessions += 1;
        let mut bytes = self.sessions.to_be_bytes().to_vec();
        let len = 4 + self.dice.below(most as u64 - 3) as usize;
        bytes.extend((4..len).map(|at| at as u8));
        bytes.into()
    }

    /// A program does what it was asked for, or something else.
    fn programs_act(&mut self) {
        let names: Vec<Name> = self.stories.keys().copied().collect();
        let at = self.dice.below(names.len() as u64) as usize;
        if let Some(name) = names.get(at) {
            self.act(*name);
        }
    }

    fn programs_act_all(&mut self) {
        let names: Vec<Name> = self.stories.keys().copied().collect();
        names.into_iter().for_each(|name| self.act(name));
    }

    fn act(&mut self, name: Name) {
        let (refuses, story) = (self.dice.one_in(12), &self.stories[&name]);
        let (source, incoming, baggage) = (story.source, story.incoming, story.baggage.clone());
        if source == SourceSide::Accepted
            && let Some((moves, key)) = self.moves_of(name, Side::Source)
        {
            let sent = moves.send(key, baggage);
            match sent {
                Ok(()) => self.story(name).source = SourceSide::Sent,
                Err(NotSent::Full) => {
                    assert!(moves.withdraw(key));
                    self.story(name).source = SourceSide::Back;
                }
                Err(error) => panic!("{name:?}: {error:?}"),
            }
        }
        let Some((moves, key)) = self.moves_of(name, Side::Target) else { return };
        let next = match incoming {
            TargetSide::Offered | TargetSide::Arrived if refuses => {
                assert!(moves.refuse(key), "{name:?}");
                TargetSide::Refused
            }
            TargetSide::Offered => {
                assert!(moves.accept(key), "{name:?}");
                TargetSide::Accepted
            }
            TargetSide::Arrived => {
                assert!(moves.ready(key), "{name:?}");
                TargetSide::Ready
            }
            TargetSide::Ready | TargetSide::Taken => {
                assert!(!moves.refuse(key), "{name:?}: it may be its own already");
                return;
            }
            _ => return,
        };
        self.story(name).incoming = next;
    }

    fn withdraw(&mut self) {
        let names: Vec<Name> = self.stories.keys().copied().collect();
        let at = self.dice.below(names.len() as u64) as usize;
        let Some(name) = names.get(at).copied() else { return };
        let Some((moves, key)) = self.moves_of(name, Side::Source) else { return };
        let stays = moves.withdraw(key);
        let source = self.stories[&name].source;
        let may_stay = matches!(source, SourceSide::Offered | SourceSide::Accepted | SourceSide::Sent);
        assert_eq!(stays, may_stay, "{name:?}: {source:?}");
        if stays {
            self.story(name).source = SourceSide::Back;
        }
    }

    fn hand_over(&mut self) {
        let at = self.dice.below(NODES as u64) as usize;
        self.hand_over_of(at);
    }

    fn hand_over_of(&mut self, at: usize) -> bool {
        let from = self.programs[at].instance;
        let Some((to, bytes)) = self.programs[at].moves.poll_message() else { return false };
        // The last item may pass the bound.
        let most = BATCH_BYTES_MAX + PIECE_BYTES_MAX + 12;
        assert!(bytes.len() <= most, "a message of {} bytes", bytes.len());
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
            self.programs[at].moves.handle_message(from, &bytes);
            self.hear(at);
        }
    }

    fn tick(&mut self) {
        self.now += TICK;
        for at in 0..NODES {
            self.programs[at].moves.handle_tick(self.now);
            self.hear(at);
        }
    }

    /// The engine goes away for one node or all, or comes back; what was under way is lost, all of it or some.
    fn engine_fails(&mut self) {
        let alone = self.dice.below(2 * NODES as u64) as usize;
        let comes_back = self.dice.one_in(2);
        for (at, program) in self.programs.iter_mut().enumerate() {
            if comes_back {
                program.moves.handle_up();
            } else if alone >= NODES || alone == at {
                program.moves.handle_down();
            }
        }
        if !comes_back {
            let left = self.dice.below(self.under_way.len() as u64 + 1) as usize;
            self.under_way.truncate(left);
        }
    }

    fn somebody_is_thought_dead(&mut self) {
        let at = self.dice.below(NODES as u64) as usize;
        let peer = self.programs[(at + 1) % NODES].instance;
        let by = self.programs[at].instance;
        self.tell_gone(by, peer);
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

    fn tell_gone(&mut self, node: Instance, gone: Instance) {
        for ((source, _), story) in &mut self.stories {
            let pair = (*source, story.target);
            story.was_doubted |= pair == (node, gone) || pair == (gone, node);
        }
        if let Some(at) = self.programs.iter().position(|program| program.instance == node) {
            self.programs[at].moves.handle_gone(gone);
            self.hear(at);
        }
    }

    /// What a node tells its program, which must be what can come next.
    fn hear(&mut self, at: usize) {
        let here = self.programs[at].instance;
        while let Some(output) = self.programs[at].moves.poll_output() {
            let shown = format!("{here}: {output:?}");
            match output {
                MoveOutput::Accepted(key) => {
                    self.goes(here, key, &[SourceSide::Offered], SourceSide::Accepted)
                }
                MoveOutput::Released(key) => self.goes(here, key, &[SourceSide::Sent], SourceSide::Released),
                MoveOutput::Back(key, back) => {
                    use SourceSide::{Accepted, Offered, Sent};
                    self.goes(here, key, &[Offered, Accepted, Sent], SourceSide::Back);
                    let story = self.story((here, key.number));
                    assert!(back != Back::Gone || story.was_doubted, "{shown}");
                }
                MoveOutput::Done(key) => self.goes(here, key, &[SourceSide::Released], SourceSide::Done),
                MoveOutput::Lost(key) => {
                    self.goes(here, key, &[SourceSide::Released], SourceSide::Lost);
                    assert!(self.story((here, key.number)).was_doubted, "{shown}: both live");
                }
                MoveOutput::Offered(key, about) => {
                    let story = self.comes(here, key);
                    assert_eq!(about, story.about, "{shown}");
                    // Who was taken for dead may offer again what was dropped; nothing else begins again.
                    let is_new = story.incoming == TargetSide::Unheard || story.was_doubted;
                    assert!(is_new && story.incoming != TargetSide::Taken, "{shown}: {:?}", story.incoming);
                    story.incoming = TargetSide::Offered;
                }
                MoveOutput::Arrived(key, bytes) => {
                    let story = self.comes(here, key);
                    assert_eq!(story.incoming, TargetSide::Accepted, "{shown}");
                    story.incoming = TargetSide::Arrived;
                    story.arrived = Some(bytes);
                }
                MoveOutput::Taken(key) => {
                    let story = self.comes(here, key);
                    assert_eq!(story.incoming, TargetSide::Ready, "{shown}");
                    assert_eq!(story.arrived.as_ref(), Some(&story.baggage), "{shown}: not what was sent");
                    story.incoming = TargetSide::Taken;
                }
                MoveOutput::Dropped(key) => {
                    use TargetSide::{Accepted, Arrived, Offered, Ready};
                    let story = self.comes(here, key);
                    let was_open = matches!(story.incoming, Offered | Accepted | Arrived | Ready);
                    assert!(was_open, "{shown}: {:?}", story.incoming);
                    story.incoming = TargetSide::Dropped;
                }
            }
        }
    }

    fn goes(&mut self, here: Instance, key: MoveKey, from: &[SourceSide], to: SourceSide) {
        let story = self.story((here, key.number));
        assert_eq!((key.side, key.peer), (Side::Source, story.target));
        assert!(from.contains(&story.source), "{here} {key:?}: {to:?} after {:?}", story.source);
        story.source = to;
    }

    fn comes(&mut self, here: Instance, key: MoveKey) -> &mut Story {
        assert_eq!(key.side, Side::Target);
        let story = self.story((key.peer, key.number));
        assert_eq!(story.target, here);
        story
    }

    /// One owner, and bounds.
    fn check(&self) {
        for ((source, number), story) in &self.stories {
            use SourceSide::{Accepted, Back, Offered, Sent};
            let has = matches!(story.source, Offered | Accepted | Sent | Back) && !self.is_dead(*source);
            let is_taken = story.incoming == TargetSide::Taken && !self.is_dead(story.target);
            assert!(!has || !is_taken, "{source} {number}: two owners, {:?}", story.source);
        }
        for Program { moves, .. } in &self.programs {
            assert!(moves.outgoing() <= OUTGOING_MAX && moves.incoming() <= INCOMING_MAX);
            let (sending, gathering) = moves.held();
            assert!(sending <= SENDING_BYTES_MAX && gathering <= GATHERING_BYTES_MAX);
        }
    }

    fn is_dead(&self, instance: Instance) -> bool {
        !self.programs.iter().any(|program| program.instance == instance)
    }

    fn story(&mut self, name: Name) -> &mut Story {
        self.stories.get_mut(&name).unwrap()
    }

    /// A node of a move, if it lives, and its key.
    fn moves_of(&mut self, (source, number): Name, side: Side) -> Option<(&mut Moves, MoveKey)> {
        let target = self.stories[&(source, number)].target;
        let (node, peer) = if side == Side::Source { (source, target) } else { (target, source) };
        let program = self.programs.iter_mut().find(|program| program.instance == node)?;
        Some((&mut program.moves, MoveKey { peer, side, number }))
    }
}
