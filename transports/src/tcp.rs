//! What a server's TCP needs, beside [`http1`](crate::http1) and [`http2`](crate::http2).
//!
//! The kernel takes megabytes for a client that does not read, and only behind those does anything wait in its outbox, where a policy
//! for slow clients ([`policy`](crate::policy)) can still do something about it. So the kernel gets little more than what it can send at
//! once. What is under way, in the network and in the buffers of proxies, is not bounded by that; for resumable sessions
//! [`OutboxLimits::unacknowledged_bytes_max`](crate::session::outbox::OutboxLimits::unacknowledged_bytes_max) bounds all of it.

use std::io;

use tokio::net::TcpStream;

/// Two seconds of a client with 8 KB a second. Where there is room in the network the kernel is given more each time that it asks, which
/// is a write for each 16 KiB.
const UNSENT_BYTES_MAX: u32 = 16 * 1024;

/// Sets what a mount expects of a connection: small frames are sent at once, and on Linux the kernel takes 16 KiB more than it can send
/// (`TCP_NOTSENT_LOWAT`). To be called for each connection that is accepted; [`Lapwing::serve`] does it.
///
/// ```no_run
/// # async fn run(listener: tokio::net::TcpListener) -> std::io::Result<()> {
/// let (stream, _) = listener.accept().await?;
/// // That it fails is no reason not to serve.
/// let _ = lapwing_transports::tcp::configure(&stream);
/// # Ok(())
/// # }
/// ```
///
/// With `axum::serve`, which accepts by itself:
///
/// ```text
/// use axum::serve::ListenerExt as _;
///
/// let listener = listener.tap_io(|stream| drop(tcp::configure(stream)));
/// ```
///
/// # Errors
/// When the system refuses.
///
/// [`Lapwing::serve`]: https://docs.rs/lapwing/latest/lapwing/struct.Lapwing.html#method.serve
pub fn configure(stream: &TcpStream) -> io::Result<()> {
    configure_with(stream, UNSENT_BYTES_MAX)
}

/// The same with another number of bytes: fewer for states that are to be new, more for a server of large messages on fast lines.
///
/// # Errors
/// When the system refuses.
pub fn configure_with(stream: &TcpStream, unsent_bytes_max: u32) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(unsent_bytes_max)?;
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = unsent_bytes_max;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    /// How many bytes the kernel takes of a connection at whose other end nobody reads.
    async fn taken(configure: impl FnOnce(&TcpStream) -> io::Result<()>) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        configure(&server).unwrap();
        let (mut taken, mut refused) = (0, 0);
        while refused < 20 {
            match server.try_write(&[0; 16 * 1024]) {
                Ok(count) => (taken, refused) = (taken + count, 0),
                Err(_) => {
                    refused += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
        drop(client);
        taken
    }

    #[tokio::test]
    async fn the_kernel_takes_little_that_it_cannot_send() {
        let all = taken(|_| Ok(())).await;
        let (bounded, less) = (taken(configure).await, taken(|stream| configure_with(stream, 1)).await);
        let is_bounded = cfg!(any(target_os = "android", target_os = "linux"));
        assert!(
            !is_bounded || bounded < all / 4 && bounded <= less + 2 * 64 * 1024,
            "{bounded} of {all} bytes, {less} with the least"
        );
    }
}
