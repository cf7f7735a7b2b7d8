//! No offer of subprotocols makes the handshake panic; what is chosen was offered, and a token is what was sent.

#![no_main]

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http::{HeaderMap, HeaderValue, Method, Version, header};
use lapwing_fuzz::Bound;
use lapwing_transports::websocket::handshake::{Subprotocols, accept_parts};
use libfuzzer_sys::fuzz_target;

const BOUND: Bound = Bound { bytes_per_byte: 4, bytes_per_allocation: 16 };

fuzz_target!(|input: &[u8]| {
    let Ok(offer) = HeaderValue::from_bytes(input) else { return };
    let names = ["chat".to_owned(), "x".to_owned()];
    let mut headers = HeaderMap::new();
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offer.clone());
    for (auth_token, names) in [(false, &names[..]), (true, &names[..]), (true, &[])] {
        let spoken = Subprotocols { auth_token, names };
        let Ok(agreed) = BOUND.hold(input.len(), || spoken.negotiate(&headers)) else { continue };
        if let Some(selected) = agreed.selected {
            let offered =
                |name: &[u8]| input.split(|byte| *byte == b',').any(|item| item.trim_ascii() == name);
            assert!(offered(selected.as_bytes()));
        }
        let Some(token) = agreed.auth_token else { continue };
        assert!(auth_token);
        // Whoever says the same token in the usual form is understood alike.
        let again = format!("base64url.bearer.phx.{}, chat", STANDARD_NO_PAD.encode(&token));
        let mut headers = HeaderMap::new();
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, again.parse().expect("base64 is visible ASCII"));
        let agreed = Subprotocols { auth_token: true, names: &["chat".to_owned()] }.negotiate(&headers);
        assert_eq!(agreed.map(|agreed| agreed.auth_token), Ok(Some(token)));
    }
    // The same bytes in the headers that make an upgrade; a refusal repeats only so much of them.
    for name in
        [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_VERSION, header::SEC_WEBSOCKET_KEY]
    {
        let mut headers: HeaderMap = [
            (header::HOST, HeaderValue::from_static("h")),
            (header::CONNECTION, HeaderValue::from_static("upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            (header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==")),
        ]
        .into_iter()
        .collect();
        headers.insert(name, offer.clone());
        let accepted = BOUND.hold(input.len(), || accept_parts(Version::HTTP_11, &Method::GET, &headers));
        if let Err(refused) = accepted {
            let text = Bound { bytes_per_byte: 24, bytes_per_allocation: 16 }
                .hold(input.len(), || refused.to_string());
            assert!(text.len() <= 100 + 4 * 4096);
        }
    }
});
