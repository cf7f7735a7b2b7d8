//! The services, called as functions.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use bytes::Bytes;
use http::{Method, Request, StatusCode, header::CONTENT_SECURITY_POLICY};
use http_body_util::{BodyExt as _, Full};
use hyper::service::Service;
use lapwing::{Body, Keep, Lapwing, Mount, PresenceError};
use lapwing_inspector::{Access, Doctor, Inspector};
use serde_json::{Value, json};

const KEY: &str = "a long secret";
const PATHS: [&str; 9] = [
    "",
    "overview",
    "sessions",
    "session?id=1",
    "topics",
    "topic?name=x",
    "trace?topic=x",
    "anything",
    "../x",
];

type Call = Request<Full<Bytes>>;

fn get(path: &str) -> Call {
    Request::get(format!("/inspect/{path}")).body(Full::default()).unwrap()
}

fn with_key(mut call: Call) -> Call {
    call.headers_mut().insert("authorization", format!("Bearer {KEY}").parse().unwrap());
    call
}

async fn answer<S>(service: &S, call: Call) -> (StatusCode, Bytes)
where
    S: Service<Call, Response = http::Response<Body>>,
    S::Error: std::fmt::Debug,
{
    let response = service.call(call).await.unwrap();
    (response.status(), response.into_body().collect().await.unwrap().to_bytes())
}

async fn shown(inspector: &Inspector, path: &str) -> Value {
    let (status, body) = answer(inspector, with_key(get(path))).await;
    assert_eq!(status, StatusCode::OK, "{path}");
    assert!(body.len() < 1_000_000, "{path}: {} bytes", body.len());
    serde_json::from_slice(&body).unwrap()
}

fn press(button: &str, body: &Value) -> Call {
    let body = Full::new(Bytes::from(body.to_string()));
    with_key(Request::post(format!("/inspect/{button}")).body(body).unwrap())
}

fn confirmed(mut call: Call) -> Call {
    call.headers_mut().insert("x-lapwing-inspector", "yes".parse().unwrap());
    call
}

fn server() -> Lapwing {
    let mount = Mount::new().keep("kept:*", Keep::last(10));
    Lapwing::builder().mount("/socket", mount).journal(16).build().unwrap()
}

#[tokio::test]
async fn without_the_key_nothing_is_served() {
    let inspector = Inspector::new(server(), Access::key(KEY).unwrap());
    for path in PATHS {
        let response = inspector.call(get(path)).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "the inspector asks for its key", "{path}");
    }
    let mut wrong = confirmed(press("drain", &json!({})));
    wrong.headers_mut().insert("authorization", "Bearer another secret".parse().unwrap());
    assert_eq!(answer(&inspector, wrong).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_program_decides_by_the_request() {
    let access = Access::decided_by(|parts| parts.headers.contains_key("x-operator"));
    let inspector = Inspector::new(server(), access);
    for path in PATHS {
        let refused = (StatusCode::FORBIDDEN, Bytes::from("the inspector is not for you"));
        assert_eq!(answer(&inspector, get(path)).await, refused, "{path}");
    }
    let mut call = get("");
    call.headers_mut().insert("x-operator", "ada".parse().unwrap());
    let response = inspector.call(call).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("unsafe"));
}

#[tokio::test]
async fn names_of_megabytes_and_what_a_terminal_or_a_page_would_obey_are_shown_and_short() {
    let lapwing = server();
    let strange = "<script>\u{1b}[2J\r\n\"";
    let subscriptions: Vec<_> = (0..60)
        .map(|n| {
            lapwing
                .subscribe(format!("{strange}{n}{}", "\u{1}".repeat(if n < 3 { 10_000_000 } else { 2_000 })))
        })
        .collect();
    let inspector = Inspector::new(lapwing.clone(), Access::key(KEY).unwrap());
    let topics = shown(&inspector, "topics?sort=name&search=%3Cscript").await;
    assert_eq!((topics["total"].as_u64(), topics["rows"].as_array().unwrap().len()), (Some(60), 50));
    let first = &topics["rows"][0]["topic"];
    assert!(first["name"].as_str().unwrap().starts_with(strange));
    assert!(first["name"].as_str().unwrap().len() <= 256 && first["more"].as_u64().unwrap() > 1_000);
    assert_eq!(shown(&inspector, "topics?search=nowhere").await["total"], 0);
    assert_eq!(shown(&inspector, "topics?page=1").await["rows"].as_array().unwrap().len(), 10);
    drop(subscriptions);
}

#[tokio::test]
async fn what_is_broadcast_is_counted_and_no_payload_is_shown() {
    let lapwing = server();
    let _subscription = lapwing.subscribe("kept:news");
    lapwing.broadcast("kept:news", "said", json!({"text": "a payload"})).unwrap();
    let _tracked = lapwing.track("kept:news", "ada", json!({"phone": "a payload"})).await.unwrap();
    let inspector = Inspector::new(lapwing, Access::key(KEY).unwrap());
    let topic = shown(&inspector, "topic?name=kept%3Anews").await;
    assert_eq!(topic["history"][0]["event"]["name"], "said");
    assert_eq!(topic["presence"]["keys"][0]["name"], "ada");
    assert_eq!(topic["members"]["total"], 0);
    for path in ["overview", "sessions", "topics", "topic?name=kept%3Anews"] {
        assert!(!shown(&inspector, path).await.to_string().contains("a payload"), "{path}");
    }
    let overview = shown(&inspector, "overview").await;
    assert_eq!((overview["now"]["topics"].as_u64(), overview["isReady"].as_bool()), (Some(1), Some(true)));
    let (status, words) = answer(&inspector, with_key(get("session?id=17"))).await;
    assert_eq!((status, &words[..]), (StatusCode::NOT_FOUND, &b"there is no such session"[..]));
    for (bad, cure) in [
        ("session", "?id=7"),
        ("session?id=x", "?id=7"),
        ("topic", "?name="),
        ("trace", "?topic="),
        ("trace?topic=a&user=b", "one of the two"),
        ("overview?%", "query"),
    ] {
        let (status, words) = answer(&inspector, with_key(get(bad))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(std::str::from_utf8(&words).unwrap().contains(cure), "{bad}: {words:?}");
    }
}

#[tokio::test]
async fn one_trace_more_than_may_be_is_refused() {
    let lapwing = server();
    let inspector = Inspector::new(lapwing.clone(), Access::key(KEY).unwrap());
    let mut traces = Vec::new();
    for n in 0..16 {
        let call = with_key(get(&format!("trace?topic=room:{n}")));
        let response = inspector.call(call).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        traces.push(response);
    }
    let more = || answer(&inspector, with_key(get("trace?user=ada")));
    assert_eq!(more().await.0, StatusCode::SERVICE_UNAVAILABLE);
    drop(traces.pop());
    let response = inspector.call(with_key(get("trace?user=ada"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

/// A browser may send a key or a cookie with what any page asks for.
#[tokio::test]
async fn pages_of_other_sites_get_nothing_by_the_key_that_a_browser_remembers() {
    let inspector = Inspector::new(server(), Access::key(KEY).unwrap());
    let from = |site: &str, mode: &str, path: &str| {
        let mut call = with_key(get(path));
        call.headers_mut().insert("sec-fetch-site", site.parse().unwrap());
        call.headers_mut().insert("sec-fetch-mode", mode.parse().unwrap());
        call
    };
    for path in PATHS {
        for (site, mode) in [("cross-site", "no-cors"), ("same-site", "cors"), ("cross-site", "websocket")] {
            let (status, body) = answer(&inspector, from(site, mode, path)).await;
            let refused = (StatusCode::FORBIDDEN, &b"a page of another site asks"[..]);
            assert_eq!((status, &body[..]), refused, "{site} {mode} {path}");
        }
    }
    for (site, mode) in [("same-origin", "cors"), ("none", "navigate"), ("cross-site", "navigate")] {
        assert_eq!(answer(&inspector, from(site, mode, "")).await.0, StatusCode::OK, "{site} {mode}");
    }
    let mut button = confirmed(press("drain", &json!({})));
    button.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(answer(&inspector, button).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_button_does_its_deed_only_for_the_page_itself() {
    let lapwing = server();
    let inspector = Inspector::new(lapwing.clone(), Access::key(KEY).unwrap());
    let user = json!({"user": "user:1"});
    assert_eq!(answer(&inspector, press("disconnect", &user)).await.0, StatusCode::FORBIDDEN);
    assert_eq!(answer(&inspector, press("drain", &user)).await.0, StatusCode::FORBIDDEN);
    let (status, body) = answer(&inspector, confirmed(press("disconnect", &user))).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &br#"{"count":0,"missing":[]}"#[..]));
    let long = json!({"user": "x".repeat(5_000)});
    assert_eq!(
        answer(&inspector, confirmed(press("disconnect", &long))).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        answer(&inspector, confirmed(press("disconnect", &json!([])))).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(answer(&inspector, confirmed(press("other", &user))).await.0, StatusCode::NOT_FOUND);
    assert!(lapwing.presence_count("room:1").await.is_ok());
    assert_eq!(answer(&inspector, confirmed(press("drain", &json!({})))).await.0, StatusCode::ACCEPTED);
    for press in
        [press("drain", &user), confirmed(press("other", &user)), confirmed(press("disconnect", &json!([])))]
    {
        assert!(!answer(&inspector, press).await.1.is_empty(), "a refusal says why");
    }
    let over = async {
        while !matches!(lapwing.presence_count("room:1").await, Err(PresenceError::Closed)) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), over).await.expect("the server ends");
    let mut put = with_key(get("overview"));
    *put.method_mut() = Method::PUT;
    assert_eq!(answer(&inspector, put).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_doctor_says_what_of_a_page_has_arrived() {
    let doctor = Doctor::new();
    let arrived = || async {
        let (status, body) = answer(&doctor, get("about?id=ff&n=1")).await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let about = arrived().await;
    assert_eq!((&about["http"], &about["isForwarded"]), (&json!("1.1"), &json!(false)));
    // Pages behind a balancer tell servers apart.
    let (_, other) = answer(&Doctor::new(), get("about?id=ff&n=1")).await;
    assert_ne!(serde_json::from_slice::<Value>(&other).unwrap()["server"], about["server"]);
    assert_eq!(arrived().await["server"], about["server"]);
    // Its question for a WebSocket was taken out.
    answer(&doctor, get("websocket?id=ff")).await;
    let body = Full::new(Bytes::from(vec![0; 2_000]));
    let post = Request::post("/inspect/post?id=ff").body(body).unwrap();
    assert_eq!(answer(&doctor, post).await, (StatusCode::OK, "2000".into()));
    let (status, body) = answer(&doctor, get("stream?id=ff&plan=0.40,5.2000")).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 2_040));
    let arrived = arrived().await["arrived"].clone();
    let wanted = json!({"upgrades": 0, "stripped": 1, "posts": 1, "streamsBegun": 1, "streamsOpen": 0});
    assert_eq!(arrived, wanted);
}

#[tokio::test]
async fn the_doctor_takes_and_gives_no_more_than_an_examination_needs() {
    let doctor = Doctor::new();
    let large = Full::new(Bytes::from(vec![0; 2 * 1024 * 1024 + 1]));
    let post = Request::post("/doctor/post?id=1").body(large).unwrap();
    assert_eq!(answer(&doctor, post).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    for bad in ["bytes?count=131073", "bytes", "bytes?count=-1", "stream", "stream?plan=0.1000000"] {
        assert_eq!(answer(&doctor, get(bad)).await.0, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(answer(&doctor, get("bytes?count=131072")).await.1.len(), 131_072);
    let delete = Request::delete("/doctor/about").body(Full::default()).unwrap();
    assert_eq!(answer(&doctor, delete).await.0, StatusCode::METHOD_NOT_ALLOWED);
    let response = doctor.call(get("")).await.unwrap();
    let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    let html = response.into_body().collect().await.unwrap().to_bytes();
    assert!(html.len() < 60_000, "{} bytes", html.len());
}
