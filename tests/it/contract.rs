//! Every name of the source design's contract, used.

use std::sync::Arc;

use lapwing::{
    Broadcast, Channel, ChannelId, ChannelMailbox, ChannelRoute, Context, Failure, HandleResult, Handled,
    Joining, LeaveReason, Payload, Receive, StopReason, Topic, TransportId, noreply,
    protocol::{ChannelMsg, Ref, close_msg, error_msg, make_msg, parse, reply_msg, serialize},
    pubsub::PubSubMsg,
    reply, stop,
    testing::{new_context, new_socket},
};
use serde_json::{Value, json};

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(topic: &Topic, _params: Payload, _joining: &mut Joining<Self>) -> Result<Self, Failure> {
        if topic == "room:closed" { Err(Failure::reason("closed")) } else { Ok(Self) }
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, _cx: &Context<Self>) -> Handled {
        match event {
            "echo" => Ok(reply("ok", payload)),
            "bye" => Ok(stop(StopReason::Normal)),
            _ => Ok(noreply()),
        }
    }

    async fn leave(&mut self, reason: LeaveReason, cx: &Context<Self>) -> Result<(), Failure> {
        cx.push("left", json!({"reason": format!("{reason:?}")}))?;
        Ok(())
    }
}

impl Receive<&'static str> for Room {
    async fn handle_info(&mut self, message: &'static str, cx: &Context<Self>) -> Handled {
        cx.push("info", json!({"message": message}))?;
        Ok(noreply())
    }
}

#[test]
fn a_socket_has_its_topic_its_ids_its_join_ref_and_assigns() {
    let (socket, _pushed) =
        new_socket(Topic::from("room:1"), ChannelId(4), TransportId(2), Some(Ref::from("7")));
    assert_eq!(socket.topic(), "room:1");
    assert_eq!((socket.channel_id(), socket.transport_id()), (ChannelId(4), TransportId(2)));
    assert_eq!(socket.join_ref(), Some(&Ref::from("7")));
    assert_eq!(socket.get_assign::<u32>("count"), None);
    socket.assign("count", 3u32);
    assert_eq!(socket.get_assign::<u32>("count").as_deref(), Some(&3));
    assert_eq!(socket.assigns().keys().collect::<Vec<_>>(), ["count"]);
}

#[tokio::test]
async fn callbacks_give_results_and_push_to_their_client() {
    let join_ref = Some(Ref::from("7"));
    let (cx, pushed) = new_context::<Room>(Topic::from("room:1"), ChannelId(1), TransportId(2), join_ref, ());
    let mut room = Room;
    let result = room.handle_in("echo", json!({"a": 1}).into(), &cx).await;
    assert!(matches!(result, Ok(HandleResult::Reply(status, _)) if status == "ok"));
    assert!(matches!(room.handle_in("x", Payload::empty(), &cx).await, Ok(HandleResult::NoReply)));
    let result = room.handle_in("bye", Payload::empty(), &cx).await;
    assert!(matches!(result, Ok(HandleResult::Stop(StopReason::Normal))));
    room.handle_info("hello", &cx).await.unwrap();
    cx.broadcast("all", json!({})).expect("nobody is subscribed");
    cx.broadcast_from("others", json!({})).expect("nobody is subscribed");
    for reason in [LeaveReason::NormalLeave, LeaveReason::Disconnect, LeaveReason::Kicked("spam".into())] {
        room.leave(reason, &cx).await.unwrap();
    }
    let events: Vec<_> = pushed.take().into_iter().map(|msg| msg.event.to_string()).collect();
    assert_eq!(events, ["info", "left", "left", "left"]);
}

#[test]
fn a_route_has_a_pattern_and_a_handler_and_matches_exactly_or_by_prefix() {
    let exact = ChannelRoute::new::<Room>("notify:", ()).expect("the pattern is valid");
    assert!(exact.matches("notify:") && !exact.matches("notify:1"));
    let prefix = ChannelRoute::new::<Room>("room:*", ()).expect("the pattern is valid");
    assert!(prefix.matches("room:") && prefix.matches("room:1") && !prefix.matches("rooms"));
    assert_eq!(prefix.pattern(), "room:*");
    assert!(prefix.handler().ends_with("Room"));
    assert!(ChannelRoute::new::<Room>("*:room", ()).is_err());
}

#[test]
fn messages_are_made_serialized_and_parsed() {
    let refs = || (Some(Ref::from("0")), Some(Ref::from("1")));
    let (join_ref, reference) = refs();
    let msg: ChannelMsg = make_msg(join_ref, reference, "room:lobby", "new_msg", Payload::empty());
    let text = serialize(&msg).expect("an object can be serialized");
    assert_eq!(
        text, r#"{"join_ref":"0","ref":"1","topic":"room:lobby","event":"new_msg","payload":{}}"#,
        "the design's keys in the design's order"
    );
    let back = parse(&text).expect("what was serialized can be parsed");
    assert_eq!(back, msg);
    assert_eq!((&back.topic, &back.event), (&"room:lobby".into(), &"new_msg".into()));
    assert!(parse("{").is_err(), "a cause that can be shown, not a silent none");

    let payload = |msg: ChannelMsg| msg.payload.parse::<Value>().expect("a JSON payload");
    let (join_ref, reference) = refs();
    let replied = reply_msg(join_ref, reference, "room:lobby", "ok", json!({"id": 9}));
    assert_eq!(replied.event, "phx_reply");
    assert_eq!(payload(replied), json!({"status": "ok", "response": {"id": 9}}));
    let (join_ref, reference) = refs();
    let failed = error_msg(join_ref, reference, "room:lobby", "channel_crash");
    assert_eq!(failed.event, "phx_error");
    assert_eq!(payload(failed), json!({"reason": "channel_crash"}));
    let closed = close_msg(Some(Ref::from("0")), "room:lobby");
    assert_eq!(closed.event, "phx_close");
    assert_eq!(payload(closed), json!({}));
}

#[test]
fn a_mailbox_holds_events_infos_broadcasts_and_leaves() {
    let broadcast = Broadcast::new("room:1", "shout", json!({}));
    let messages = [
        ChannelMailbox::Event { event: "say".into(), payload: Payload::empty(), reference: None },
        ChannelMailbox::Info(Box::new(())),
        ChannelMailbox::Broadcast(Arc::new(broadcast)),
        ChannelMailbox::Away,
        ChannelMailbox::Back,
        ChannelMailbox::Leave(Some(Ref::from("2"))),
        ChannelMailbox::Stop(LeaveReason::Disconnect),
    ];
    let names: Vec<_> = messages.iter().map(|message| format!("{message:?}")).collect();
    assert_eq!(
        names,
        ["Event(\"say\")", "Info", "Broadcast(\"shout\")", "Away", "Back", "Leave", "Stop(Disconnect)"]
            .map(str::to_owned)
    );
}

/// `PubSubMsg` is what an adapter is given; see `server.rs` for one in use.
#[test]
fn what_an_adapter_carries_is_a_broadcast() {
    fn topic_of(message: &PubSubMsg) -> &Topic {
        &message.broadcast.topic
    }
    let _: fn(&PubSubMsg) -> &Topic = topic_of;
}
