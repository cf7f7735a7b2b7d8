//! Upgrades and offers, right and wrong. Refusal texts are those that a Phoenix 1.8.12 server gave.

use http::header::{AUTHORIZATION, ORIGIN};

use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for &(name, value) in lines {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers
}

const UPGRADE_LINES: [(&str, &str); 5] = [
    ("host", "127.0.0.1"),
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// The text of the refusal once the header `name` has the values `values` and no others.
fn refusal(name: &'static str, values: &[&'static str]) -> Option<String> {
    let mut headers = headers(&UPGRADE_LINES);
    headers.remove(name);
    for value in values {
        headers.append(name, HeaderValue::from_static(value));
    }
    accept_parts(Version::HTTP_11, &Method::GET, &headers).err().map(|error| error.to_string())
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    let accepted = accept_parts(Version::HTTP_11, &Method::GET, &headers(&UPGRADE_LINES));
    assert_eq!(accepted.unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn refusals_have_the_texts_of_phoenix() {
    for (name, values, expected) in [
        ("connection", &["close"][..], r#"'connection' header must contain 'upgrade'"#),
        ("connection", &[], "'connection' header must contain 'upgrade'"),
        ("connection", &["a\"b", "x, y"], r#"'connection' header must contain 'upgrade'"#),
        ("upgrade", &["h2c"], r#"'upgrade' header must contain 'websocket'"#),
        ("sec-websocket-version", &["8"], r#"'sec-websocket-version' header must equal '13'"#),
        ("sec-websocket-version", &["13, 8"], r#"'sec-websocket-version' header must equal '13'"#),
        ("sec-websocket-version", &["13", "13"], r#"'sec-websocket-version' header must equal '13'"#),
        ("sec-websocket-version", &[], "'sec-websocket-version' header must equal '13'"),
        ("sec-websocket-key", &[], "'sec-websocket-key' header is absent"),
        ("host", &[], "'host' header is absent"),
    ] {
        assert_eq!(refusal(name, values).as_deref(), Some(expected));
    }
}

#[test]
fn lists_are_searched_whatever_their_case_and_lines() {
    assert_eq!(refusal("connection", &["keep-alive", "foo,  UPGRADE ,bar"]), None);
    assert_eq!(refusal("upgrade", &["h2c, WebSocket"]), None);
}

#[test]
fn only_http_1_1_and_get_are_upgraded() {
    let headers = headers(&UPGRADE_LINES);
    for (version, method, expected) in [
        (Version::HTTP_10, Method::GET, "HTTP version HTTP/1.0 unsupported"),
        (Version::HTTP_2, Method::CONNECT, "HTTP version HTTP/2 unsupported"),
        (Version::HTTP_11, Method::POST, "HTTP method POST unsupported"),
    ] {
        assert_eq!(accept_parts(version, &method, &headers).unwrap_err().to_string(), expected);
    }
}

#[test]
fn nothing_that_was_sent_is_repeated() {
    for (name, text) in [(CONNECTION, "<b>x</b>"), (UPGRADE, "<b>x</b>"), (SEC_WEBSOCKET_VERSION, "<b>x</b>")]
    {
        let mut headers = headers(&UPGRADE_LINES);
        headers.insert(&name, HeaderValue::from_static(text));
        let error = accept_parts(Version::HTTP_11, &Method::GET, &headers).unwrap_err();
        assert!(!error.to_string().contains('<'), "{error}");
        assert_eq!(error.is_of_version(), name == SEC_WEBSOCKET_VERSION);
    }
}

fn negotiate(
    names: &[&str],
    wants_token: bool,
    lines: &[&'static str],
) -> Result<(Option<String>, Option<String>), SubprotocolError> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let lines: Vec<_> = lines.iter().map(|line| ("sec-websocket-protocol", *line)).collect();
    let agreed = Subprotocols { auth_token: wants_token, names: &names }.negotiate(&headers(&lines))?;
    let selected = agreed.selected.map(|value| value.to_str().unwrap().to_owned());
    Ok((agreed.auth_token, selected))
}

fn agreed(
    token: Option<&str>,
    selected: Option<&str>,
) -> Result<(Option<String>, Option<String>), SubprotocolError> {
    Ok((token.map(str::to_owned), selected.map(str::to_owned)))
}

#[test]
fn an_offer_is_ignored_by_mounts_without_subprotocols() {
    assert_eq!(negotiate(&[], false, &["foo, phoenix"]), agreed(None, None));
    assert_eq!(negotiate(&[], false, &["base64url.bearer.phx.%%%"]), agreed(None, None));
}

#[test]
fn the_servers_order_decides() {
    assert_eq!(negotiate(&["b", "a"], false, &["a, b"]), agreed(None, Some("b")));
    assert_eq!(negotiate(&["a"], true, &["a, phoenix"]), agreed(None, Some("phoenix")));
    assert_eq!(negotiate(&["a"], false, &[]), agreed(None, None));
    assert_eq!(negotiate(&["a"], false, &["A"]), Err(SubprotocolError::Mismatch));
    assert_eq!(negotiate(&["a"], false, &["b", "a"]), agreed(None, Some("a")), "two lines are one list");
}

#[test]
fn a_token_is_taken_from_the_offer() {
    let token = "base64url.bearer.phx.dG9rLmVu";
    assert_eq!(negotiate(&[], true, &[token]), agreed(Some("tok.en"), None));
    assert_eq!(
        negotiate(&["x"], true, &["base64url.bearer.phx.dG9rLmVu, x"]),
        agreed(Some("tok.en"), Some("x"))
    );
    assert_eq!(
        negotiate(&[], true, &["y, base64url.bearer.phx.dG9rLmVu"]),
        Err(SubprotocolError::Mismatch),
        "what is left must match"
    );
    assert_eq!(negotiate(&[], true, &["phoenix"]), agreed(None, Some("phoenix")));
    assert_eq!(
        negotiate(&[], true, &["phoenix", token]),
        agreed(Some("tok.en"), Some("phoenix")),
        "two lines"
    );
}

#[test]
fn a_token_that_nobody_asked_for_is_ignored_and_its_client_let_in() {
    let token = "base64url.bearer.phx.dG9rLmVu";
    assert_eq!(
        negotiate(&[], false, &["phoenix, base64url.bearer.phx.dG9rLmVu"]),
        agreed(None, Some("phoenix"))
    );
    assert_eq!(negotiate(&[], false, &["phoenix", token]), agreed(None, Some("phoenix")));
    assert_eq!(negotiate(&[], false, &[token]), agreed(None, None));
}

#[test]
fn several_tokens_are_no_token() {
    let two = "phoenix, base64url.bearer.phx.YQ, base64url.bearer.phx.Yg";
    assert_eq!(negotiate(&[], true, &[two]), agreed(None, Some("phoenix")));
    let only_two = "base64url.bearer.phx.YQ, base64url.bearer.phx.Yg";
    assert_eq!(negotiate(&[], true, &[only_two]), Err(SubprotocolError::Mismatch));
}

#[test]
fn both_alphabets_and_any_padding_are_understood() {
    // "??>>" has a slash and a plus in the standard alphabet.
    for (encoded, expected) in [
        ("phoenix,base64url.bearer.phx.Pz8+Pg", "??>>"),
        ("phoenix,base64url.bearer.phx.Pz8+Pg==", "??>>"),
        ("phoenix,base64url.bearer.phx.Pz8-Pg", "??>>"),
        ("phoenix,base64url.bearer.phx.Pz8_", "???"),
        ("phoenix,base64url.bearer.phx.Pz8/", "???"),
        ("phoenix,base64url.bearer.phx.", ""),
    ] {
        assert_eq!(negotiate(&[], true, &[encoded]), agreed(Some(expected), Some("phoenix")), "{encoded}");
    }
}

#[test]
fn an_undecodable_token_is_refused() {
    for encoded in [
        "base64url.bearer.phx.a",
        "base64url.bearer.phx.%%%%",
        "base64url.bearer.phx./w",
        "base64url.bearer.phx.+-==",
    ] {
        assert_eq!(negotiate(&[], true, &[encoded]), Err(SubprotocolError::BadAuthToken), "{encoded}");
    }
}

#[test]
fn other_headers_do_not_matter() {
    let mut all = headers(&UPGRADE_LINES);
    all.insert(ORIGIN, HeaderValue::from_static("null"));
    all.insert(AUTHORIZATION, HeaderValue::from_static("x"));
    assert!(accept_parts(Version::HTTP_11, &Method::GET, &all).is_ok());
}
