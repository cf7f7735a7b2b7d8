//! The channel: one member of one room.

use lapwing::{Channel, HandleResult, Joining, Payload, Socket, Topic, noreply, reply};
use serde::Deserialize;
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

pub(crate) struct Room {
    user: String,
    name: String,
    color: String,
    away: bool,
    /// The id of the last message of the history in the join's reply.
    seen: u64,
}

impl Channel for Room {
    type Info = ();

    async fn join(topic: &Topic, params: Payload, socket: &mut Joining) -> Result<Self, Payload> {
        let params: Params = params.parse().map_err(|_| refusal("name, color and user are needed"))?;
        if topic.as_str().chars().count() > "room:".len() + ROOM_CHARS_MAX {
            return Err(refusal("the room's name is too long"));
        }
        if !is_of_length(&params.user, USER_CHARS_MAX) {
            return Err(refusal("user must have 1 to 64 characters"));
        }
        let (name, color) = check_look(&params.name, &params.color).map_err(refusal)?;
        let history = socket.app::<History>().after(topic.as_str(), 0);
        let seen = history.last().map_or(0, |message| message.id);
        socket.set_reply(json!({"history": history}));
        Ok(Self { user: params.user, name, color, away: false, seen })
    }

    async fn joined(&mut self, socket: &mut Socket) {
        // Said after the history was read and before this join was subscribed. The page drops doubles.
        for message in socket.app::<History>().after(socket.topic().as_str(), self.seen) {
            let _ = socket.push("said", json!(message));
        }
        if let Err(error) = socket.track_and_push_presences(&self.user, self.meta(socket)).await {
            tracing::debug!(%error, "a member is not shown");
        }
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, socket: &mut Socket) -> HandleResult {
        let payload: Value = payload.parse().unwrap_or_default();
        match event {
            "say" => self.say(&payload, socket),
            "rename" => self.rename(&payload, socket).await,
            "away" => {
                self.away = payload["away"].as_bool().unwrap_or_default();
                self.show(socket).await
            }
            "typing" => {
                let typing = payload["typing"].as_bool().unwrap_or_default();
                let said = json!({"user": self.user, "name": self.name, "typing": typing});
                // Nobody misses a lost one: the page forgets who typed after some seconds.
                let _ = socket.broadcast_from("typing", said);
                noreply()
            }
            "cursor" => self.cursor(&payload, socket),
            _ => reply("error", refusal("unknown event")),
        }
    }
}

impl Room {
    fn say(&self, payload: &Value, socket: &Socket) -> HandleResult {
        let text = payload["text"].as_str().unwrap_or_default().trim();
        if !is_of_length(text, TEXT_CHARS_MAX) {
            return reply("error", refusal("a message has 1 to 2000 characters"));
        }
        let message = Message {
            id: 0,
            user: self.user.clone(),
            name: self.name.clone(),
            color: self.color.clone(),
            text: text.to_owned(),
            at: 0,
        };
        let publish = |message: &Message| socket.broadcast("said", json!(message));
        match socket.app::<History>().add(socket.topic().as_str(), message, publish) {
            Ok(()) => reply("ok", Payload::empty()),
            Err(error) => reply("error", refusal(&error.to_string())),
        }
    }

    async fn rename(&mut self, payload: &Value, socket: &Socket) -> HandleResult {
        let name = payload["name"].as_str().unwrap_or(&self.name);
        let color = payload["color"].as_str().unwrap_or(&self.color);
        match check_look(name, color) {
            Ok((name, color)) => {
                (self.name, self.color) = (name, color);
                self.show(socket).await
            }
            Err(reason) => reply("error", refusal(reason)),
        }
    }

    /// Tells the room how this member looks now.
    async fn show(&self, socket: &Socket) -> HandleResult {
        match socket.update(&self.user, self.meta(socket)).await {
            Ok(_) => reply("ok", Payload::empty()),
            Err(error) => reply("error", refusal(&error.to_string())),
        }
    }

    fn cursor(&self, payload: &Value, socket: &Socket) -> HandleResult {
        let place = |key: &str| payload[key].as_f64().filter(|value| (0.0..=1.0).contains(value));
        if let (Some(x), Some(y)) = (place("x"), place("y")) {
            let moved = json!({"user": self.user, "tab": tab(socket), "x": x, "y": y});
            // The next one is a twentieth of a second away.
            let _ = socket.broadcast_from("cursor", moved);
        }
        noreply()
    }

    fn meta(&self, socket: &Socket) -> Value {
        json!({"name": self.name, "color": self.color, "away": self.away, "tab": tab(socket)})
    }
}

/// The same for a join's presence and its cursor. Text, for JavaScript's numbers end at 2^53.
fn tab(socket: &Socket) -> String {
    socket.channel_id().0.to_string()
}

fn check_look(name: &str, color: &str) -> Result<(String, String), &'static str> {
    let name = name.trim();
    if !is_of_length(name, NAME_CHARS_MAX) {
        return Err("a name has 1 to 32 characters");
    }
    let digits = color.strip_prefix('#').unwrap_or_default();
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("a color is # and six hexadecimal digits");
    }
    Ok((name.to_owned(), color.to_owned()))
}

fn is_of_length(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.chars().count())
}

fn refusal(reason: &str) -> Payload {
    json!({"reason": reason}).into()
}
