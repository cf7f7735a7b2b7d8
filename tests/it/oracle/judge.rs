//! Judges what arrived against a recorded step.

use std::{fmt, time::Duration};

use serde_json::{Value, json};

use super::{
    compare::{Opaque, brief, normalized, shortened},
    recording::{Case, Op, Step, unhex},
};
use crate::support::{
    http::Response,
    websocket::{Event, SAMPLE_ACCEPT},
};

/// What arrived at a step.
pub(crate) enum Got {
    Event(Event),
    Answer(Answer),
    /// How many messages the last poll had, and the last of them.
    Messages(usize, Value),
    /// Nothing, and why.
    Nothing(String),
}

/// An HTTP answer, its body decoded once: some have eight megabytes.
pub(crate) struct Answer {
    response: Response,
    pub(crate) took: Duration,
    /// The body with its messages decoded; null if it is no JSON.
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn new(response: Response, took: Duration) -> Answer {
        let json = serde_json::from_slice(&response.body).map(normalized).unwrap_or_default();
        Answer { response, took, json }
    }
}

impl Got {
    /// A handshake's outcome may be looked at twice.
    pub(crate) fn copied(&self) -> Got {
        match self {
            Got::Event(event) => Got::Event(event.clone()),
            Got::Answer(answer) => Got::Answer(Answer::new(copied(&answer.response), answer.took)),
            Got::Messages(count, last) => Got::Messages(*count, last.clone()),
            Got::Nothing(why) => Got::Nothing(why.clone()),
        }
    }
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Got::Event(event) => f.write_str(&shortened(&format!("{event:?}"))),
            Got::Answer(Answer { response, took, .. }) => {
                let body = shortened(&response.text());
                write!(f, "HTTP {} after {took:?}, {:?}, body {body}", response.status, response.headers)
            }
            Got::Messages(count, last) => write!(f, "{count} messages, the last {}", brief(last)),
            Got::Nothing(why) => f.write_str(why),
        }
    }
}

pub(crate) fn copied(response: &Response) -> Response {
    Response { status: response.status, headers: response.headers.clone(), body: response.body.clone() }
}

/// Compares what arrived with a step as it was recorded, or as a deviation has changed it.
pub(crate) fn compare(
    wanted: &Value,
    got: &Got,
    opaque: &mut Opaque,
    big_reply: &Value,
) -> Result<(), String> {
    match (wanted["op"].as_str().unwrap_or_default(), got) {
        ("recv", Got::Event(event)) => compare_frame(wanted, event, opaque, big_reply),
        ("pong", Got::Event(event)) => {
            equal(event, &Event::Pong(unhex(wanted["hex"].as_str().unwrap_or_default())))
        }
        ("close", Got::Event(event)) => equal(event, &close(&wanted["code"], &wanted["reason"])),
        ("tcp_end", Got::Event(event)) => equal(event, &Event::End),
        ("raw_recv", Got::Event(event)) => {
            let [0x88, 2, code @ ..] = &unhex(wanted["hex"].as_str().unwrap_or_default())[..] else {
                return Err("only close frames were recorded raw".to_owned());
            };
            equal(event, &close(&json!(u16::from_be_bytes([code[0], code[1]])), &json!("")))
        }
        ("raw_recv", Got::Answer(answer)) => compare_raw_response(wanted, &answer.response),
        ("open", Got::Answer(answer)) => compare_open(&answer.response),
        // The client gave up because no subprotocol was chosen.
        ("client_error", Got::Answer(answer)) => match answer.response.header("sec-websocket-protocol") {
            Some(protocol) => Err(format!("the server chose the subprotocol {protocol}")),
            None => Ok(()),
        },
        ("refused" | "response", Got::Answer(answer)) => compare_answer(wanted, answer, opaque, big_reply),
        ("summary", Got::Messages(count, last)) => compare_summary(wanted, *count, last),
        _ => Err("this is something else".to_owned()),
    }
}

fn compare_frame(
    wanted: &Value,
    event: &Event,
    opaque: &mut Opaque,
    big_reply: &Value,
) -> Result<(), String> {
    if let Some(hex) = wanted["hex"].as_str() {
        return equal(event, &Event::Binary(unhex(hex)));
    }
    let Event::Text(got) = event else { return Err("this is no text".to_owned()) };
    let got = serde_json::from_str(got).map_err(|error| error.to_string())?;
    match &wanted["text"] {
        Value::String(text) if abbreviated(text).is_some() => opaque.compare(big_reply, &got),
        Value::String(text) => opaque.compare(&serde_json::from_str(text).map_err(|e| e.to_string())?, &got),
        // Deviations hold JSON as it is.
        message => opaque.compare(message, &got),
    }
}

fn compare_open(response: &Response) -> Result<(), String> {
    let lower = |name| response.header(name).unwrap_or_default().to_ascii_lowercase();
    match response.status {
        101 if lower("upgrade") == "websocket"
            && lower("connection") == "upgrade"
            && response.header("sec-websocket-accept") == Some(SAMPLE_ACCEPT)
            && response.header("sec-websocket-extensions").is_none() =>
        {
            Ok(())
        }
        101 => Err("the headers of the upgrade are wrong".to_owned()),
        status => Err(format!("the handshake was refused with {status}")),
    }
}

fn compare_answer(
    wanted: &Value,
    answer: &Answer,
    opaque: &mut Opaque,
    big_reply: &Value,
) -> Result<(), String> {
    let response = &answer.response;
    if wanted["status"] != response.status {
        return Err(format!("the HTTP status is {}", response.status));
    }
    let body = match &wanted["body"] {
        Value::String(text) if abbreviated(text).is_some() => {
            json!({"status": 200, "token": "*", "messages": [big_reply]})
        }
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        body => body.clone(),
    };
    if body.get("errors").is_some() {
        // The page that the application shows for an exception: it is no part of the protocol.
        return Ok(());
    }
    compare_headers(wanted, response)?;
    match &body {
        Value::String(text) if *text == response.text() => Ok(()),
        Value::String(_) => Err("the body differs".to_owned()),
        _ => opaque.compare(&normalized(body), &answer.json).map_err(|why| format!("the body at {why}")),
    }
}

/// The headers that the protocol asks for; others are a web server's own business.
fn compare_headers(wanted: &Value, response: &Response) -> Result<(), String> {
    for (name, value) in wanted["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let matters = name.starts_with("access-control-")
            || name == "content-type"
            || (name == "cache-control" && value == "no-store");
        if !matters {
            continue;
        }
        let got = response.header(name);
        // `no-store, no-transform` is as good as `no-store`; an empty header as good as none.
        let same = match name.as_str() {
            "cache-control" => got.is_some_and(|got| got.split(',').any(|item| item.trim() == value)),
            _ => got.unwrap_or_default() == value,
        };
        if !same {
            return Err(format!("the header {name} is {got:?}, not {value:?}"));
        }
    }
    Ok(())
}

/// A recorded raw answer: its status line, its body, and for an upgrade the headers that make it one.
fn compare_raw_response(wanted: &Value, response: &Response) -> Result<(), String> {
    let text = wanted["text"].as_str().unwrap_or_default();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != response.status.to_string() {
        return Err(format!("the HTTP status is {}", response.status));
    }
    match status {
        "101" => compare_open(response),
        _ if body == response.text() => Ok(()),
        _ => Err("the body differs".to_owned()),
    }
}

fn compare_summary(wanted: &Value, count: usize, last: &Value) -> Result<(), String> {
    if wanted["messages"] != count {
        return Err("the number of messages differs".to_owned());
    }
    let Some(wanted) = wanted["last"].as_str() else { return Ok(()) };
    let wanted = serde_json::from_str(wanted).map_err(|error| error.to_string())?;
    Opaque::default().compare(&wanted, last)
}

fn equal(got: &Event, wanted: &Event) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err("this is not the same".to_owned()) }
}

fn close(code: &Value, reason: &Value) -> Event {
    let code = code.as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default();
    Event::Close(code, reason.as_str().unwrap_or_default().to_owned())
}

/// `PREFIX...(N chars)`: the prefix and N.
pub(crate) fn abbreviated(text: &str) -> Option<(&str, usize)> {
    let (prefix, rest) = text.rsplit_once("...(")?;
    Some((prefix, rest.strip_suffix(" chars)")?.parse().ok()?))
}

/// The reply to a `ping` event of either version with this payload.
pub(crate) fn reply_to(ping: &Value, payload: &Value) -> Value {
    let reply = json!({"status": "ok", "response": payload});
    match ping {
        Value::Array(message) => json!([message[0], message[1], message[2], "phx_reply", reply]),
        _ => json!({"topic": ping["topic"], "event": "phx_reply", "payload": reply, "ref": ping["ref"]}),
    }
}

/// The steps from here on whose order is a race in Phoenix itself: a leave, a join and a ping sent in one go. The old
/// channel may or may not get to answer its leave, before or after the new one is joined.
pub(crate) fn race_at(case: &Case, index: usize) -> Option<Vec<&Step>> {
    let pipelined = index >= 2 && matches!(case.steps[index - 2].op, Op::Send(_));
    if case.name != "leave_join_race" || case.steps[index].op != Op::Recv || !pipelined {
        return None;
    }
    Some(case.steps[index..].iter().take_while(|step| step.op == Op::Recv).collect())
}

/// The frames of the race, told apart by their refs: the answers to the leave ("2"), the join ("3"), the ping ("4").
fn kind(message: &Value) -> &'static str {
    let event = message.get(3).unwrap_or(&message["event"]);
    match (event.as_str(), message.get(1).unwrap_or(&message["ref"]).as_str()) {
        (Some("phx_close"), _) => "close",
        (_, Some("2")) => "left",
        (_, Some("3")) => "joined",
        (_, Some("4")) => "pinged",
        _ => "other",
    }
}

pub(crate) fn race_is_over(got: &[Value]) -> bool {
    let has = |wanted| got.iter().any(|message| kind(message) == wanted);
    (has("close") && has("joined") && has("pinged")) || got.len() > 4
}

pub(crate) fn judge_race(race: &[&Step], got: &[Value]) -> Result<(), String> {
    let order: Vec<_> = got.iter().map(kind).collect();
    let at = |wanted| order.iter().position(|kind| *kind == wanted);
    let legal = at("joined") < at("pinged")
        && at("left").is_none_or(|left| Some(left) < at("close"))
        && !order.contains(&"other")
        && (3..=4).contains(&order.len())
        && (order.len() == 3) == at("left").is_none();
    if !legal {
        return Err(format!("the order {order:?} is not legal"));
    }
    for step in race {
        let wanted: Value = serde_json::from_str(step.str("text")).map_err(|error| error.to_string())?;
        let Some(message) = got.iter().find(|message| kind(message) == kind(&wanted)) else { continue };
        Opaque::default().compare(&wanted, message).map_err(|why| format!("{why} in {}", brief(message)))?;
    }
    Ok(())
}
