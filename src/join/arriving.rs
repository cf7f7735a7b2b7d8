//! A join that is made for a client who comes from another node: it stands among its topics' members before it is known whether the client comes.
//!
//! ```text
//!   task      begins ── stands: its topics are subscribed ──▶ waits ──▶ joined, and on as any join
//!               └────── refused: the program does not want it
//!   driver      waits ──▶ lands it, or gives it up
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::{join::landing::Landing, topic::Topic, topics::cut::Cut};

/// What a join's task and whoever has it made tell each other.
pub(crate) struct Arriving {
    /// Other topics that the join is subscribed to.
    foreign: Vec<Topic>,
    landings: Mutex<Vec<Arc<Landing>>>,
    stage: watch::Sender<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begins,
    Stands,
    Refused,
    Landed,
    GivenUp,
}

impl Arriving {
    pub(crate) fn new(foreign: Vec<Topic>) -> Arc<Self> {
        let stage = watch::Sender::new(Stage::Begins);
        Arc::new(Self { foreign, landings: Mutex::default(), stage })
    }

    /// Other topics to be subscribed.
    pub(crate) fn foreign(&self) -> &[Topic] {
        &self.foreign
    }

    /// The program does not want the join, or its topics cannot be heard.
    pub(crate) fn refuse(&self) {
        self.go_on(Stage::Refused);
    }

    /// It stands among the members of its topics.
    pub(crate) fn stand(&self, landings: Vec<Arc<Landing>>) {
        *self.landings.lock().unwrap_or_else(PoisonError::into_inner) = landings;
        self.go_on(Stage::Stands);
    }

    /// Waits until it does. Returns false if it never will.
    pub(crate) async fn stands(&self) -> bool {
        let mut stage = self.stage.subscribe();
        let stage = stage.wait_for(|stage| *stage != Stage::Begins).await;
        stage.is_ok_and(|stage| *stage == Stage::Stands)
    }

    /// Whether everything that comes for it still finds room.
    pub(crate) fn has_room(&self) -> bool {
        !self.landings().iter().any(|landing| landing.has_overflowed())
    }

    /// The client is here, and has this of each topic.
    pub(crate) fn land(&self, mut cut_of: impl FnMut(&Topic) -> Cut) {
        for landing in self.landings() {
            landing.land(cut_of(landing.topic()));
        }
        self.go_on(Stage::Landed);
    }

    /// The client does not come.
    pub(crate) fn give_up(&self) {
        self.go_on(Stage::GivenUp);
    }

    /// Waits until the client is here. Returns false if it does not come.
    pub(crate) async fn landed(&self) -> bool {
        let mut stage = self.stage.subscribe();
        let stage = stage.wait_for(|stage| matches!(stage, Stage::Landed | Stage::GivenUp)).await;
        stage.is_ok_and(|stage| *stage == Stage::Landed)
    }

    fn landings(&self) -> Vec<Arc<Landing>> {
        self.landings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn go_on(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let is_open = matches!(stage, Stage::Begins | Stage::Stands);
            if is_open {
                *stage = to;
            }
            is_open
        });
    }
}
