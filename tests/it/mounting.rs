//! One mount as a service: where its path is taken off, where it is left, and whom axum says the peer is.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Extension, Router};
use lapwing::{Accept, ConnectRequest, Lapwing, Mount, PeerAddr};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::{http, websocket::RawSocket};

/// What the program is told of each client: its address, and its parameter `room`.
type Seen = Arc<Mutex<Vec<(Option<SocketAddr>, Option<String>)>>>;

fn lapwing_at(path: &str) -> (Lapwing, Seen) {
    let seen = Seen::default();
    let mount = Mount::new().connect({
        let seen = seen.clone();
        move |request: ConnectRequest| {
            let room = request.params.get("room").and_then(Value::as_str).map(str::to_owned);
            seen.lock().unwrap().push((request.peer(), room));
            async { Ok(Accept::new()) }
        }
    });
    (Lapwing::builder().mount("/other", Mount::new()).mount(path, mount).build().unwrap(), seen)
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn opens(address: SocketAddr, path: &str) -> bool {
    RawSocket::handshake(address, &format!("{path}?vsn=2.0.0"), &[]).await.is_ok()
}

#[tokio::test]
async fn a_mount_is_found_with_its_path_taken_off_and_with_it_left() {
    let (lapwing, seen) = lapwing_at("/rooms/:room");
    let address = serve(
        Router::new()
            .nest_service("/nested", lapwing.at("/rooms/:room/").unwrap())
            .fallback_service(lapwing.at("/rooms/:room").unwrap()),
    )
    .await;
    assert!(opens(address, "/nested/websocket").await);
    assert!(opens(address, "/rooms/7/websocket").await);
    let rooms: Vec<_> = seen.lock().unwrap().drain(..).map(|(_, room)| room).collect();
    assert_eq!(rooms, [None, Some("7".to_owned())], "a variable is bound where the path is left");
    for elsewhere in ["/other/websocket", "/rooms/7", "/rooms/websocket/7", "/nested"] {
        assert_eq!(http::get(address, elsewhere).await.status, 404, "{elsewhere}");
    }
}

#[tokio::test]
async fn axum_says_who_the_peer_is_unless_the_program_does() {
    let (lapwing, seen) = lapwing_at("/socket");
    let behind: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let proxied = Router::new()
        .nest_service("/socket", lapwing.at("/socket").unwrap())
        .layer(Extension(PeerAddr(behind)));
    let address = serve(
        Router::new().nest_service("/socket", lapwing.at("/socket").unwrap()).nest("/proxied", proxied),
    )
    .await;
    assert!(opens(address, "/socket/websocket").await);
    assert!(opens(address, "/proxied/socket/websocket").await);
    let peers: Vec<_> = seen.lock().unwrap().drain(..).map(|(peer, _)| peer.unwrap()).collect();
    assert!(peers[0].ip().is_loopback() && peers[0].port() != 0, "{peers:?}");
    assert_eq!(peers[1], behind);
}
