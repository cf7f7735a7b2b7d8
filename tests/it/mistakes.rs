//! Mistakes of a program's: each is an error that names the option and the cure, and none a panic.

use std::{error::Error, time::Duration};

use lapwing::{
    Accept, Broadcast, BroadcastError, Builder, Channel, CheckOrigin, Drain, Failure, Joining, Keep, Lapwing,
    LongpollOptions, MailboxLimits, Mount, NameLimits, OutboxLimits, Payload, PresenceOptions, ResumeOptions,
    SlowPolicy, SseOptions, Topic, WebsocketOptions,
    protocol::{SerializerList, V2},
};

/// Lets everybody in and says nothing.
struct Quiet;

impl Channel for Quiet {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

/// What a server that cannot be built says, in one line that has all of it.
fn said(builder: Builder) -> String {
    let error = builder.build().expect_err("a mistake");
    let said = error.to_string();
    assert!(!said.contains('\n') && error.source().is_none(), "{said}");
    said
}

#[track_caller]
fn is_told(mount: Mount, words: &[&str]) {
    let said = said(Lapwing::builder().mount("/socket", mount));
    for word in words {
        assert!(said.contains(word), "{said:?} does not say {word:?}");
    }
}

#[test]
fn routes_that_cannot_be_taken() {
    let mount = Mount::new().channel::<Quiet>("ro*m", ());
    is_told(mount, &["ro*m", "last character"]);
    let mount = Mount::new().channel::<Quiet>("room:*", ()).channel::<Quiet>("room:*", ());
    is_told(mount, &["two routes", "room:*", "leave one out"]);
}

#[test]
fn patterns_that_are_of_no_use() {
    let rooms = || Mount::new().channel::<Quiet>("room:*", ());
    is_told(
        rooms().channel::<Quiet>("room:lobby", ()),
        &["Mount::channel", "room:lobby", "room:*", "before"],
    );
    let latest = SlowPolicy::latest;
    // A channel may subscribe to topics that no client can join.
    let subscribed = rooms().slow("prices:*", latest());
    assert!(Lapwing::builder().mount("/socket", subscribed).build().is_ok());
    for (first, second) in
        [("room:*", "room:*"), ("room:*", "room:lobby"), ("*", "room:*"), ("room:a", "room:a")]
    {
        let hidden = ["Mount::slow", second, first, "before"];
        is_told(rooms().slow(first, SlowPolicy::volatile()).slow(second, latest()), &hidden);
        let hidden = ["Mount::keep", second, first, "before"];
        is_told(rooms().keep(first, Keep::last(1)).keep(second, Keep::last(2)), &hidden);
    }
    let two = |policy| {
        Lapwing::builder()
            .mount("/a", rooms().slow("room:*", latest()))
            .mount("/b", rooms().slow("room:*", policy))
    };
    assert!(said(two(SlowPolicy::close())).contains("over all mounts"));
    assert!(two(latest()).build().is_ok(), "two mounts may say the same");
    for pattern in ["*", "room:lobby", "r*", "room:*"] {
        let mount = rooms().slow("room:shown", SlowPolicy::close()).slow(pattern, latest());
        assert!(Lapwing::builder().mount("/socket", mount).build().is_ok(), "{pattern}");
    }
    // Another mount's channel has the topics.
    let elsewhere =
        Lapwing::builder().mount("/a", Mount::new().slow("room:*", latest())).mount("/b", rooms());
    assert!(elsewhere.build().is_ok());
}

#[test]
fn policies_that_contradict_themselves() {
    let rooms = || Mount::new().channel::<Quiet>("room:*", ());
    for policy in
        [SlowPolicy::latest(), SlowPolicy::latest_of("a"), SlowPolicy::volatile(), SlowPolicy::close()]
    {
        let mistaken = policy.told_by("missed");
        is_told(rooms().slow("room:*", mistaken.clone()), &["SlowPolicy::told_by", "drop_oldest"]);
        let lapwing = Lapwing::builder().mount("/socket", rooms()).build().unwrap();
        let broadcast = Broadcast::new("room:1", "said", Payload::empty()).slow(mistaken);
        assert!(matches!(lapwing.publish(broadcast), Err(BroadcastError::Policy(_))));
    }
    for event in ["phx_reply", "presence_diff"] {
        let mistaken = SlowPolicy::drop_oldest(3).told_by(event);
        is_told(rooms().slow("room:*", mistaken), &["SlowPolicy::told_by", "another name"]);
    }
}

#[test]
fn a_token_that_nobody_has() {
    let mount = Mount::new().on_token(|_| async { Ok(Accept::new()) });
    is_told(mount, &["Mount::on_token", "Mount::connect"]);
}

/// Which is a name that was forgotten.
#[test]
fn what_is_published_on_no_topic_reaches_nobody_and_is_an_error() {
    let lapwing = Lapwing::builder().build().unwrap();
    let counted =
        || lapwing.openmetrics().contains("lapwing_broadcasts_failed_total{reason=\"invalid\"} 2\n");
    assert!(matches!(lapwing.broadcast("", "said", Payload::empty()), Err(BroadcastError::EmptyTopic)));
    assert!(!counted());
    let broadcast = Broadcast::new("", "said", Payload::empty());
    assert!(matches!(lapwing.publish(broadcast), Err(BroadcastError::EmptyTopic)));
    assert!(counted());
}

#[test]
fn paths_that_match_nothing() {
    for (path, cure) in [
        ("/rooms/:", "/rooms/:room"),
        ("/:a/:a", "rename one"),
        ("/rooms/{room}", "/rooms/:room"),
        ("/rooms/*rest", "no wildcards"),
        ("/socket?vsn=2.0.0", "take out the query"),
    ] {
        let said = said(Lapwing::builder().mount(path, Mount::new()));
        assert!(said.contains(path) && said.contains(cure), "{said}");
    }
    let said = said(Lapwing::builder().mount("/a", Mount::new()).mount("/a/", Mount::new()));
    assert!(said.contains("two mounts at \"/a/\""), "{said}");
}

#[test]
fn a_mount_that_there_is_not() {
    let lapwing = Lapwing::builder().mount("/a", Mount::new()).mount("/b/:c", Mount::new()).build().unwrap();
    for said in [lapwing.at("/c").unwrap_err().to_string(), lapwing.routes("/c").err().unwrap().to_string()] {
        assert_eq!(said, r#"there is no mount at "/c": the mounts are "/a", "/b/:c""#);
    }
    let empty = Lapwing::builder().build().unwrap();
    assert!(empty.at("/a").unwrap_err().to_string().contains("Builder::mount"));
}

#[test]
fn bounds_that_let_nothing_through() {
    let none = Duration::ZERO;
    let websocket = WebsocketOptions::default;
    let longpoll = LongpollOptions::default;
    let resume = ResumeOptions::default;
    for (mount, option) in [
        (Mount::new().joins_max(0), "Mount::joins_max"),
        (Mount::new().sessions_max(0), "Mount::sessions_max"),
        (Mount::new().budget(0), "Mount::budget"),
        (Mount::new().connect_timeout(none), "Mount::connect_timeout"),
        (Mount::new().outbox(OutboxLimits::new().frames_max(0)), "OutboxLimits::frames_max"),
        (Mount::new().outbox(OutboxLimits::new().bytes_max(0)), "OutboxLimits::bytes_max"),
        (
            Mount::new().outbox(OutboxLimits::new().unacknowledged_frames_max(0)),
            "OutboxLimits::unacknowledged_frames_max",
        ),
        (
            Mount::new().outbox(OutboxLimits::new().unacknowledged_bytes_max(0)),
            "OutboxLimits::unacknowledged_bytes_max",
        ),
        (Mount::new().mailbox(MailboxLimits::new().messages_max(0)), "MailboxLimits::messages_max"),
        (Mount::new().mailbox(MailboxLimits::new().bytes_max(0)), "MailboxLimits::bytes_max"),
        (Mount::new().names(NameLimits::new().topic_bytes_max(0)), "NameLimits::topic_bytes_max"),
        (Mount::new().names(NameLimits::new().event_bytes_max(0)), "NameLimits::event_bytes_max"),
        (Mount::new().names(NameLimits::new().ref_bytes_max(0)), "NameLimits::ref_bytes_max"),
        (Mount::new().websocket(websocket().idle_timeout(none)), "WebsocketOptions::idle_timeout"),
        (Mount::new().websocket(websocket().message_timeout(none)), "WebsocketOptions::message_timeout"),
        (Mount::new().websocket(websocket().frame_bytes_max(0)), "WebsocketOptions::frame_bytes_max"),
        (Mount::new().websocket(websocket().message_bytes_max(0)), "WebsocketOptions::message_bytes_max"),
        (Mount::new().websocket(websocket().fragments_max(0)), "WebsocketOptions::fragments_max"),
        (Mount::new().longpoll(longpoll().window(none)), "LongpollOptions::window"),
        (Mount::new().longpoll(longpoll().answer_bytes_max(0)), "LongpollOptions::answer_bytes_max"),
        (Mount::new().longpoll(longpoll().body_bytes_max(0)), "LongpollOptions::body_bytes_max"),
        (Mount::new().longpoll(longpoll().body_timeout(none)), "LongpollOptions::body_timeout"),
        (Mount::new().longpoll(longpoll().batch_max(0)), "LongpollOptions::batch_max"),
        (Mount::new().resume(resume().window(none)), "ResumeOptions::window"),
        (Mount::new().resume(resume().unproven(none)), "ResumeOptions::unproven"),
        (Mount::new().resume(resume().greeting_timeout(none)), "ResumeOptions::greeting_timeout"),
        (Mount::new().resume(resume().body_bytes_max(0)), "ResumeOptions::body_bytes_max"),
        (Mount::new().resume(resume().body_timeout(none)), "ResumeOptions::body_timeout"),
        (Mount::new().resume(resume().lines_max(0)), "ResumeOptions::lines_max"),
        (Mount::new().sse(SseOptions::default().ticket_lifetime(none)), "SseOptions::ticket_lifetime"),
        (Mount::new().drain(Drain::default().batch(0)), "Drain::batch"),
        (Mount::new().rejoin_after_gaps(0), "Mount::rejoin_after_gaps"),
        (Mount::new().keep("a:*", Keep::last(0)), "Keep::last"),
        (Mount::new().keep("a:*", Keep::last(1).for_at_most(none)), "Keep::for_at_most"),
        (Mount::new().keep("a:*", Keep::last(1).bytes_max(0)), "Keep::bytes_max"),
        (Mount::new().keep("a:*", Keep::last(1).replay_max(0)), "Keep::replay_max"),
        (Mount::new().keep("a:*", Keep::last(1).replay_bytes_max(0)), "Keep::replay_bytes_max"),
    ] {
        is_told(mount, &[&format!("{option}: 0 "), "leave it out for the default"]);
    }
    let said = said(Lapwing::builder().history_bytes_max(0));
    assert!(said.contains("Builder::history_bytes_max: 0 lets nothing through"), "{said}");
    is_told(
        Mount::new().sse(SseOptions::default().tickets_max(0)),
        &["SseOptions::tickets_max", "without_sse"],
    );
}

#[test]
fn bounds_of_presence_that_let_nothing_through() {
    let presence = PresenceOptions::default;
    for (options, option) in [
        (presence().tick(Duration::ZERO), "tick"),
        (presence().burst(0), "burst"),
        (presence().diff_bytes_max(0), "diff_bytes_max"),
        (presence().queue_max(0), "queue_max"),
        (presence().key_bytes_max(0), "key_bytes_max"),
        (presence().meta_bytes_max(0), "meta_bytes_max"),
        (presence().per_join_max(0), "per_join_max"),
        (presence().state_bytes_max(0), "state_bytes_max"),
    ] {
        let said = said(Lapwing::builder().presence(options));
        assert!(said.contains(&format!("PresenceOptions::{option}: 0 ")), "{said}");
    }
    let said_of = |options| said(Lapwing::builder().presence(options));
    assert!(said_of(presence().count_only("a*b").count_only("c*d")).contains("\"a*b\""));
    let contradiction = said_of(presence().state_bytes_max(1_000));
    assert!(
        contradiction.contains("PresenceOptions::meta_bytes_max") && contradiction.contains("larger state")
    );
}

#[test]
fn options_that_contradict_each_other() {
    let away = ResumeOptions::default().window(Duration::from_secs(10)).away_after(Duration::from_secs(10));
    is_told(Mount::new().resume(away), &["ResumeOptions::away_after", "less than the window"]);
    let words = ["OutboxLimits::bytes_max", "WebsocketOptions::message_bytes_max"];
    is_told(Mount::new().outbox(OutboxLimits::new().bytes_max(1_000_000)), &words);
    is_told(Mount::new().websocket(WebsocketOptions::default().message_bytes_max(20_000_000)), &words);
    is_told(Mount::new().longpoll(LongpollOptions::default().body_bytes_max(20_000_000)), &words);
    let budget = ["Mount::budget", "WebsocketOptions::message_bytes_max"];
    is_told(Mount::new().budget(11_000_000), &budget);
    let nothing = Mount::new().without_websocket().without_longpoll().without_resume();
    is_told(nothing, &["no transport is left", "without_websocket"]);
    let same = Mount::new().longpoll(LongpollOptions::default().path("websocket"));
    is_told(same, &["LongpollOptions::path", "one path", "its own"]);
    is_told(Mount::new().sse(SseOptions::default().path("websocket")), &["SseOptions::path", "one path"]);
}

#[test]
fn words_that_are_none() {
    for (path, cure) in [("", "such as the default"), ("a/b", "one segment")] {
        is_told(
            Mount::new().websocket(WebsocketOptions::default().path(path)),
            &["WebsocketOptions::path", cure],
        );
    }
    for host in [
        "",
        "https://example.com",
        "*.example.com",
        "localhost:4901",
        "example.com:",
        "example.com/chat",
        "example.com?a",
        "user@example.com",
        "[::1]:4901",
        "a b",
    ] {
        is_told(
            Mount::new().host(host),
            &["Mount::host", "example.com", "without a scheme, a port or a path"],
        );
    }
    for host in ["localhost", "example.com", "xn--bcher-kva.example", "192.0.2.1", "[::1]", "::1"] {
        assert!(Lapwing::builder().mount("/socket", Mount::new().host(host)).build().is_ok(), "{host}");
    }
    let nobody = CheckOrigin::list([]).unwrap();
    is_told(Mount::new().check_origin(nobody), &["Mount::check_origin", "the list is empty"]);
    is_told(
        Mount::new().serializers(SerializerList::new()),
        &["Mount::serializers", "SerializerList::default"],
    );
    let serializers = SerializerList::default().with("^2.0", V2);
    is_told(Mount::new().serializers(serializers), &["\"^2.0\"", "~> 2.0.0"]);
    assert!(CheckOrigin::list(["https://example.com/path?query"]).is_err());
}

#[test]
fn what_is_left_out_stays_out_whatever_else_is_said_of_it() {
    let mount = Mount::new()
        .without_sse()
        .without_longpoll()
        .without_websocket()
        .sse(SseOptions::default())
        .longpoll(LongpollOptions::default())
        .websocket(WebsocketOptions::default());
    is_told(mount, &["no transport is left"]);
    let mount = Mount::new().without_resume().resume(ResumeOptions::default());
    is_told(mount.without_websocket().without_longpoll(), &["no transport is left"]);
}

/// A hundred years are enough.
#[test]
fn a_time_that_is_too_long_is_no_panic() {
    let lapwing = Lapwing::builder().fetch(Duration::MAX, |_, _| async { std::collections::HashMap::new() });
    let forever = Mount::new()
        .websocket(WebsocketOptions::default().idle_timeout(Duration::MAX).linger(Duration::MAX))
        .resume(ResumeOptions::default().window(Duration::MAX).ended_lifetime(Duration::MAX))
        .longpoll(LongpollOptions::default().window(Duration::MAX));
    assert!(lapwing.shutdown_timeout(Duration::MAX).mount("/socket", forever).build().is_ok());
}
