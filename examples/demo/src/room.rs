//! The channel: one member of one room.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lapwing::{
    Broadcast, Channel, Context, Failure, Handled, Joining, Keep, Mount, Payload, Socket, Topic, noreply,
    reply,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

const ROOM_CHARS_MAX: usize = 64;
const NAME_CHARS_MAX: usize = 32;
const USER_CHARS_MAX: usize = 64;
const TEXT_CHARS_MAX: usize = 2_000;
/// As many as somebody who comes in reads: the page asks for these.
const MESSAGES_MAX: usize = 50;

/// What the page says of itself. In a demo that is enough; elsewhere `Mount::connect` decides who somebody is.
#[derive(Deserialize)]
struct Params {
    name: String,
    color: String,
    user: String,
}

#[derive(Deserialize)]
struct Say {
    text: String,
}

#[derive(Deserialize)]
struct Rename {
    name: Option<String>,
    color: Option<String>,
}

#[derive(Deserialize)]
struct Away {
    away: bool,
}

#[derive(Deserialize)]
struct Typing {
    typing: bool,
}

/// A place in the page, from 0 to 1 each way.
#[derive(Deserialize)]
struct Cursor {
    x: f64,
    y: f64,
}

/// What the members of all rooms share.
#[derive(Default)]
pub(crate) struct Rooms {
    /// The name of this node, if there are several.
    pub(crate) node: Option<String>,
    /// Told when somebody wants the node to start anew, where something starts it again.
    pub(crate) restart: Option<Arc<Notify>>,
}

/// Rooms that remember what was said: as much as somebody who comes in reads, for a day.
pub(crate) fn mount(rooms: Rooms) -> Mount {
    let keep = Keep::last(MESSAGES_MAX).for_at_most(Duration::from_secs(24 * 60 * 60));
    Mount::new().channel::<Room>("room:*", rooms).keep("room:*", keep)
}

pub(crate) struct Room {
    user: String,
    name: String,
    color: String,
    away: bool,
    node: Option<String>,
    restart: Option<Arc<Notify>>,
}

impl Channel for Room {
    type State = Rooms;

    async fn join(topic: &Topic, params: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        let params: Params = params.parse()?;
        if topic.as_str().chars().count() > "room:".len() + ROOM_CHARS_MAX {
            return Err(Failure::reason("the room's name is too long"));
        }
        if !is_of_length(&params.user, USER_CHARS_MAX) {
            return Err(Failure::reason("user must have 1 to 64 characters"));
        }
        let (name, color) = check_look(&params.name, &params.color)?;
        let Rooms { node, restart } = joining.state();
        let (node, restart) = (node.clone(), restart.clone());
        Ok(Self { user: params.user, name, color, away: false, node, restart })
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        cx.track_and_push_presences(&self.user, self.meta(cx)).await?;
        Ok(noreply())
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        match event {
            "say" => self.say(payload.parse()?, cx),
            "rename" => self.rename(payload.parse()?, cx).await,
            "away" => {
                let Away { away } = payload.parse()?;
                self.away = away;
                self.show(cx).await
            }
            "typing" => {
                let Typing { typing } = payload.parse()?;
                self.tell_others(
                    "typing",
                    json!({"user": self.user, "name": self.name, "typing": typing}),
                    cx,
                )
            }
            "cursor" => self.cursor(payload.parse()?, cx),
            // Answered behind all that was said before: so a page knows that it has all of it, and where it is, which may be another node
            // than it has joined on.
            "ping" => {
                let restarts = self.restart.is_some();
                Ok(reply(
                    "ok",
                    json!({"node": self.node, "carried_by": cx.carried_by(), "restarts": restarts}),
                ))
            }
            // The page is on this node, and is not to notice.
            "restart" if self.restart.is_some() => {
                self.restart.iter().for_each(|restart| restart.notify_one());
                Ok(noreply())
            }
            _ => Err(Failure::reason("unmatched event")),
        }
    }
}

impl Room {
    fn say(&self, Say { text }: Say, cx: &Context<Self>) -> Handled {
        let text = text.trim();
        if !is_of_length(text, TEXT_CHARS_MAX) {
            return Err(Failure::reason("a message has 1 to 2000 characters"));
        }
        let Self { user, name, color, .. } = self;
        cx.broadcast(
            "said",
            json!({"user": user, "name": name, "color": color, "text": text, "at": now_ms()}),
        )?;
        Ok(reply("ok", Payload::empty()))
    }

    async fn rename(&mut self, rename: Rename, cx: &Context<Self>) -> Handled {
        let name = rename.name.as_ref().unwrap_or(&self.name);
        let color = rename.color.as_ref().unwrap_or(&self.color);
        (self.name, self.color) = check_look(name, color)?;
        self.show(cx).await
    }

    /// Tells the room how this member looks now.
    async fn show(&self, socket: &Socket) -> Handled {
        socket.update(&self.user, self.meta(socket)).await?;
        Ok(reply("ok", Payload::empty()))
    }

    fn cursor(&self, Cursor { x, y }: Cursor, socket: &Socket) -> Handled {
        if ![x, y].iter().all(|place| (0.0..=1.0).contains(place)) {
            return Ok(noreply());
        }
        self.tell_others(
            "cursor",
            json!({"user": self.user, "tab": self.tab(socket), "x": x, "y": y}),
            socket,
        )
    }

    /// Tells the others what is of no use to somebody who comes later.
    fn tell_others(&self, event: &str, payload: Value, socket: &Socket) -> Handled {
        let broadcast = Broadcast::new(socket.topic(), event, payload);
        socket.publish(broadcast.except(socket.channel_id()).unrecorded())?;
        Ok(noreply())
    }

    fn meta(&self, socket: &Socket) -> Value {
        let Self { name, color, away, node, .. } = self;
        json!({"name": name, "color": color, "away": away, "node": node, "tab": self.tab(socket)})
    }

    /// The same for a join's presence and its cursor, and another for each join of all nodes.
    fn tab(&self, socket: &Socket) -> String {
        format!("{}:{}", self.node.as_deref().unwrap_or_default(), socket.channel_id().0)
    }
}

fn check_look(name: &str, color: &str) -> Result<(String, String), Failure> {
    let name = name.trim();
    if !is_of_length(name, NAME_CHARS_MAX) {
        return Err(Failure::reason("a name has 1 to 32 characters"));
    }
    let digits = color.strip_prefix('#').unwrap_or_default();
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::reason("a color is # and six hexadecimal digits"));
    }
    Ok((name.to_owned(), color.to_owned()))
}

fn is_of_length(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.chars().count())
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
