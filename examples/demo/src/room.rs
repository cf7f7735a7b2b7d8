//! The channel: one member of one room.

use lapwing::{
    BroadcastError, Channel, Context, Failure, Handled, Joining, Json, Payload, Socket, Topic, noreply, reply,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::history::{History, Message};

const ROOM_CHARS_MAX: usize = 64;
const NAME_CHARS_MAX: usize = 32;
const USER_CHARS_MAX: usize = 64;
const TEXT_CHARS_MAX: usize = 2_000;

/// What the page says of itself. In a demo that is enough; elsewhere `Mount::connect` decides who somebody is.
#[derive(Deserialize)]
struct Params {
    name: String,
    color: String,
    user: String,
}

#[derive(Serialize)]
struct Joined {
    history: Vec<Message>,
    /// The node that serves this client, if there are several.
    node: Option<String>,
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
    pub(crate) history: History,
    /// The name of this node, if there are several.
    pub(crate) node: Option<String>,
    /// Tells the other nodes what was said, if there are any.
    pub(crate) tell: Option<Tell>,
}

pub(crate) type Tell = fn(&Socket, &Message) -> Result<(), BroadcastError>;

pub(crate) struct Room {
    user: String,
    name: String,
    color: String,
    away: bool,
    node: Option<String>,
    /// The id of the last message of the history in the join's reply.
    seen: u64,
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
        let history = joining.state().history.after(topic.as_str(), 0);
        let node = joining.state().node.clone();
        let seen = history.last().map_or(0, |message| message.id);
        joining.set_reply(Json(Joined { history, node: node.clone() }))?;
        Ok(Self { user: params.user, name, color, away: false, node, seen })
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        // Said after the history was read and before this join was subscribed. The page drops doubles.
        for message in cx.state().history.after(cx.topic().as_str(), self.seen) {
            cx.push("said", Json(message))?;
        }
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
                let said = json!({"user": self.user, "name": self.name, "typing": typing});
                cx.broadcast_from("typing", said)?;
                Ok(noreply())
            }
            "cursor" => self.cursor(payload.parse()?, cx),
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
        let message = Message {
            id: 0,
            user: self.user.clone(),
            name: self.name.clone(),
            color: self.color.clone(),
            text: text.to_owned(),
            at: 0,
        };
        let publish = |message: &Message| {
            cx.broadcast("said", Json(message))?;
            cx.state().tell.map_or(Ok(()), |tell| tell(cx, message))
        };
        cx.state().history.add(cx.topic().as_str(), message, publish)?;
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
        if [x, y].iter().all(|place| (0.0..=1.0).contains(place)) {
            let moved = json!({"user": self.user, "tab": self.tab(socket), "x": x, "y": y});
            socket.broadcast_from("cursor", moved)?;
        }
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
