//! The WebSocket of an examination: each message goes back.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

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
use tokio::{task::AbortHandle, time::sleep};

/// Sessions at once: two of a page.
const SESSIONS_MAX: usize = 2_000;

/// An examination is over long before. Whoever keeps its WebSockets would keep others out.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(30);

const MESSAGE_BYTES_MAX: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Echo {
    time_max: Duration,
}

/// What ends a session when its time is over; it goes with the session.
#[derive(Debug, Default)]
pub(crate) struct Timer(OnceLock<AbortHandle>);

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(timer) = self.0.get() {
            timer.abort();
        }
    }
}

impl Echo {
    pub(crate) fn endpoint(time_max: Duration) -> Endpoint<Self> {
        let websocket = WebsocketOptions::default()
            .idle_timeout(TIME_MAX)
            .frame_bytes_max(MESSAGE_BYTES_MAX)
            .message_bytes_max(MESSAGE_BYTES_MAX);
        // There is nothing that a page of another site could learn or do, and a proxy may have changed the host.
        let options = TransportOptions::default()
            .check_origin(CheckOrigin::Off)
            .websocket(websocket)
            .without_longpoll()
            .without_resume()
            .sessions_max(SESSIONS_MAX);
        Endpoint::new(Self { time_max }, options)
    }
}

impl Handler for Echo {
    type State = Timer;

    async fn connect(&self, _: ConnectRequest) -> Result<Timer, Refusal> {
        Ok(Timer::default())
    }

    fn opened(&self, session: &Arc<LiveSession<Timer>>) {
        let (weak, time_max) = (Arc::downgrade(session), self.time_max);
        let timer = tokio::spawn(async move {
            sleep(time_max).await;
            if let Some(session) = weak.upgrade() {
                session.close(CloseReason::Disconnected);
            }
        });
        let _ = session.state().0.set(timer.abort_handle());
    }

    fn received(&self, session: &Arc<LiveSession<Timer>>, message: Message<'_>) -> Result<(), CloseReason> {
        session.push(match message {
            Message::Text(text) => Frame::text(text),
            Message::Binary(bytes) => Frame::binary(bytes.to_vec()),
        });
        Ok(())
    }
}
