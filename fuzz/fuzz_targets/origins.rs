//! No header makes the judgement of origins panic, and a page passes only with a host that is one.

#![no_main]

use http::{HeaderValue, Request, header};
use lapwing_fuzz::Bound;
use lapwing_transports::origin::{CheckOrigin, Origin, OriginPattern};
use libfuzzer_sys::fuzz_target;

const BOUND: Bound = Bound { bytes_per_byte: 2, bytes_per_allocation: 16 };

fuzz_target!(|input: &[u8]| {
    // A pattern, a host, and the rest is the header.
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let (pattern, host) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let origin = lines.next().unwrap_or_default();
    let (Ok(host), Ok(origin)) = (HeaderValue::from_bytes(host), HeaderValue::from_bytes(origin)) else {
        return;
    };
    let request = Request::get("/").header(header::HOST, &host).header(header::ORIGIN, &origin);
    let Ok(request) = request.body(()) else { return };
    let parts = request.into_parts().0;

    let page = BOUND.hold(input.len(), || Origin::of(&parts));
    let allows = |check: &CheckOrigin| BOUND.hold(input.len(), || check.allows(&page, None));
    let (same_host, same_origin) = (allows(&CheckOrigin::SameHost), allows(&CheckOrigin::SameOrigin));
    assert!(allows(&CheckOrigin::Off));
    assert!(same_host || !same_origin, "the same place is on the same host");
    if let Some(own) = page.request_host() {
        assert_eq!(same_host, page.host().is_some_and(|host| host.eq_ignore_ascii_case(own)));
        assert_eq!(same_host, CheckOrigin::SameHost.allows(&page, Some(own)));
    } else {
        assert!(!same_host);
    }
    if let Some(host) = page.host() {
        // Where a browser and we would read different hosts in one header, there is none.
        assert!(!host.is_empty() && !host.contains(['/', '\\', '@', '?', '#', ' ']), "{host:?}");
        assert!(page.as_str().is_some_and(|raw| raw.contains(host)));
    }
    let Ok(pattern) = std::str::from_utf8(pattern) else { return };
    let Ok(pattern) = BOUND.hold(input.len(), || pattern.parse::<OriginPattern>()) else { return };
    if allows(&CheckOrigin::List(vec![pattern])) {
        assert!(page.host().is_some(), "a pattern is of hosts");
    }
});
