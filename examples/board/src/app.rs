//! The application: its routes, and its channels.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    response::Html,
    routing::{get, post, put},
};
use lapwing::{Accept, Lapwing, Mount, Refusal, ResumeOptions, WebsocketOptions};
use tower_http::{
    services::{ServeDir, ServeFile},
    timeout::TimeoutLayer,
};

use crate::{
    AnyError,
    api::{self, Api},
    board::Board,
    boards::Boards,
    settings::Settings,
    store::Store,
    token::Signer,
};

/// A body of a route, and a message of a channel: a card has 280 characters, and JSON may write each as twelve bytes.
const BYTES_MAX: usize = 8 * 1024;

/// How long a route may take, from the head of the request on.
const ROUTE_MAX: Duration = Duration::from_secs(10);

/// Pages at once: 50 KB of the 512 MiB that a mount has for all of them, and a full board is 400 KB at most.
const SESSIONS_MAX: usize = 10_000;

/// Boards that one page has open at once.
const BOARDS_MAX: usize = 10;

pub(crate) struct App {
    pub(crate) lapwing: Lapwing,
    pub(crate) router: Router,
}

impl App {
    pub(crate) fn build(settings: &Settings) -> Result<Self, AnyError> {
        let store = Store::open(&settings.database)
            .map_err(|error| format!("{}: {error}", settings.database.display()))?;
        let (boards, signer) = (Boards::new(store), Signer::new(&settings.secret));
        let lapwing = Lapwing::builder()
            .mount("/socket", mount(&settings.site, boards.clone(), signer.clone()))
            .build()?;
        let (password, moderator_password) = (settings.password.clone(), settings.moderator_password.clone());
        let api = Api { boards, lapwing: lapwing.clone(), signer, password, moderator_password };
        let routes = Router::new()
            .route("/login", post(api::log_in))
            .route("/api/boards/{board}/cards", post(api::add_card))
            .route("/api/boards/{board}/members/{name}", put(api::let_in).delete(api::remove_member))
            .layer(DefaultBodyLimit::max(BYTES_MAX))
            .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, ROUTE_MAX))
            .with_state(api);
        // Behind the layers, as a session lasts for longer than a route and has limits of its own.
        let router = routes.nest_service("/socket", lapwing.at("/socket")?);
        Ok(Self { lapwing, router })
    }
}

/// The channels, for whoever shows a token.
fn mount(site: &str, boards: Boards, signer: Signer) -> Mount {
    Mount::new()
        .host(site)
        .with_auth_tokens()
        .connect(move |request| {
            let signer = signer.clone();
            async move {
                let user = request.auth_token.and_then(|token| signer.read(&token, SystemTime::now()));
                let user = user.ok_or_else(Refusal::default)?;
                Ok(Accept::new().id(user.id()).assign("user", user))
            }
        })
        .channel::<Board>("board:*", boards)
        .joins_max(BOARDS_MAX)
        .sessions_max(SESSIONS_MAX)
        .websocket(WebsocketOptions::default().message_bytes_max(BYTES_MAX).frame_bytes_max(BYTES_MAX))
        .resume(ResumeOptions::default().window(Duration::from_secs(120)))
}

/// Adds the page, with phoenix.js and the transport from this clone. A program of its own serves them as its other assets.
pub(crate) fn with_page(router: Router) -> Result<Router, AnyError> {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let phoenix = root.join("node_modules/phoenix/priv/static/phoenix.mjs");
    if !phoenix.is_file() {
        return Err(format!("phoenix.js is missing: run \"npm ci\" in {}", root.display()).into());
    }
    Ok(router
        .route("/", get(async || Html(include_str!("../web/index.html"))))
        .route_service("/phoenix.mjs", ServeFile::new(phoenix))
        .nest_service("/lapwing", ServeDir::new(root.join("js/src"))))
}
