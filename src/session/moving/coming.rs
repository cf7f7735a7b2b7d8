//! A session that may come from another node, where it is to go on.

use std::{collections::HashSet, sync::Arc, time::Duration};

use lapwing_transports::{connect::Refusal, live::LiveSession};
use tokio::time::Instant;

use super::{
    About, AboutJoin, CutOf, Cuts,
    luggage::{Luggage, read_request},
};
use crate::{
    join::{Join, Start, arriving::Arriving, refs::Refs},
    protocol::Ref,
    session::{
        client::{Client, bytes_of_join},
        handler::Hub,
        login::TokenRequest,
    },
    topic::Topic,
    topics::cut::Cut,
};

/// The joins of a session that may come.
pub(crate) struct Coming(Vec<(Topic, Arc<Arriving>)>);

impl Hub {
    /// Asks the program about a client who has connected to another node.
    pub(crate) async fn connect_again(&self, about: &About) -> Result<Client, Refusal> {
        let mut request = read_request(&about.request).ok_or_else(Refusal::default)?;
        if let (Some(connected_with), Some(token)) = (&mut request.auth_token, &about.token) {
            // It need not be good any more, as it was for no longer than the login that it began.
            connected_with.clone_from(token);
        }
        let serializer = self.serializer_for(&request)?;
        let mut accept = self.accepted(request).await?;
        if let (Some(on_token), Some(token)) = (&self.logins.callbacks.on_token, &about.token) {
            let (id, assigns) = (accept.id.clone(), accept.assigns.clone());
            let renewed = on_token(TokenRequest { token: token.clone(), id, assigns }).await?;
            accept.assigns = accept.assigns.merged(&renewed.assigns);
        }
        if accept.id != about.id {
            return Err(Refusal::default().with_body("the client is another one here"));
        }
        // It is as good as it was.
        let left = about.login_ms.map(Duration::from_millis);
        accept.until = left.and_then(|left| Instant::now().checked_add(left));
        let luggage = Luggage::new(about.request.clone(), about.token.clone());
        self.let_in(serializer, accept, None, Some(luggage))
    }

    /// Makes the joins of a session that may come. None if one of them cannot be.
    pub(crate) fn join_again(&self, session: &Arc<LiveSession<Client>>, about: About) -> Option<Coming> {
        let topics: HashSet<_> = about.joins.iter().map(|join| &join.topic).collect();
        if topics.len() < about.joins.len() || topics.len() > self.limits.joins_max {
            // A session has one join of a topic: nobody would end another one.
            return None;
        }
        let joins = about.joins.into_iter().map(|join| self.join_again_to(session, join));
        let mut coming = Coming(Vec::new());
        for join in joins {
            // Those that were made are given up.
            coming.0.push(join?);
        }
        Some(coming)
    }

    fn join_again_to(
        &self,
        session: &Arc<LiveSession<Client>>,
        about: AboutJoin,
    ) -> Option<(Topic, Arc<Arriving>)> {
        let topic = Topic::from(about.topic);
        let (route, home) = self.router.route(&topic)?;
        let join_ref = about.join_ref.and_then(|text| Ref::from_json(text.as_str()).ok().flatten());
        let refs = match about.has_join_ref {
            true => Refs { join_ref, reference: None },
            false => Refs { join_ref: None, reference: join_ref },
        };
        let params = about.params.into_payload();
        let client = session.state();
        let luggage = client.luggage()?;
        // Other topics count for as long as the session lasts: whether the channel goes on hearing them is not asked.
        let of_foreign: usize = about.foreign.iter().map(|topic| bytes_of_join(topic)).sum();
        let of_join = bytes_of_join(&topic) + super::luggage::bytes_of_params(&params);
        if session.hold(of_join + of_foreign).is_err() {
            return None;
        }
        let arriving = Arriving::new(about.foreign.into_iter().map(Topic::from).collect());
        let mut state = client.state();
        let assigns = state.assigns.merged(route.assigns());
        let join = Arc::new(Join::new(session.clone(), home.clone(), topic.clone(), refs.clone(), assigns));
        luggage.add(join.id, params.clone());
        state.insert(join.clone());
        drop(state);
        self.node.spawn(route.arrive(Start::new(join, params, refs), arriving.clone()));
        Some((topic, arriving))
    }
}

impl Coming {
    /// Waits until all joins stand among the members of their topics. Returns false if one never will.
    pub(crate) async fn stand(&self) -> bool {
        for (_, arriving) in &self.0 {
            if !arriving.stands().await {
                return false;
            }
        }
        true
    }

    /// Whether everything that comes for them still finds room.
    pub(crate) fn has_room(&self) -> bool {
        self.0.iter().all(|(_, arriving)| arriving.has_room())
    }

    /// The session is here.
    pub(crate) fn land(mut self, mut cuts: Cuts) {
        for (join, arriving) in std::mem::take(&mut self.0) {
            arriving.land(|topic| cuts.take(&join, topic));
        }
    }
}

/// The session does not come, unless it has.
impl Drop for Coming {
    fn drop(&mut self) {
        self.0.iter().for_each(|(_, arriving)| arriving.give_up());
    }
}

impl Cuts {
    fn take(&mut self, join: &Topic, topic: &Topic) -> Cut {
        let at = self.0.iter().position(|cut| cut.join == join.as_str() && cut.topic == topic.as_str());
        at.map(|at| self.0.swap_remove(at))
            .map_or_else(Cut::default, |CutOf { heard, position, said, .. }| Cut { heard, position, said })
    }
}
