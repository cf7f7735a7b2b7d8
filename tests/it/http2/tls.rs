//! `examples/tls` as an operator starts it: with a certificate and its key in files, and with files that are wrong.

use std::{net::SocketAddr, path::Path, process::Stdio};

use rcgen::KeyPair;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::support::{
    PATIENCE,
    http2::Connection,
    testbed,
    tls::{Identity, connected, identity, written},
};

fn example(cert: &Path, key: &Path) -> Command {
    let mut command = Command::new(testbed::example("tls"));
    command.env("PORT", "0").env("HOST", "127.0.0.1").env("CERT", cert).env("KEY", key);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn started(identity: &Identity) -> (Child, SocketAddr) {
    let mut server = example(&identity.cert, &identity.key).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.expect("it says something in time").unwrap();
    let line = line.expect("it starts, or says on its standard error why not");
    let address = line.strip_prefix("listening on https://").expect("its address").parse().unwrap();
    (server, address)
}

/// What the program says when it does not start.
async fn complaint(command: &mut Command) -> String {
    let output = timeout(PATIENCE, command.output()).await.expect("it ends in time").unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"", "it does not listen");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn the_certificate_and_the_key_of_files_serve_http2() {
    let identity = identity("serves");
    let (_server, address) = started(&identity).await;
    let stream = connected(address, &identity.certificate, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let connection = Connection::over(stream, address, &h2::client::Builder::new()).await;
    let stats = connection.get("/stats").await;
    assert_eq!((stats.status, &stats.json()["accepted"]), (200, &1.into()));
    connection.websocket("/socket/websocket?vsn=2.0.0").await;
    // A client that trusts another certificate goes away.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert;
    connected(address, other.der(), b"h2").await.expect_err("another certificate is not shown");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let identity = identity("missing");
    let missing = Path::new("nowhere/at-all.pem");
    for (name, mut command) in
        [("CERT", example(missing, &identity.key)), ("KEY", example(&identity.cert, missing))]
    {
        let said = complaint(&mut command).await;
        assert!(said.starts_with(&format!("{name}, nowhere/at-all.pem: ")), "{said}");
        assert!(said.contains("No such file"), "{said}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_is_refused() {
    let identity = identity("strange");
    let strange = written("strange.other.pem", &KeyPair::generate().unwrap().serialize_pem());
    let said = complaint(&mut example(&identity.cert, &strange)).await;
    assert_eq!(said, "CERT and KEY are of no use together: keys may not be consistent: KeyMismatch\n");
}

#[tokio::test]
async fn files_without_what_they_should_have_are_refused() {
    let identity = identity("mistaken");
    let said = complaint(&mut example(&identity.key, &identity.key)).await;
    assert!(said.starts_with("CERT and KEY are of no use together: "), "{said}");
    let said = complaint(&mut example(&identity.cert, &identity.cert)).await;
    assert!(said.starts_with(&format!("KEY, {}: ", identity.cert.display())), "{said}");
}

#[tokio::test]
async fn a_certificate_without_a_key_is_refused() {
    let identity = identity("alone");
    for name in ["CERT", "KEY"] {
        let said = complaint(example(&identity.cert, &identity.key).env_remove(name)).await;
        assert_eq!(said, "CERT and KEY go together\n");
    }
}
