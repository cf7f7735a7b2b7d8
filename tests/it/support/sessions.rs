//! A client of the session dialect that shares no code with the server: three transports, one session. It does what
//! `docs/sessions.md` asks of a client and nothing by itself; a test can also speak line by line.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    SILENCE,
    events::EventStream,
    http::{self, Response},
    websocket::{BINARY, Event, Frame, RawSocket},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Websocket,
    Sse,
    Longpoll,
}

pub(crate) const TRANSPORTS: [Transport; 3] = [Transport::Websocket, Transport::Sse, Transport::Longpoll];

/// What a client takes off a transport, and what it puts on one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    Text(String),
    Binary(Vec<u8>),
    Control(String),
    /// The close frame of a WebSocket.
    Close(u16),
    /// The connection, or the answer, ended.
    End,
}

/// A connection that carries a session, or did.
pub(crate) enum Attachment {
    Websocket(RawSocket),
    Sse(EventStream),
    /// The lines of the last answer that nobody looked at.
    Longpoll(VecDeque<String>),
}

/// One session, with what a client has to remember of it.
pub(crate) struct Session {
    pub(crate) address: SocketAddr,
    /// The mount's path.
    pub(crate) mount: String,
    pub(crate) token: String,
    /// How many frames were taken from the server.
    pub(crate) received: u64,
    /// Everything that was sent so far.
    pub(crate) sent: Vec<Line>,
    pub(crate) attachment: Attachment,
}

/// Milliseconds of silence that most tests are content with.
pub(crate) const BEAT: u64 = 30_000;

impl Transport {
    pub(crate) fn path(self, mount: &str) -> String {
        match self {
            Transport::Websocket => format!("{mount}/websocket?vsn=2.0.0"),
            Transport::Sse => format!("{mount}/sse?lapwing=1&vsn=2.0.0"),
            Transport::Longpoll => format!("{mount}/longpoll?lapwing=1&vsn=2.0.0"),
        }
    }
}

impl Session {
    pub(crate) async fn open(address: SocketAddr, mount: &str, transport: Transport) -> Session {
        Session::open_as(address, mount, transport, "", BEAT).await
    }

    /// `query` is put behind the rest, as in `&user=bob`.
    pub(crate) async fn open_as(
        address: SocketAddr,
        mount: &str,
        transport: Transport,
        query: &str,
        beat: u64,
    ) -> Session {
        let path = format!("{}{query}", transport.path(mount));
        let (attachment, greeting) = attach(address, transport, &path, &format!("!open {beat}")).await;
        let words: Vec<_> = greeting.split(' ').collect();
        let ["!opened", token, _window, _hold, ..] = words[..] else { panic!("opened: {greeting}") };
        let (mount, token) = (mount.to_owned(), token.to_owned());
        Session { address, mount, token, received: 0, sent: Vec::new(), attachment }
    }

    /// Goes on by another transport; returns what carried it before.
    pub(crate) async fn resume(&mut self, transport: Transport) -> Attachment {
        match self.try_resume(transport, self.received).await {
            Ok(before) => before,
            Err(refusal) => panic!("{transport:?}: {refusal}"),
        }
    }

    /// The same with any claim; the greeting if it is no `!resumed`.
    pub(crate) async fn try_resume(
        &mut self,
        transport: Transport,
        received: u64,
    ) -> Result<Attachment, String> {
        // A poll is only to say what there is: `next` waits.
        let beat = if transport == Transport::Longpoll { 0 } else { BEAT };
        let line = format!("!resume {} {received} {beat}", self.token);
        let (attachment, greeting) =
            attach(self.address, transport, &transport.path(&self.mount), &line).await;
        let Some(taken) = greeting.strip_prefix("!resumed ") else { return Err(greeting) };
        let taken: usize = taken.parse().expect("a number");
        let before = std::mem::replace(&mut self.attachment, attachment);
        let missing = self.sent.split_off(taken);
        for frame in missing {
            self.send(frame).await;
        }
        Ok(before)
    }

    /// Why the server refuses to go on.
    pub(crate) async fn refusal(&mut self, transport: Transport) -> String {
        match self.try_resume(transport, self.received).await {
            Ok(_) => panic!("{transport:?}: the session was resumed"),
            Err(greeting) => greeting.strip_prefix("!refused ").expect("a refusal").to_owned(),
        }
    }

    pub(crate) async fn send(&mut self, frame: Line) {
        self.sent.push(frame.clone());
        match &mut self.attachment {
            Attachment::Websocket(socket) => socket.send(message(&frame)).await,
            _ => {
                let number = self.sent.len();
                let answer = self.post_lines(&format!("!from {number}\n{}", encoded(&frame))).await;
                assert_eq!(answer, [format!("!ack {number}")]);
            }
        }
    }

    pub(crate) async fn send_json(&mut self, message: Value) {
        self.send(Line::Text(message.to_string())).await;
    }

    /// Says a control line: in a WebSocket as it is, else in a POST.
    pub(crate) async fn say(&mut self, line: &str) {
        match &mut self.attachment {
            Attachment::Websocket(socket) => socket.send(Frame::text(line)).await,
            _ => assert_eq!(self.post(line).await.status, 200, "{line}"),
        }
    }

    /// Waits until the server has acted on what was said: a POST was answered, a WebSocket has to be asked.
    pub(crate) async fn settle(&mut self) {
        if matches!(self.attachment, Attachment::Websocket(_)) {
            let taken = self.sent.len();
            self.say("!ping").await;
            self.expect_control(&format!("!pong {taken}")).await;
        }
    }

    /// The same where the server may ask what the client has.
    pub(crate) async fn settle_but_pings(&mut self) {
        if matches!(self.attachment, Attachment::Websocket(_)) {
            let (taken, mut line) = (self.sent.len(), None);
            self.say("!ping").await;
            while line.as_ref().is_none_or(|line| *line == Line::Control(format!("!ping {taken}"))) {
                line = Some(self.next().await);
            }
            assert_eq!(line, Some(Line::Control(format!("!pong {taken}"))));
        }
    }

    /// A POST of lines after `!send` and the token.
    pub(crate) async fn post(&self, lines: &str) -> Response {
        self.post_body(&format!("!send {}\n{lines}", self.token)).await
    }

    /// The lines of the answer to [`Session::post`].
    pub(crate) async fn post_lines(&self, lines: &str) -> Vec<String> {
        let response = self.post(lines).await;
        assert_eq!(response.status, 200, "{}", response.text());
        lines_of(&response)
    }

    pub(crate) async fn post_body(&self, body: &str) -> Response {
        post(self.address, &Transport::Sse.path(&self.mount), body).await
    }

    /// Polls once, with what follows the first line.
    pub(crate) async fn poll(&self, beat: u64, lines: &str) -> Response {
        let body = format!("!resume {} {} {beat}\n{lines}", self.token, self.received);
        post(self.address, &Transport::Longpoll.path(&self.mount), &body).await
    }

    /// What comes next. Frames are counted; polls until there is something.
    pub(crate) async fn next(&mut self) -> Line {
        while let Attachment::Longpoll(lines) = &self.attachment
            && lines.is_empty()
        {
            let mut answer: VecDeque<_> = lines_of(&self.poll(BEAT, "").await).into();
            if answer.front().is_some_and(|line| line.starts_with("!resumed ")) {
                answer.pop_front();
            }
            self.attachment = Attachment::Longpoll(answer);
        }
        let mut line = self.attachment.next().await;
        // The session has come from another node.
        while let Line::Control(control) = &line
            && let Some(token) = control.strip_prefix("!token ")
        {
            self.token = token.to_owned();
            line = self.attachment.next().await;
        }
        self.received += u64::from(matches!(line, Line::Text(_) | Line::Binary(_)));
        line
    }

    /// The same, but for the word that the program takes its time, which may come whenever it does.
    pub(crate) async fn next_but_busy(&mut self) -> Line {
        loop {
            match self.next().await {
                Line::Control(line) if line.starts_with("!busy ") => {}
                line => return line,
            }
        }
    }

    /// The next thing is a message, as it is.
    pub(crate) async fn next_json(&mut self) -> Value {
        match self.next_but_busy().await {
            Line::Text(text) => serde_json::from_str(&text).expect("a message is JSON"),
            line => panic!("wanted a message, got {line:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_json(&mut self, message: Value) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move { assert_eq!(self.next_json().await, message, "{caller}") }
    }

    /// The next thing is this control line.
    #[track_caller]
    pub(crate) fn expect_control(&mut self, wanted: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move { assert_eq!(self.next().await, Line::Control(wanted.into()), "{caller}") }
    }

    /// Nothing comes for a while; not for polls, which always say something.
    pub(crate) async fn expect_silence(&mut self) {
        if let Ok(line) = tokio::time::timeout(SILENCE, self.next()).await {
            panic!("wanted silence, got {line:?}");
        }
    }

    /// Leaves the session without a word, as a lost network does.
    pub(crate) fn cut(&mut self) {
        self.attachment = Attachment::Longpoll(VecDeque::new());
    }
}

impl Attachment {
    pub(crate) async fn next(&mut self) -> Line {
        match self {
            Attachment::Websocket(socket) => match socket.next_but_pongs().await {
                Event::Text(line) => decoded(&line),
                Event::Binary(bytes) => Line::Binary(bytes),
                Event::Close(code, _) => Line::Close(code),
                Event::End => Line::End,
                event => panic!("wanted a line, got {event:?}"),
            },
            Attachment::Sse(events) => events.next().await.map_or(Line::End, |line| decoded(&line)),
            Attachment::Longpoll(lines) => lines.pop_front().map_or(Line::End, |line| decoded(&line)),
        }
    }

    /// The last thing that a connection hears: the line, the WebSocket's close code, the end.
    pub(crate) async fn expect_end(&mut self, line: &str, code: u16) {
        assert_eq!(self.next().await, Line::Control(line.into()));
        if let Attachment::Websocket(socket) = self {
            assert_eq!(
                socket.next_within(Duration::from_secs(5)).await,
                Some(Event::Close(code, String::new()))
            );
            socket.send(Frame::close(code, "")).await;
        }
        assert_eq!(self.next().await, Line::End);
    }
}

/// A new connection that says this line: what it is, and what it is answered.
pub(crate) async fn attach(
    address: SocketAddr,
    transport: Transport,
    path: &str,
    line: &str,
) -> (Attachment, String) {
    let mut attachment = match transport {
        Transport::Websocket => {
            let mut socket = upgrade(address, path).await;
            socket.send(Frame::text(line)).await;
            Attachment::Websocket(socket)
        }
        Transport::Sse => Attachment::Sse(EventStream::request(address, "POST", path, &[], Some(line)).await),
        Transport::Longpoll => Attachment::Longpoll(lines_of(&post(address, path, line).await).into()),
    };
    match attachment.next().await {
        Line::Control(greeting) => (attachment, greeting),
        other => panic!("{transport:?}: wanted a greeting, got {other:?}"),
    }
}

/// A WebSocket on which nothing was said.
pub(crate) async fn upgrade(address: SocketAddr, path: &str) -> RawSocket {
    let offer = [("sec-websocket-protocol", "phoenix, lapwing.1")];
    let socket = RawSocket::handshake(address, path, &offer).await;
    let socket = socket.unwrap_or_else(|refusal| panic!("{path}: {} {}", refusal.status, refusal.text()));
    assert_eq!(socket.response.header("sec-websocket-protocol"), Some("lapwing.1"));
    socket
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> Response {
    http::request(address, "POST", path, &[], Some(body.as_bytes())).await
}

pub(crate) fn lines_of(response: &Response) -> Vec<String> {
    response.text().lines().map(str::to_owned).collect()
}

pub(crate) fn text(text: &str) -> Line {
    Line::Text(text.into())
}

/// A frame as a line of an HTTP body.
pub(crate) fn encoded(frame: &Line) -> String {
    match frame {
        Line::Text(text)
            if text.is_empty() || text.starts_with(['!', '"', '*']) || text.contains(['\r', '\n']) =>
        {
            Value::from(text.as_str()).to_string()
        }
        Line::Text(text) => text.clone(),
        Line::Binary(bytes) => format!("*{}", STANDARD.encode(bytes)),
        other => panic!("{other:?} is no frame"),
    }
}

/// A frame as a message of a WebSocket.
pub(crate) fn message(frame: &Line) -> Frame {
    match frame {
        Line::Binary(bytes) => Frame::new(BINARY, bytes),
        Line::Text(text) if text.contains(['\r', '\n']) && !text.starts_with(['!', '"', '*']) => {
            Frame::text(text)
        }
        frame => Frame::text(encoded(frame)),
    }
}

pub(crate) fn decoded(line: &str) -> Line {
    match line.as_bytes() {
        [b'!', ..] => Line::Control(line.into()),
        [b'"', ..] => Line::Text(serde_json::from_str(line).expect("a quoted frame is a JSON string")),
        [b'*', base64 @ ..] => Line::Binary(STANDARD.decode(base64).expect("base64")),
        [] => panic!("the server wrote an empty line"),
        _ => Line::Text(line.into()),
    }
}
