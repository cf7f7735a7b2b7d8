//! TLS for tests: certificates in files, clients that trust one of them.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer},
};

/// A certificate for `localhost` and its key, in files.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// Each test needs a name of its own for its files.
pub(crate) fn identity(name: &str) -> Identity {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Identity {
        certificate: cert.der().clone(),
        cert: written(&format!("{name}.cert.pem"), &cert.pem()),
        key: written(&format!("{name}.key.pem"), &signing_key.serialize_pem()),
    }
}

pub(crate) fn written(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

/// TLS to a server, with trust in one certificate alone.
pub(crate) async fn connected(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    alpn: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await
}

/// An address where the HTTP/1.1 of a TLS server is spoken in clear, for clients that know no TLS.
pub(crate) async fn unwrapped(address: SocketAddr, trusted: CertificateDer<'static>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let clear = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let trusted = trusted.clone();
            tokio::spawn(async move {
                near.set_nodelay(true)?;
                let mut far = connected(address, &trusted, b"http/1.1").await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    clear
}
