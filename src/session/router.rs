//! Which channel a topic belongs to.

use std::{any::Any, fmt, sync::Arc};

use crate::{
    channel::{Channel, into_state::IntoState},
    join::{
        Home, Join, Kind, Log, Start, arriving::Arriving, assigns::Assigns, mailbox::MailboxLimits,
        meter::Meter, rejoin::Rejoins,
    },
    node::{Node, Task},
    session::{moving::arrival, task},
    topic::{PatternError, TopicPattern},
};

/// A pattern of topics and the channel it leads to.
///
/// ```
/// # use lapwing::{Channel, ChannelRoute, Failure, Joining, Payload, Topic};
/// # struct Room;
/// # impl Channel for Room {
/// #     type State = ();
/// #     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
/// # }
/// let route = ChannelRoute::new::<Room>("room:*", ()).unwrap();
/// assert_eq!(route.pattern(), "room:*");
/// assert!(route.handler().ends_with("Room"));
/// assert!(route.matches("room:lobby") && !route.matches("lobby"));
/// assert!(ChannelRoute::new::<Room>("ro*m", ()).is_err(), "a star is the last character or none");
/// ```
#[derive(Clone)]
pub struct ChannelRoute {
    pattern: TopicPattern,
    kind: &'static Kind,
    /// The state that all joins share, of the type that the channel says.
    state: Arc<dyn Any + Send + Sync>,
    assigns: Assigns,
    /// Makes the task of a join. One function per channel type: behind it all is typed.
    start: fn(Start) -> Task,
    /// The same for a join whose client may come from another node.
    arrive: fn(Start, Arc<Arriving>) -> Task,
    /// The same for a join that waits for the one that it replaces.
    succeed: fn(Arc<Join>) -> Task,
}

impl ChannelRoute {
    /// A route to a channel, with the state that all its joins share.
    ///
    /// # Errors
    /// When the pattern has a `*` that is not its last character.
    pub fn new<C: Channel>(pattern: &str, state: impl IntoState<C::State>) -> Result<Self, PatternError> {
        Ok(Self {
            pattern: TopicPattern::new(pattern)?,
            kind: const { &kind::<C>() },
            state: state.into_state(),
            assigns: Assigns::default(),
            start: task::start::<C>,
            arrive: arrival::start::<C>,
            succeed: task::succeed::<C>,
        })
    }

    /// The same with values that every join of this route has assigned.
    #[must_use]
    pub fn with_assigns(mut self, assigns: Assigns) -> Self {
        self.assigns = assigns;
        self
    }

    /// Its topics.
    pub(crate) fn topics(&self) -> &TopicPattern {
        &self.pattern
    }

    /// The pattern.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }

    /// The name of the channel's type.
    #[must_use]
    pub fn handler(&self) -> &str {
        self.kind.name()
    }

    /// Returns whether a topic belongs to this route.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        self.pattern.matches(topic)
    }

    pub(crate) fn assigns(&self) -> &Assigns {
        &self.assigns
    }

    pub(crate) fn start(&self, start: Start) -> Task {
        (self.start)(start)
    }

    #[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "there is no other node"))]
    pub(crate) fn arrive(&self, start: Start, arriving: Arc<Arriving>) -> Task {
        (self.arrive)(start, arriving)
    }

    pub(crate) fn succeed(&self, old: Arc<Join>) -> Task {
        (self.succeed)(old)
    }
}

const fn kind<C: Channel>() -> Kind {
    Kind { name_of: std::any::type_name::<C>, intercept: C::INTERCEPT }
}

impl fmt::Debug for ChannelRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelRoute")
            .field("pattern", &self.pattern)
            .field("handler", &self.handler())
            .finish()
    }
}

/// Routes in the order in which they were declared; the first that matches wins.
#[derive(Debug)]
pub(crate) struct Router {
    routes: Vec<(ChannelRoute, Arc<Home>)>,
}

impl Router {
    pub(crate) fn new(
        routes: Vec<ChannelRoute>,
        node: &Arc<Node>,
        limits: MailboxLimits,
        rejoins: Option<Rejoins>,
    ) -> Self {
        let rejoins = rejoins.map(Arc::new);
        let with_home = |route: ChannelRoute| {
            let (node, state, rejoins) = (node.clone(), route.state.clone(), rejoins.clone());
            let (log, meter) = (Log::default(), Meter::default());
            let home = Home {
                route: route.pattern().to_owned(),
                node,
                kind: route.kind,
                state,
                limits,
                rejoins,
                log,
                meter,
            };
            (route, Arc::new(home))
        };
        Self { routes: routes.into_iter().map(with_home).collect() }
    }

    pub(crate) fn route(&self, topic: &str) -> Option<&(ChannelRoute, Arc<Home>)> {
        self.routes.iter().find(|(route, _)| route.matches(topic))
    }

    /// What is counted, by the pattern of the route.
    pub(crate) fn meters(&self) -> impl Iterator<Item = (&str, &Meter)> {
        self.routes.iter().map(|(route, home)| (route.pattern(), &home.meter))
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = &ChannelRoute> {
        self.routes.iter().map(|(route, _)| route)
    }
}
