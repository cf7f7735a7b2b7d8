//! The WebSocket of an examination: each message goes back.

use std::{sync::Arc, time::Duration};

use lapwing::{
    CheckOrigin, ConnectRequest, Refusal, WebsocketOptions,
    transports::{
        close::CloseReason,
        endpoint::Endpoint,
        frame::{Frame, Message},
        handler::Handler,
        live::LiveSession,
        options::TransportOptions,
    },
};

/// Sessions at once: two of a page.
const SESSIONS_MAX: usize = 2_000;

/// An examination is over long before.
const IDLE: Duration = Duration::from_secs(30);

const MESSAGE_BYTES_MAX: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Echo;

impl Echo {
    pub(crate) fn endpoint() -> Endpoint<Self> {
        let websocket = WebsocketOptions::default()
            .idle_timeout(IDLE)
            .frame_bytes_max(MESSAGE_BYTES_MAX)
            .message_bytes_max(MESSAGE_BYTES_MAX);
        // There is nothing that a page of another site could learn or do, and a proxy may have changed the host.
        let options = TransportOptions::default()
            .check_origin(CheckOrigin::Off)
            .websocket(websocket)
            .without_longpoll()
            .without_resume()
            .sessions_max(SESSIONS_MAX);
        Endpoint::new(Self, options)
    }
}

impl Handler for Echo {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, session: &Arc<LiveSession<()>>, message: Message<'_>) -> Result<(), CloseReason> {
        session.push(match message {
            Message::Text(text) => Frame::text(text),
            Message::Binary(bytes) => Frame::binary(bytes.to_vec()),
        });
        Ok(())
    }
}
