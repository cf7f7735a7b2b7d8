//! Channels are told that a client is away when it is away for long, and only then.

use std::time::Duration;

use lapwing::{LongpollOptions, Mount, ResumeOptions};

use super::{broadcast, broadcasted, count, diary, expect_diary, join, joined, pause, serve};
use crate::support::{
    lateness::on_time,
    sessions::{Attachment, Session, TRANSPORTS, Transport},
};

/// Clients are away after so long.
const AWAY_AFTER_MS: u64 = 800;

fn mount() -> Mount {
    mount_with(Duration::from_millis(AWAY_AFTER_MS))
}

fn mount_with(away_after: Duration) -> Mount {
    Mount::new().resume(ResumeOptions::default().away_after(away_after))
}

#[tokio::test]
async fn a_channel_hears_that_its_client_is_away_and_that_it_is_back() {
    for transport in TRANSPORTS {
        let (lapwing, address) = serve(mount()).await;
        let mut session = joined(address, transport).await;
        session.cut();
        expect_diary(&lapwing, &["join", "away"]).await;
        broadcast(&lapwing, 1);
        session.resume(transport).await;
        expect_diary(&lapwing, &["join", "away", "back"]).await;
        session.expect_json(broadcasted(1)).await;
        count(&mut session, 1).await;
        session.cut();
        expect_diary(&lapwing, &["join", "away", "back", "away"]).await;
    }
}

#[tokio::test]
async fn quick_moves_are_nobodys_business() {
    on_time(|pace| async move {
        let (lapwing, address) = serve(mount_with(pace.ms(AWAY_AFTER_MS))).await;
        let mut session = joined(address, Transport::Websocket).await;
        for transport in [&TRANSPORTS[..], &TRANSPORTS[..]].concat() {
            session.cut();
            pace.pause(150).await;
            session.resume(transport).await;
            count_only(&mut session).await;
        }
        assert_eq!(diary(&lapwing), ["join"]);
    })
    .await;
}

/// A client may be silent for long on a connection that works: its next move is as quick as any other.
#[tokio::test]
async fn a_quick_move_after_a_long_silence_is_a_quick_move() {
    on_time(|pace| async move {
        let (lapwing, address) = serve(mount_with(pace.ms(AWAY_AFTER_MS))).await;
        let mut session =
            join(Session::open_as(address, "/socket", Transport::Websocket, "", 60_000).await).await;
        pace.pause(1_100).await;
        session.cut();
        pace.pause(150).await;
        session.resume(Transport::Sse).await;
        count_only(&mut session).await;
        assert_eq!(diary(&lapwing), ["join"]);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_polls_is_not_away() {
    on_time(|pace| async move {
        let (lapwing, address) = serve(
            mount_with(pace.ms(AWAY_AFTER_MS)).longpoll(LongpollOptions::default().window(pace.ms(1_000))),
        )
        .await;
        let session = joined(address, Transport::Longpoll).await;
        for _ in 0..2 {
            assert_eq!(session.poll(30_000, "").await.status, 200);
            pace.pause(50).await;
        }
        assert_eq!(diary(&lapwing), ["join"]);
    })
    .await;
}

/// Its frames wait for a busy channel, and it hangs up before they are taken: it is as gone as any other.
#[tokio::test]
async fn a_client_that_hangs_up_while_its_resume_waits_is_away() {
    let limits = lapwing::MailboxLimits::new().messages_max(4);
    for transport in [Transport::Sse, Transport::Longpoll] {
        let (lapwing, address) = serve(mount().mailbox(limits)).await;
        let mut session = joined(address, transport).await;
        session.cut();
        let wait = r#"["1","w","room:1","wait",{}]"#;
        let body = format!("!resume {} 1 5000\n!from 2{}", session.token, format!("\n{wait}").repeat(20));
        let path = transport.path("/socket");
        let resume = crate::support::sessions::post(address, &path, &body);
        assert!(
            tokio::time::timeout(Duration::from_millis(200), resume).await.is_err(),
            "{transport:?}: it waits"
        );
        // The room is busy: its diary has to wait.
        pause(1_200).await;
        lapwing.shared.gate.add_permits(100);
        expect_diary(&lapwing, &["join", "away"]).await;
    }
}

#[tokio::test]
async fn nobody_is_called_away_where_nobody_asked_for_it() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Websocket).await;
    session.cut();
    pause(800).await;
    session.resume(Transport::Sse).await;
    assert!(matches!(session.attachment, Attachment::Sse(_)));
    count_only(&mut session).await;
    assert_eq!(diary(&lapwing), ["join"]);
}

/// Proves that the join has handled all that came before.
async fn count_only(session: &mut Session) {
    session.send_json(serde_json::json!(["1", "c", "room:1", "count", {}])).await;
    assert_eq!(session.next_json().await[4]["status"], "ok");
}
