//! The bytes below: a socket, encrypted or not.

use std::{io, time::Duration};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf},
    net::TcpStream,
};

/// How long a socket may take to open; the driver bounds the whole attempt.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(1);

/// What is read at once.
const READ_BYTES: usize = 64 * 1024;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to a server, as bytes that have come and bytes that are to go.
pub(crate) struct Socket {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    pub(crate) read: BytesMut,
    pub(crate) out: BytesMut,
    needs_flush: bool,
}

impl Socket {
    pub(crate) async fn open((host, port): &(String, u16)) -> io::Result<Self> {
        let open = TcpStream::connect((host.as_str(), *port));
        let stream = tokio::time::timeout(SOCKET_TIMEOUT, open).await.map_err(io::Error::from)??;
        // What is written is whole, and somebody waits for it.
        stream.set_nodelay(true)?;
        Ok(Self::over(Box::new(stream)))
    }

    fn over(stream: Box<dyn Stream>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { reader, writer, read: BytesMut::new(), out: BytesMut::new(), needs_flush: false }
    }

    /// Encrypts it from here on. What has come in the clear by then is somebody else's, and an error.
    #[cfg(feature = "tls")]
    pub(crate) async fn encrypted(
        self,
        config: std::sync::Arc<tokio_rustls::rustls::ClientConfig>,
        host: &str,
    ) -> io::Result<Self> {
        if !self.read.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let name = tokio_rustls::rustls::pki_types::ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = self.reader.unsplit(self.writer);
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await?;
        Ok(Self::over(Box::new(stream)))
    }

    /// Writes what is to go, and waits until something came. Dropping the future loses nothing.
    pub(crate) async fn turn(&mut self) -> io::Result<Turn> {
        let Self { reader, writer, read, out, needs_flush } = self;
        read.reserve(READ_BYTES);
        let must_write = !out.is_empty() || *needs_flush;
        tokio::select! {
            count = reader.read_buf(read) => match count? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(Turn::Read),
            },
            wrote = write(writer, out, needs_flush), if must_write => wrote.map(|()| Turn::Wrote),
        }
    }

    /// Writes all that is to go, and says that nothing more does.
    pub(crate) async fn finish(mut self) -> io::Result<()> {
        while !self.out.is_empty() || self.needs_flush {
            write(&mut self.writer, &mut self.out, &mut self.needs_flush).await?;
        }
        self.writer.shutdown().await
    }
}

/// What a turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Read,
    Wrote,
}

/// One write, or the flush behind the last. What a write took is gone from `out`, whether the future goes on or not.
async fn write(
    writer: &mut WriteHalf<Box<dyn Stream>>,
    out: &mut BytesMut,
    needs_flush: &mut bool,
) -> io::Result<()> {
    if out.is_empty() {
        writer.flush().await?;
        *needs_flush = false;
        return Ok(());
    }
    let count = writer.write(out).await?;
    if count == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    out.advance(count);
    *needs_flush = true;
    Ok(())
}
