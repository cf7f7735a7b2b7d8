//! The channel of a board.

use std::time::SystemTime;

use lapwing::{
    Channel, Context, Failure, Handled, Joining, Json, Payload, Receive, StopReason, Topic, noreply, reply,
    stop,
};
use serde_json::json;
use tokio::{
    task::{self, AbortHandle},
    time::sleep,
};

use crate::{
    boards::{Boards, Change, Deed, board_name},
    token::User,
};

/// One page on one board.
pub(crate) struct Board {
    name: String,
    user: User,
    /// Waits for the end of the user's token.
    waiting: AbortHandle,
}

/// The user's token is no longer good.
pub(crate) struct Expired;

impl Channel for Board {
    type State = Boards;

    async fn join(topic: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        let user = joining.get_assign::<User>("user").ok_or_else(|| Failure::reason("unauthorized"))?;
        let name = board_name(topic.as_str().strip_prefix("board:").unwrap_or_default())?.to_owned();
        // Refused here, so that the page is told why.
        joining.state().open(&name, &user.name).await?;
        let (me, left) = (joining.sender(), user.left(SystemTime::now()));
        let waiting = task::spawn(async move {
            sleep(left).await;
            // An error says that the page has left.
            let _ = me.send(Expired);
        });
        Ok(Self { name, user: (*user).clone(), waiting: waiting.abort_handle() })
    }

    /// The page hears by now of whatever changes: what it is given here it misses nothing of. Somebody who was removed while
    /// `join` ran goes here.
    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        let cards = match cx.state().open(&self.name, &self.user.name).await {
            Ok(cards) => cards,
            Err(problem) => return Ok(stop(problem.into_stop())),
        };
        cx.push("cards", Json(json!({"cards": cards})))?;
        cx.track_and_push_presences(&self.user.name, json!({"is_moderator": self.user.is_moderator})).await?;
        Ok(noreply())
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        let deed = match event {
            "add" => Deed::Add(payload.parse()?),
            "move" => Deed::Move(payload.parse()?),
            "remove" => Deed::Remove(payload.parse()?),
            _ => return Err(Failure::reason("unmatched event")),
        };
        let all = (**cx).clone();
        let tell = move |event: &str, payload| all.broadcast(event, payload).map(drop);
        let id = match cx.state().apply(&self.name, &self.user.name, deed, tell).await? {
            Change::Card(card) => card.id,
            Change::Removed(id) => id,
        };
        Ok(reply("ok", json!({"id": id})))
    }
}

impl Receive<Expired> for Board {
    async fn handle_info(&mut self, _: Expired, cx: &Context<Self>) -> Handled {
        cx.push("expired", json!({}))?;
        Ok(stop(StopReason::Normal))
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.waiting.abort();
    }
}
