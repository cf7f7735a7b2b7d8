//! A program that drops its server, instead of shutting it down, keeps nothing of it.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use lapwing::{
    Channel, Context, Failure, Handled, Joining, Lapwing, LeaveReason, Mount, Payload, Topic, noreply,
};
use tokio::sync::mpsc;
use tower_service::Service as _;

/// Reports that it has left.
struct Guest(mpsc::UnboundedSender<&'static str>);

impl Channel for Guest {
    type State = ();

    async fn join(_: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        let events = joining.assigns().get::<mpsc::UnboundedSender<&'static str>>("events").unwrap();
        events.send("joined").unwrap();
        Ok(Self((*events).clone()))
    }

    async fn handle_in(&mut self, _: &str, _: Payload, _: &Context<Self>) -> Handled {
        Ok(noreply())
    }

    async fn leave(&mut self, reason: LeaveReason, _: &Context<Self>) -> Result<(), Failure> {
        assert_eq!(reason, LeaveReason::Draining);
        self.0.send("left").unwrap();
        Ok(())
    }
}

#[tokio::test]
async fn sessions_that_nothing_carries_end_with_their_server() {
    let (events, mut heard) = mpsc::unbounded_channel();
    let accept = lapwing::Accept::new().assign("events", events);
    let mount = Mount::new().channel::<Guest>("room:*", ()).connect(move |_| {
        let accept = accept.clone();
        async move { Ok(accept) }
    });
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let mut service = lapwing.service();
    let mut post = async |body: String| {
        let request = Request::post("/socket/longpoll?lapwing=1&vsn=2.0.0")
            .body(Full::<bytes::Bytes>::from(body))
            .unwrap();
        let answer = service.call(request).await.unwrap().into_body().collect().await.unwrap();
        String::from_utf8(answer.to_bytes().to_vec()).unwrap()
    };
    let opened = post("!open 0".into()).await;
    let token = opened.split_whitespace().nth(1).unwrap().to_owned();
    let join = r#"["1","1","room:1","phx_join",{}]"#;
    assert!(post(format!("!send {token}\n!from 1\n{join}")).await.starts_with("!ack 1"));
    let next = async |heard: &mut mpsc::UnboundedReceiver<&'static str>| {
        tokio::time::timeout(Duration::from_secs(30), heard.recv()).await.expect("within half a minute")
    };
    assert_eq!(next(&mut heard).await, Some("joined"));
    drop((service, lapwing));
    assert_eq!(next(&mut heard).await, Some("left"));
    // The last who could send is gone: the mount, its session, the join and the channel in it.
    assert_eq!(next(&mut heard).await, None);
}
