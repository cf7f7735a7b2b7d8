//! A gateway that speaks HTTP/1.1 to clients and HTTP/2 to the server, as a content delivery network does: whatever the
//! tests' other clients do goes over streams of **one** connection.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream, client::SendRequest, ext::Protocol};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::{Frame, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::websocket::SAMPLE_ACCEPT;

type Body = UnsyncBoxBody<Bytes, h2::Error>;

/// Listens until the test ends; what it hears goes to `target`.
pub(crate) async fn start(target: SocketAddr) -> SocketAddr {
    let stream = TcpStream::connect(target).await.expect("the server accepts connections");
    stream.set_nodelay(true).expect("TCP_NODELAY can be set");
    let mut builder = h2::client::Builder::new();
    // Room for eight megabytes on one stream while nobody reads another.
    builder.initial_window_size(1 << 20).initial_connection_window_size(64 << 20);
    let (requests, connection) = builder.handshake::<_, Bytes>(stream).await.expect("HTTP/2 begins");
    tokio::spawn(connection);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let requests = requests.clone();
            let service = service_fn(move |request| forward(requests.clone(), request));
            let server =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
            tokio::spawn(server);
        }
    });
    address
}

async fn forward(
    requests: SendRequest<Bytes>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, h2::Error> {
    let on_upgrade = hyper::upgrade::on(&mut request);
    let is_upgrade = request.headers().contains_key(header::UPGRADE);
    let (mut head, body) = request.into_parts();
    let host = head.headers.remove(header::HOST);
    let host = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("localhost").to_owned();
    let path = head.uri.path_and_query().expect("a path").as_str();
    head.uri = format!("http://{host}{path}").parse::<Uri>().expect("an address");
    for name in ["connection", "upgrade", "sec-websocket-key"] {
        head.headers.remove(name);
    }
    if is_upgrade {
        head.method = Method::CONNECT;
        head.extensions.insert(Protocol::from_static("websocket"));
    }
    let mut forwarded = Request::new(());
    *forwarded.method_mut() = head.method;
    *forwarded.uri_mut() = head.uri;
    *forwarded.headers_mut() = head.headers;
    *forwarded.extensions_mut() = head.extensions;
    let mut requests = requests.ready().await?;
    let (response, mut up) = requests.send_request(forwarded, false)?;
    if !is_upgrade {
        // A client that breaks off in the middle of its body has its stream reset by the drop.
        if let Ok(body) = body.collect().await {
            up.send_data(body.to_bytes(), true)?;
        }
    }
    let (head, down) = response.await?.into_parts();
    if is_upgrade && head.status == StatusCode::OK {
        tokio::spawn(async move {
            if let Ok(upgraded) = on_upgrade.await {
                tunnel(TokioIo::new(upgraded), up, down).await;
            }
        });
        return Ok(switching(head.headers));
    }
    let mut response = Response::new(streamed(down));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    Ok(response)
}

/// The answer to an upgrade. The key is the gateway's own business, and always the sample.
fn switching(mut headers: HeaderMap) -> Response<Body> {
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, header::HeaderValue::from_static(SAMPLE_ACCEPT));
    let mut response = Response::new(Full::default().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

fn streamed(down: RecvStream) -> Body {
    let frames = futures_util::stream::unfold(down, async |mut down| {
        let next = down.data().await?.and_then(|bytes| {
            down.flow_control().release_capacity(bytes.len())?;
            Ok(Frame::data(bytes))
        });
        Some((next, down))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Carries bytes both ways. The end of one side is told to the other; a lost client resets its stream.
async fn tunnel(io: TokioIo<hyper::upgrade::Upgraded>, mut up: SendStream<Bytes>, mut down: RecvStream) {
    let (mut reader, mut writer) = tokio::io::split(io);
    let upward = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(64 * 1024);
            match reader.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if up.send_data(buffer.split().freeze(), false).is_err() {
                return;
            }
        }
    };
    let downward = async {
        while let Some(Ok(bytes)) = down.data().await {
            let _ = down.flow_control().release_capacity(bytes.len());
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    tokio::select! {
        () = upward => {}
        () = downward => {}
    }
}
