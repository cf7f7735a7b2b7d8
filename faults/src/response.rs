//! One response on its way to the client.

use std::io;

use bytes::BytesMut;

use crate::{
    body::Form,
    inlet::Inlet,
    message::{Found, Response},
    outlet::Outlet,
    plan::Plan,
};

/// How a request was answered.
#[derive(Debug)]
pub(crate) enum Answered {
    /// By a whole response; another request may follow.
    Whole,
    /// By one after which the connection has to be closed.
    Last,
    /// By a 101, which was passed on.
    Upgraded,
    /// By something else than HTTP, which was left where it is, or by the server's end.
    Foreign,
    /// As far as the client will ever know, not at all.
    Never,
}

/// Takes the answer to one request from the server to the client.
#[derive(Debug)]
pub(crate) struct Relay<'a, 'b> {
    pub(crate) method: &'a str,
    pub(crate) plan: &'a Plan,
    pub(crate) server: &'a mut Inlet,
    pub(crate) client: &'a mut Outlet<'b>,
}

/// The treatment of a response.
#[derive(Clone, Copy)]
enum Treatment {
    Pass,
    /// Held back until so many bytes are there.
    Hold(usize),
    /// Read to its end and thrown away, then the connection is closed.
    Drop,
    /// Thrown away, and the connection stays open.
    Swallow,
    /// The head passes, the rest is swallowed.
    Mute,
}

impl Relay<'_, '_> {
    /// Dropping the future loses what was held back.
    pub(crate) async fn run(&mut self) -> io::Result<Answered> {
        let mut response = loop {
            let Some(response) = self.head().await? else { return Ok(Answered::Foreign) };
            match response.status {
                101 => {
                    self.client.write(response.head.as_bytes()).await?;
                    return Ok(Answered::Upgraded);
                }
                // HTTP/1.0 knows no interim responses.
                100..200 if self.plan.http10 => {}
                100..200 => self.client.write(response.head.as_bytes()).await?,
                _ => break response,
            }
        };
        self.edit(&mut response);
        let mut treatment = self.treatment(&response);
        let mut held = BytesMut::from(response.head.as_bytes());
        if matches!(treatment, Treatment::Mute) {
            self.client.write(&held).await?;
        }
        let form = if self.plan.http10 { Form::Data } else { Form::Raw };
        let mut is_cut_off = false;
        loop {
            response.framing.advance(&mut self.server.buffer, &mut held, form)?;
            let is_over = response.framing.is_over() || is_cut_off;
            match treatment {
                Treatment::Drop | Treatment::Swallow | Treatment::Mute => held.clear(),
                Treatment::Hold(enough) if held.len() < enough && !is_over => {}
                Treatment::Hold(_) | Treatment::Pass => {
                    treatment = Treatment::Pass;
                    self.client.write(&held).await?;
                    held.clear();
                }
            }
            if is_over {
                break;
            }
            is_cut_off = !self.server.fill().await?;
        }
        Ok(match treatment {
            Treatment::Swallow | Treatment::Mute => Answered::Never,
            Treatment::Drop => Answered::Last,
            _ if is_cut_off || self.plan.http10 => Answered::Last,
            _ => Answered::Whole,
        })
    }

    async fn head(&mut self) -> io::Result<Option<Response>> {
        loop {
            match Response::take(&mut self.server.buffer, self.method) {
                Found::Head(response) => return Ok(Some(response)),
                Found::Foreign => return Ok(None),
                Found::Part if self.server.fill().await? => {}
                Found::Part => return Ok(None),
            }
        }
    }

    fn treatment(&self, response: &Response) -> Treatment {
        if self.plan.swallow_post_replies && self.method == "POST" {
            return Treatment::Swallow;
        }
        if response.is_event_stream && self.plan.mute_event_streams {
            return Treatment::Mute;
        }
        if !response.is_event_stream && self.plan.drops_response_to(self.method) {
            return Treatment::Drop;
        }
        match usize::try_from(self.plan.buffer_bytes) {
            Ok(0) => Treatment::Pass,
            bytes => Treatment::Hold(response.head.as_bytes().len() + bytes.unwrap_or(usize::MAX)),
        }
    }

    fn edit(&self, response: &mut Response) {
        if self.plan.http10 {
            response.head.remove(&["connection", "keep-alive", "transfer-encoding"]);
            response.head.add("Connection: close");
            response.head.make_http10();
        }
    }
}
