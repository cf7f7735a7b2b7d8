//! The application as its users meet it, without sockets: its channels by the test kit, its routes as functions.

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use lapwing::testing::{TestJoin, TestServer};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{app::App, boards::CARDS_MAX, settings::Settings, token::LIFETIME};

struct Server {
    channels: TestServer,
    router: Router,
}

impl Server {
    fn new() -> Self {
        let settings = Settings {
            host: "127.0.0.1".into(),
            port: 0,
            site: "localhost".into(),
            database: ":memory:".into(),
            password: "lapwing".into(),
            moderator_password: "peewit".into(),
            secret: b"a secret of the tests".to_vec(),
        };
        let App { lapwing, router } = App::build(&settings).unwrap();
        Self { channels: TestServer::from(lapwing), router }
    }

    async fn ask(&self, method: Method, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn token(&self, name: &str, password: &str) -> String {
        let (status, answer) =
            self.ask(Method::POST, "/login", "", json!({"name": name, "password": password})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    async fn join(&self, token: &str, topic: &str) -> Result<TestJoin, Value> {
        let client = self.channels.connect_with("/socket", |request| request.auth_token = Some(token.into()));
        client.await.expect("the token is good").join(topic, json!({})).await
    }

    /// Somebody on the board `team` who has seen its cards.
    async fn member(&self, name: &str) -> TestJoin {
        let join = self.join(&self.token(name, "lapwing").await, "board:team").await.unwrap();
        join.wait_for("cards").await;
        join
    }
}

#[tokio::test]
async fn a_card_is_seen_by_all_moved_by_another_and_there_for_who_comes_later() {
    let server = Server::new();
    let (ada, bob) = (server.member("ada").await, server.member("bob").await);
    let id = ada.ask("add", json!({"text": " Fly ", "lane": "todo"})).await.ok()["id"].clone();
    let card = json!({"id": id, "lane": "todo", "place": 1, "text": "Fly", "author": "ada"});
    bob.expect("card", card).await;
    bob.ask("move", json!({"id": id, "lane": "done"})).await.ok();
    let moved = json!({"id": id, "lane": "done", "place": 2, "text": "Fly", "author": "ada"});
    ada.wait_for("card").await;
    ada.expect("card", moved.clone()).await;
    let eve = server.join(&server.token("eve", "lapwing").await, "board:team").await.unwrap();
    eve.expect("cards", json!({"cards": [moved]})).await;
    eve.ask("remove", json!({"id": id})).await.ok();
    ada.expect("removed", json!({"id": id})).await;
}

#[tokio::test]
async fn boards_are_apart() {
    let server = Server::new();
    let ada = server.member("ada").await;
    let other = server.join(&server.token("bob", "lapwing").await, "board:other").await.unwrap();
    other.expect("cards", json!({"cards": []})).await;
    let id = ada.ask("add", json!({"text": "Fly", "lane": "todo"})).await.ok()["id"].clone();
    assert_eq!(other.ask("remove", json!({"id": id})).await.error(), json!({"reason": "no such card"}));
    other.expect_nothing().await;
}

#[tokio::test]
async fn what_is_no_card_is_refused_with_the_field() {
    let server = Server::new();
    let ada = server.member("ada").await;
    for (card, field) in [
        (json!({"lane": "todo"}), "text"),
        (json!({"text": "  ", "lane": "todo"}), "text"),
        (json!({"text": "a".repeat(281), "lane": "todo"}), "text"),
        (json!({"text": "a\nb", "lane": "todo"}), "text"),
        (json!({"text": "Fly", "lane": "elsewhere"}), "lane"),
        (json!({"text": "Fly", "lane": "todo", "id": 7}), "id"),
    ] {
        assert_eq!(ada.ask("add", card.clone()).await.error()["field"], field, "{card}");
    }
    assert_eq!(ada.ask("shout", json!({})).await.error(), json!({"reason": "unmatched event"}));
    ada.expect_nothing().await;
}

#[tokio::test]
async fn a_board_takes_so_many_cards_and_no_more() {
    let server = Server::new();
    let token = server.token("ada", "lapwing").await;
    let card = json!({"text": "Fly", "lane": "todo"});
    for _ in 0..CARDS_MAX {
        let (status, _) = server.ask(Method::POST, "/api/boards/team/cards", &token, card.clone()).await;
        assert_eq!(status, StatusCode::CREATED);
    }
    let ada = server.member("ada").await;
    assert_eq!(ada.ask("add", card).await.error(), json!({"reason": "the board is full"}));
}

#[tokio::test]
async fn people_on_a_board_are_present_until_they_leave() {
    let server = Server::new();
    let ada = server.join(&server.token("ada", "lapwing").await, "board:team").await.unwrap();
    let here = ada.wait_for("presence_state").await;
    assert!(here.parse::<Value>().unwrap()["ada"].is_object(), "{here:?}");
    let bob = server.member("bob").await;
    let came: Value = ada.wait_for("presence_diff").await.parse().unwrap();
    assert!(came["joins"]["bob"].is_object(), "{came}");
    bob.leave().await;
    let left: Value = ada.wait_for("presence_diff").await.parse().unwrap();
    assert!(left["leaves"]["bob"].is_object(), "{left}");
}

#[tokio::test]
async fn a_card_that_a_script_adds_appears_in_all_pages() {
    let server = Server::new();
    let (ada, token) = (server.member("ada").await, server.token("robot", "lapwing").await);
    let card = json!({"text": "The build is red", "lane": "doing"});
    let (status, added) = server.ask(Method::POST, "/api/boards/team/cards", &token, card).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(added["author"], "robot");
    ada.expect("card", added).await;
}

#[tokio::test]
async fn routes_refuse_who_and_what_they_do_not_take() {
    let server = Server::new();
    let token = server.token("ada", "lapwing").await;
    let (card, cards) = (json!({"text": "Fly", "lane": "todo"}), "/api/boards/team/cards");
    let long = json!({"text": "a".repeat(10_000), "lane": "todo"});
    for (path, token, body, wanted) in [
        ("/login", "", json!({"name": "ada", "password": "lapwin"}), 401),
        ("/login", "", json!({"name": "", "password": "lapwing"}), 422),
        ("/login", "", json!({"name": "ada"}), 422),
        (cards, "", card.clone(), 401),
        (cards, "a.b", card.clone(), 401),
        (cards, &token, json!({"text": "", "lane": "todo"}), 422),
        (cards, &token, json!([1]), 422),
        (cards, &token, long, 413),
        ("/api/boards/Team/cards", &token, card, 422),
    ] {
        let (status, answer) = server.ask(Method::POST, path, token, body).await;
        assert_eq!(status.as_u16(), wanted, "{path}: {answer}");
        assert!(answer["reason"].is_string(), "{path}: {answer}");
    }
}

#[tokio::test]
async fn who_is_removed_goes_at_once_and_stays_away_until_let_in() {
    let server = Server::new();
    let (ada, bob) = (server.member("ada").await, server.member("bob").await);
    let (token, moderator) = (server.token("bob", "lapwing").await, server.token("eve", "peewit").await);
    let bobs = "/api/boards/team/members/bob";
    assert_eq!(server.ask(Method::DELETE, bobs, &token, json!({})).await.0, StatusCode::FORBIDDEN);
    assert_eq!(server.ask(Method::DELETE, bobs, &moderator, json!({})).await.0, StatusCode::NO_CONTENT);
    bob.expect_close().await;
    let again = bob.client().join("board:team", json!({})).await;
    assert_eq!(again.unwrap_err(), json!({"reason": "removed"}));
    let card = json!({"text": "Fly", "lane": "todo"});
    let (status, _) = server.ask(Method::POST, "/api/boards/team/cards", &token, card.clone()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    ada.ask("add", card).await.ok();
    assert_eq!(server.ask(Method::PUT, bobs, &moderator, json!({})).await.0, StatusCode::NO_CONTENT);
    assert!(bob.client().join("board:team", json!({})).await.is_ok());
}

#[tokio::test]
async fn nobody_connects_without_a_token_nor_joins_what_is_no_board() {
    let server = Server::new();
    assert_eq!(server.channels.connect("/socket").await.unwrap_err().status, StatusCode::FORBIDDEN);
    let token = server.token("ada", "lapwing").await;
    assert_eq!(server.join(&token, "board:Nobody's").await.unwrap_err()["field"], "board");
}

#[tokio::test(start_paused = true)]
async fn a_page_is_told_when_its_token_has_run_out() {
    let server = Server::new();
    let ada = server.member("ada").await;
    tokio::time::advance(LIFETIME).await;
    ada.expect("expired", json!({})).await;
    ada.expect_close().await;
}
