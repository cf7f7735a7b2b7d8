use http::Request;

use super::*;

/// A request to `http://example.com:4000` by pages of `origins`.
fn request(origins: &[&str]) -> Parts {
    let mut builder = Request::get("/socket/websocket").header(HOST, "example.com:4000");
    for origin in origins {
        builder = builder.header(ORIGIN, *origin);
    }
    builder.body(()).unwrap().into_parts().0
}

fn allows(check: &CheckOrigin, origin: &str) -> bool {
    check.allows(&Origin::of(&request(&[origin])), None)
}

fn list(pattern: &str) -> CheckOrigin {
    CheckOrigin::list([pattern]).unwrap_or_else(|error| panic!("{error}"))
}

fn each_check() -> [CheckOrigin; 5] {
    let custom = CheckOrigin::custom(|_| false);
    [CheckOrigin::Off, CheckOrigin::SameHost, CheckOrigin::SameOrigin, list("//good.example"), custom]
}

#[test]
fn no_origin_passes_every_check() {
    for check in each_check() {
        assert!(check.allows(&Origin::of(&request(&[])), Some("other.example")), "{check:?}");
    }
}

#[test]
fn a_page_of_another_origin_that_does_not_say_which_passes_no_check_but_off() {
    let from = |site: &str| {
        Request::get("/socket/longpoll").header("sec-fetch-site", site).body(()).unwrap().into_parts().0
    };
    for check in each_check() {
        for site in ["cross-site", "same-site"] {
            let is_off = matches!(check, CheckOrigin::Off);
            assert_eq!(check.allows(&Origin::of(&from(site)), None), is_off, "{check:?} {site}");
        }
        for site in ["same-origin", "none", "?"] {
            assert!(check.allows(&Origin::of(&from(site)), None), "{check:?} {site}");
        }
    }
}

#[test]
fn a_path_says_nothing_of_an_origin_and_a_user_name_makes_it_none() {
    for check in [CheckOrigin::SameHost, CheckOrigin::SameOrigin, list("http://example.com:4000")] {
        for rest in ["/", "/chat", "/chat?x=@y", "?x", "#x", "/@evil.example"] {
            assert!(allows(&check, &format!("http://example.com:4000{rest}")), "{check:?} {rest}");
        }
        for origin in [
            "http://example.com:4000@evil.example/",
            "http://evil.example/http://example.com:4000",
            "http://evil.example?://example.com:4000",
            "http://user@example.com:4000/",
            "http://example.com:4000\\@evil.example/",
            "http:///example.com:4000",
        ] {
            assert!(!allows(&check, origin), "{check:?} {origin}");
        }
    }
}

#[test]
fn several_origins_pass_no_check_but_off() {
    let several = request(&["http://example.com:4000", "http://example.com:4000"]);
    for check in
        [CheckOrigin::SameHost, CheckOrigin::SameOrigin, list("//example.com"), CheckOrigin::custom(|_| true)]
    {
        assert!(!check.allows(&Origin::of(&several), None), "{check:?}");
    }
    assert!(CheckOrigin::Off.allows(&Origin::of(&several), None));
}

#[test]
fn same_host_looks_at_nothing_but_the_host() {
    for origin in ["http://example.com", "https://EXAMPLE.com:1", "foo://example.com:4000"] {
        assert!(allows(&CheckOrigin::SameHost, origin), "{origin}");
    }
    for origin in
        ["http://evil.com", "http://sub.example.com", "http://example.com.evil.com", "http://xexample.com"]
    {
        assert!(!allows(&CheckOrigin::SameHost, origin), "{origin}");
    }
}

#[test]
fn a_configured_host_replaces_the_requests() {
    let allows = |origin, host| CheckOrigin::SameHost.allows(&Origin::of(&request(&[origin])), Some(host));
    assert!(allows("https://public.example", "public.example"));
    assert!(allows("https://[::1]:3000", "[::1]"));
    assert!(!allows("http://example.com:4000", "public.example"));
}

#[test]
fn a_request_without_host_has_no_same_host() {
    let request = Request::get("/").header(ORIGIN, "http://example.com").body(()).unwrap().into_parts().0;
    assert!(!CheckOrigin::SameHost.allows(&Origin::of(&request), None));
    assert!(!CheckOrigin::SameOrigin.allows(&Origin::of(&request), None));
}

#[test]
fn conn_compares_scheme_host_and_port() {
    assert!(allows(&CheckOrigin::SameOrigin, "http://example.com:4000"));
    for origin in
        ["https://example.com:4000", "http://example.com", "http://example.com:4001", "http://other.com:4000"]
    {
        assert!(!allows(&CheckOrigin::SameOrigin, origin), "{origin}");
    }
}

#[test]
fn conn_takes_the_scheme_from_the_extensions_or_the_uri() {
    let builder = || Request::get("/").header(HOST, "example.com").header(ORIGIN, "https://example.com");
    let mut parts = builder().body(()).unwrap().into_parts().0;
    assert!(!CheckOrigin::SameOrigin.allows(&Origin::of(&parts), None));
    parts.extensions.insert(Scheme::HTTPS);
    assert!(CheckOrigin::SameOrigin.allows(&Origin::of(&parts), None));
    let absolute = builder().uri("https://example.com/x").body(()).unwrap().into_parts().0;
    assert!(CheckOrigin::SameOrigin.allows(&Origin::of(&absolute), None));
}

#[test]
fn patterns_match_what_they_name() {
    for (pattern, origin, expected) in [
        ("https://a.test", "https://a.test", true),
        ("https://a.test", "https://a.test:443", true),
        ("https://a.test", "https://a.test:444", false),
        ("https://a.test", "http://a.test", false),
        ("https://a.test:8443", "https://a.test:8443", true),
        ("https://a.test:8443", "https://a.test", false),
        ("HTTPS://A.test", "https://a.TEST", true),
        ("//a.test", "https://a.test:9", true),
        ("//a.test", "https://b.a.test", false),
        ("//a.test:80", "http://a.test", true),
        ("//a.test:80", "https://a.test", false),
        ("//*.a.test", "https://a.test", true),
        ("//*.a.test", "https://c.B.a.Test:1", true),
        ("//*.a.test", "https://xa.test", false),
        ("//*.a.test", "https://a.test.evil", false),
        ("https://*.a.test", "http://b.a.test", false),
        ("//[::1]:4000", "http://[::1]:4000", true),
        ("//*.é.test", "http://xé.test", false),
        ("tauri://localhost", "tauri://localhost", true),
    ] {
        assert_eq!(allows(&list(pattern), origin), expected, "{pattern} and {origin}");
    }
    assert!(!CheckOrigin::List(Vec::new()).allows(&Origin::of(&request(&["http://a.test"])), None));
}

#[test]
fn bad_patterns_are_refused_when_built() {
    for pattern in [
        "",
        "a.test",
        "https:a.test",
        "https//a.test",
        "://a.test",
        "//",
        "https://",
        "//*.",
        "//a.test:x",
        "//a:70000",
        "//a/b",
        "//u@a",
        "//*",
        "//a.*.b",
    ] {
        let error = CheckOrigin::list(["//good.test", pattern]).unwrap_err();
        assert_eq!(error.pattern, pattern);
        assert!(error.to_string().starts_with("origin pattern"), "{error}");
    }
}

#[test]
fn patterns_print_as_written() {
    for pattern in
        ["https://a.test", "https://a.test:444", "//a.test", "//a.test:80", "//*.a.test", "//[::1]:4000"]
    {
        assert_eq!(pattern.parse::<OriginPattern>().unwrap().to_string(), pattern);
    }
}

#[test]
fn a_port_is_digits_and_nothing_else() {
    for port in ["+4000", "4000 ", "0x", "65536"] {
        assert!(!allows(&CheckOrigin::SameOrigin, &format!("http://example.com:{port}")), "{port}");
    }
}

#[test]
fn a_check_says_what_it_compares() {
    let said = each_check().map(|check| format!("{check:?}").split('(').next().map(str::to_owned).unwrap());
    assert_eq!(said, ["Off", "SameHost", "SameOrigin", "List", "Custom"]);
}

#[test]
fn origins_without_a_host_pass_only_off_and_custom() {
    let everything = [
        "null",
        "file://",
        "http://",
        "",
        "about:blank",
        "http://user@example.com",
        "http://example.com@evil.com",
        "http://example.com:x",
        "http://example.com:99999",
        "http://[::1",
        "http://exa mple.com",
    ];
    for origin in everything {
        for check in [CheckOrigin::SameHost, CheckOrigin::SameOrigin, list("//*.com"), list("//example.com")]
        {
            assert!(!allows(&check, origin), "{check:?} and {origin}");
        }
        assert!(allows(&CheckOrigin::Off, origin));
        assert!(allows(
            &CheckOrigin::custom(move |page| page.as_str() == Some(origin) && page.host().is_none()),
            origin
        ));
    }
}

#[test]
fn custom_sees_the_parts() {
    let check = CheckOrigin::custom(|page| {
        (page.scheme(), page.host(), page.port(), page.request_host())
            == (Some("https"), Some("a.test"), Some(443), Some("example.com"))
    });
    assert!(allows(&check, "https://a.test"));
    assert!(!allows(&check, "https://a.test:1"));
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let mut parts = request(&[]);
    parts.headers.insert(ORIGIN, HeaderValue::from_bytes(b"http://\xff").unwrap());
    assert!(!CheckOrigin::SameHost.allows(&Origin::of(&parts), None));
}

#[test]
fn a_check_that_compares_with_the_request_believes_it() {
    assert_eq!(each_check().map(|check| check.trusts_requests()), [false, true, true, false, false]);
}

#[test]
fn only_a_list_without_a_pattern_lets_nobody_in() {
    assert!(each_check().iter().all(|check| !check.is_empty_list()));
    assert!(CheckOrigin::List(Vec::new()).is_empty_list());
}

#[test]
fn a_host_is_a_name_or_an_address_and_no_more() {
    for host in ["localhost", "a.test", "127.0.0.1", "::1", "[::1]", "fe80::1"] {
        assert!(is_host(host), "{host}");
    }
    for text in
        ["", "a.test:80", "127.0.0.1:80", "[::1]:80", "[::1", "http://a.test", "a.test/", "u@a.test", "a b"]
    {
        assert!(!is_host(text), "{text}");
    }
}
