//! The vectors of `docs/sessions.json` against the reader, the writer and the counter: all of them, none skipped.

use serde_json::{Value, json};

use super::{
    client::{ClientControl, ClientLine},
    lines::{CONTROL_BYTES_MAX, NUMBER_MAX, append_line, guarded},
    server::{Opened, Refused, ServerControl, ServerLine, Told},
};
use crate::{
    close::CloseReason,
    frame::Frame,
    session::{Seq, Session, Taken},
};

/// The cases of a section, of which there are so many.
fn cases(path: &str, count: usize) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(include_str!("../../../docs/sessions.json")).unwrap();
    let cases = vectors.pointer(path).and_then(Value::as_array).unwrap_or_else(|| panic!("no {path}"));
    assert_eq!(cases.len(), count, "{path}: a new vector needs a look at what runs it");
    cases.clone()
}

/// The frame that a case is about.
fn frame(case: &Value) -> ClientLine<'static> {
    match (case["text"].as_str(), case["bytes"].as_str()) {
        (Some(text), None) => ClientLine::Text(text.to_owned().into()),
        (None, Some(hex)) => {
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            ClientLine::Binary((0..hex.len()).step_by(2).map(byte).collect())
        }
        _ => panic!("neither text nor bytes: {case}"),
    }
}

#[test]
fn every_line_of_a_frame_is_read_as_the_frame() {
    for case in cases("/frames/cases", 16).iter().chain(&cases("/other_forms/cases", 3)) {
        let lines = [Some(&case["line"]), case.get("message")];
        for line in lines.into_iter().flatten().map(|line| line.as_str().unwrap()) {
            assert_eq!(ClientLine::parse(line), Ok(frame(case)), "{line}");
        }
    }
}

/// Those of a server are written by a session as well: `tests/lines.rs` sees that.
#[test]
fn every_frame_is_written_as_its_line() {
    for case in cases("/frames/cases", 16) {
        let frame = match frame(&case) {
            ClientLine::Text(text) => Frame::text(text),
            ClientLine::Binary(bytes) => Frame::binary(bytes),
            other => panic!("{other:?}"),
        };
        let mut out = Vec::new();
        append_line(&guarded(frame), &mut out);
        assert_eq!(String::from_utf8(out).as_deref(), Ok(case["line"].as_str().unwrap()));
    }
}

#[test]
fn every_control_line_is_read_as_its_words() {
    for case in cases("/control/from_client", 13) {
        let line = case["line"].as_str().unwrap();
        let read = match ClientLine::parse(line).unwrap_or_else(|error| panic!("{line}: {error}")) {
            ClientLine::Nothing => Value::Null,
            ClientLine::Control(control) => described(control),
            frame => panic!("{line} is no frame: {frame:?}"),
        };
        assert_eq!(read, case["is"], "{line}");
    }
}

#[test]
fn every_control_line_of_a_server_is_read_as_its_words() {
    for case in cases("/control/from_server", 17) {
        let line = case["line"].as_str().unwrap();
        let read = match ServerLine::parse(line).unwrap_or_else(|error| panic!("{line}: {error}")) {
            ServerLine::Nothing => Value::Null,
            ServerLine::Control(control) => said(control, &case["is"]),
            frame => panic!("{line} is no frame: {frame:?}"),
        };
        assert_eq!(read, case["is"], "{line}");
    }
}

/// `wanted` says only what the line said, where numbers may be left out.
fn said(control: ServerControl<'_>, wanted: &Value) -> Value {
    let counted = |word, Seq(received)| json!({"word": word, "received": received});
    match control {
        ServerControl::Opened(opened) => {
            let Opened { token, window_ms, hold_ms, frame_bytes_max, body_bytes_max, login_ms } = opened;
            let mut said = json!({"word": "opened", "token": token, "window": window_ms, "hold": hold_ms});
            for (name, number) in [("frame", frame_bytes_max), ("body", body_bytes_max)] {
                if wanted.get(name).is_some() || number < NUMBER_MAX {
                    said[name] = number.into();
                }
            }
            if let Some(login_ms) = login_ms {
                said["login"] = login_ms.into();
            }
            said
        }
        ServerControl::Resumed(taken) => counted("resumed", taken),
        ServerControl::Refused { word, told: None } => json!({"word": "refused", "reason": word.word()}),
        ServerControl::Refused { word, told: Some(Told { code, reason }) } => {
            json!({"word": "refused", "reason": word.word(), "code": code, "text": reason})
        }
        ServerControl::Ack(taken) => counted("ack", taken),
        ServerControl::Ping(taken) => counted("ping", taken),
        ServerControl::Pong(taken) => counted("pong", taken),
        ServerControl::Busy(taken) => counted("busy", taken),
        ServerControl::Superseded => json!({"word": "superseded"}),
        ServerControl::Closed { code, reason } => json!({"word": "closed", "code": code, "reason": reason}),
        ServerControl::Ticket(ticket) => json!({"word": "ticket", "ticket": ticket}),
        ServerControl::Token(token) => json!({"word": "token", "token": token}),
    }
}

#[test]
fn a_control_line_that_is_written_is_read_as_itself() {
    let number = Seq(NUMBER_MAX);
    let opened = Opened {
        token: "t",
        window_ms: 1,
        hold_ms: 0,
        frame_bytes_max: 2,
        body_bytes_max: NUMBER_MAX,
        login_ms: None,
    };
    let told = Some(Told { code: 4401, reason: "two words" });
    let refusals = ["unknown", "expired", "gap", "closed", "ahead", "forbidden", "full"];
    let refusals = refusals.map(|word| match ServerLine::parse(&format!("!refused {word}")) {
        Ok(ServerLine::Control(refused)) if refused.to_string().ends_with(word) => refused.to_string(),
        other => panic!("{word}: {other:?}"),
    });
    let mut lines: Vec<String> = refusals.into();
    for control in [
        ServerControl::Opened(opened),
        ServerControl::Opened(Opened { login_ms: Some(7), ..opened }),
        ServerControl::Refused { word: Refused::Forbidden, told },
        ServerControl::Closed { code: 4403, reason: "two words" },
        ServerControl::Resumed(number),
        ServerControl::Ack(number),
        ServerControl::Ping(Seq(0)),
        ServerControl::Pong(number),
        ServerControl::Busy(number),
        ServerControl::Superseded,
        CloseReason::Draining.into(),
        ServerControl::Ticket("ticket"),
        ServerControl::Token("token"),
    ] {
        lines.push(control.to_string());
        assert_eq!(ServerLine::parse(&control.to_string()), Ok(ServerLine::Control(control)));
    }
    for control in [
        ClientControl::Open { beat: 5_000 },
        ClientControl::Resume { token: "t", received: number, beat: 0 },
        ClientControl::Send { token: "t" },
        ClientControl::From(Seq(1)),
        ClientControl::Ack(number),
        ClientControl::Ping,
        ClientControl::Close,
        ClientControl::Path { round_trip: 35, failures: "sse:silent websocket:refused" },
        ClientControl::Path { round_trip: 0, failures: "" },
        ClientControl::Ticket,
    ] {
        lines.push(control.to_string());
        assert_eq!(ClientLine::parse(&control.to_string()), Ok(ClientLine::Control(control)));
    }
    assert!(lines.iter().all(|line| line.starts_with('!') && line.len() <= CONTROL_BYTES_MAX));
}

fn described(control: ClientControl<'_>) -> Value {
    match control {
        ClientControl::Open { beat } => json!({"word": "open", "beat": beat}),
        ClientControl::Resume { token, received: Seq(received), beat } => {
            json!({"word": "resume", "token": token, "received": received, "beat": beat})
        }
        ClientControl::Send { token } => json!({"word": "send", "token": token}),
        ClientControl::From(Seq(first)) => json!({"word": "from", "first": first}),
        ClientControl::Ack(Seq(received)) => json!({"word": "ack", "received": received}),
        ClientControl::Ping => json!({"word": "ping"}),
        ClientControl::Close => json!({"word": "close"}),
        ClientControl::Ticket => json!({"word": "ticket"}),
        ClientControl::Path { round_trip, failures } => {
            json!({"word": "path", "round_trip": round_trip, "failures": failures})
        }
    }
}

#[test]
fn every_breach_is_one() {
    for case in cases("/breaches/cases", 23) {
        let line = case.as_str().unwrap();
        assert!(ClientLine::parse(line).is_err(), "{line}");
    }
    // Half a character is none: clients that have strings of UTF-16 send it all the same.
    assert_eq!(ClientLine::parse("\"\\ud800\"").unwrap(), ClientLine::Text("\u{fffd}".into()));
    let longest = format!("!ack 1 {}", "x".repeat(CONTROL_BYTES_MAX - 7));
    assert!(ClientLine::parse(&longest).is_ok() && ClientLine::parse(&format!("{longest}x")).is_err());
}

#[test]
fn frames_are_counted_as_the_document_says() {
    for case in cases("/counting/cases", 4) {
        let mut session = Session::resumable();
        let numbers = case["numbers"].as_array().unwrap();
        let does = case["does"].as_array().unwrap();
        assert_eq!(numbers.len(), does.len());
        for (number, wanted) in numbers.iter().zip(does) {
            let done = match session.take(Seq(number.as_u64().unwrap())) {
                Taken::Next => "take",
                Taken::Duplicate => "drop",
                Taken::Early => "breach",
            };
            assert_eq!(done, wanted, "{case} at {number}");
        }
    }
}

#[test]
fn half_a_character_in_a_quoted_frame_is_read_as_the_replacement_character() {
    let read = |line| ClientLine::parse(line).unwrap();
    assert_eq!(read(r#""cut \ud83d""#), ClientLine::Text("cut \u{fffd}".into()));
    assert_eq!(read(r#""\ud83d\ude00\n""#), ClientLine::Text("😀\n".into()));
    assert!(ClientLine::parse(r#""\ud83""#).is_err());
}

#[test]
fn no_section_of_the_vectors_is_left_out() {
    let vectors: Value = serde_json::from_str(include_str!("../../../docs/sessions.json")).unwrap();
    let sections: Vec<_> = vectors.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(sections, ["about", "breaches", "control", "counting", "frames", "other_forms"]);
}
