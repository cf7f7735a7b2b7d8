//! The recorded exchanges of a real Phoenix 1.8.12, read into steps.

use serde_json::Value;

/// One recorded case.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) transport: String,
    /// Empty where the case chooses its version itself.
    pub(crate) vsn: String,
    pub(crate) steps: Vec<Step>,
}

pub(crate) struct Step {
    /// The client; empty for a remark of the recorder.
    pub(crate) client: String,
    /// Milliseconds from the start of the case.
    pub(crate) at_ms: u64,
    pub(crate) op: Op,
    /// The step as it was recorded, for what is compared whole and for messages.
    pub(crate) raw: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// A WebSocket handshake.
    Connect,
    Open,
    Refused,
    /// The client refuses what the server opened.
    ClientError,
    Send(Sent),
    Recv,
    Pong,
    ClientClose,
    Close,
    /// The recorder had more to send, but the connection was closed by then.
    NotSent,
    Request,
    /// The answer to the request at this step.
    Response {
        request: usize,
    },
    RawSend,
    RawRecv,
    TcpEnd,
    Summary,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sent {
    Text(String),
    /// Bytes in a text frame.
    NotText(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    /// A `ping` event with so many bytes, which the recording leaves out.
    Big(usize),
}

const RECORDINGS: &str = include_str!("../../data/phoenix-1.8.12.jsonl");

pub(crate) fn cases() -> Vec<Case> {
    RECORDINGS.lines().map(|line| case(&serde_json::from_str(line).expect("a recording is JSON"))).collect()
}

impl Case {
    pub(crate) fn title(&self) -> String {
        let vsn = if self.vsn.is_empty() { "-" } else { &self.vsn };
        format!("{} ({} {vsn})", self.name, self.transport)
    }

    /// How long the recording took: what decides which cases run beside each other.
    pub(crate) fn duration_ms(&self) -> u64 {
        self.steps.iter().map(|step| step.at_ms).max().unwrap_or(0)
    }
}

impl Step {
    pub(crate) fn str(&self, key: &str) -> &str {
        self.raw[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {}", self.raw))
    }

    /// The path and query of the step's URL.
    pub(crate) fn path(&self) -> &str {
        let url = self.str("url");
        let start = url.find("://").map_or(0, |at| at + 3);
        &url[start + url[start..].find('/').expect("a URL has a path")..]
    }

    pub(crate) fn headers(&self) -> Vec<(&str, &str)> {
        let headers = self.raw["headers"].as_object();
        let pairs = headers.into_iter().flatten();
        pairs.map(|(name, value)| (name.as_str(), value.as_str().expect("a header is a string"))).collect()
    }
}

fn case(recorded: &Value) -> Case {
    let text = |key: &str| recorded[key].as_str().unwrap_or_default().to_owned();
    let mut steps: Vec<Step> = Vec::new();
    for raw in recorded["steps"].as_array().expect("a case has steps") {
        let client = raw["c"].as_str().unwrap_or_default().to_owned();
        // The recorder's own remarks have no time: they belong where they stand.
        let at_ms = raw["t"].as_u64().or(steps.last().map(|step| step.at_ms)).unwrap_or(0);
        let op = op(raw, &client, at_ms, &steps);
        steps.push(Step { client, at_ms, op, raw: raw.clone() });
    }
    Case { name: text("case"), transport: text("transport"), vsn: text("vsn"), steps }
}

fn op(raw: &Value, client: &str, at_ms: u64, before: &[Step]) -> Op {
    let bytes = |key: &str| raw[key].as_str().map(unhex).unwrap_or_default();
    match raw["op"].as_str().expect("a step has an op") {
        "connect" => Op::Connect,
        "open" => Op::Open,
        "refused" => Op::Refused,
        "client_error" => Op::ClientError,
        "send" => Op::Send(match (raw["text"].as_str(), raw["hex"].as_str()) {
            (Some(text), _) => Sent::Text(text.to_owned()),
            (_, Some(hex)) => Sent::Binary(unhex(hex)),
            _ => Sent::NotText(bytes("text_frame_hex")),
        }),
        "client_ping" => Op::Send(Sent::Ping(bytes("hex"))),
        "send_ping_with_payload_bytes" => Op::Send(Sent::Big(raw["n"].as_u64().expect("a size") as usize)),
        "recv" => Op::Recv,
        "pong" => Op::Pong,
        "client_close" => Op::ClientClose,
        "close" => Op::Close,
        "not_sent_closed" => Op::NotSent,
        "request" => Op::Request,
        "response" => Op::Response { request: request_of(raw, client, at_ms, before) },
        "raw_send" => Op::RawSend,
        "raw_recv" => Op::RawRecv,
        "tcp_end" => Op::TcpEnd,
        "summary" => Op::Summary,
        other => panic!("a recording has the unknown step {other:?}"),
    }
}

/// Which unanswered request of this client a response belongs to: the one sent `took_ms` before it.
fn request_of(response: &Value, client: &str, at_ms: u64, before: &[Step]) -> usize {
    let sent_ms = at_ms.saturating_sub(response["took_ms"].as_u64().unwrap_or(0));
    let answered = |index: usize| before.iter().any(|step| step.op == Op::Response { request: index });
    (0..before.len())
        .filter(|&index| {
            before[index].op == Op::Request && before[index].client == client && !answered(index)
        })
        .min_by_key(|&index| before[index].at_ms.abs_diff(sent_ms))
        .expect("a response has a request")
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}
