//! The board from outside: logging in, and what scripts and moderators do.

use std::time::SystemTime;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State, rejection::JsonRejection},
    http::{StatusCode, header::AUTHORIZATION, request::Parts},
};
use lapwing::Lapwing;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    boards::{Boards, Change, Deed, NewCard, board_name, topic_of, user_name},
    problem::Problem,
    store::Card,
    token::{Signer, User, id_of},
};

/// What the routes have.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) boards: Boards,
    pub(crate) lapwing: Lapwing,
    pub(crate) signer: Signer,
    pub(crate) password: String,
    pub(crate) moderator_password: String,
}

#[derive(Deserialize)]
pub(crate) struct Login {
    name: String,
    password: String,
}

#[derive(Serialize)]
pub(crate) struct LoggedIn {
    token: String,
    name: String,
    is_moderator: bool,
}

/// `POST /login`. Whoever knows the password may take any name; in a program with accounts, this is where they are looked at.
/// How often somebody may guess is for the proxy to say, which knows who asks.
pub(crate) async fn log_in(
    State(api): State<Api>,
    login: Result<Json<Login>, JsonRejection>,
) -> Result<Json<LoggedIn>, Problem> {
    let Login { name, password } = read(login)?;
    let name = user_name(&name)?.to_owned();
    let is_moderator = is_same(&password, &api.moderator_password);
    if !is_moderator && !is_same(&password, &api.password) {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong password"));
    }
    let token = api.signer.sign(&User::new(&name, is_moderator, SystemTime::now()))?;
    Ok(Json(LoggedIn { token, name, is_moderator }))
}

/// `POST /api/boards/{board}/cards`: a card that all pages show at once.
pub(crate) async fn add_card(
    user: User,
    State(api): State<Api>,
    Path(board): Path<String>,
    card: Result<Json<NewCard>, JsonRejection>,
) -> Result<(StatusCode, Json<Card>), Problem> {
    let deed = Deed::Add(read(card)?);
    let topic = topic_of(board_name(&board)?);
    let tell = move |event: &str, payload| api.lapwing.broadcast(topic, event, payload).map(drop);
    match api.boards.apply(&board, &user.name, deed, tell).await? {
        Change::Card(card) => Ok((StatusCode::CREATED, Json(card))),
        Change::Removed(_) => Err(Problem::new(StatusCode::NOT_FOUND, "no such card")),
    }
}

/// `DELETE /api/boards/{board}/members/{name}`: removes somebody, who stays away until a moderator lets them in again.
pub(crate) async fn remove_member(
    user: User,
    State(api): State<Api>,
    Path((board, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (board, name) = (board_name(&board)?, user_name(&name)?);
    must_be_moderator(&user)?;
    // First the rule and then the deed: who comes between the two is refused, and who came before is sent away.
    api.boards.set_removed(board, name, true).await?;
    api.lapwing.kick(topic_of(board), id_of(name), format!("removed by {}", user.name))?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /api/boards/{board}/members/{name}`: lets somebody in again.
pub(crate) async fn let_in(
    user: User,
    State(api): State<Api>,
    Path((board, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (board, name) = (board_name(&board)?, user_name(&name)?);
    must_be_moderator(&user)?;
    api.boards.set_removed(board, name, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whoever sends `Authorization: Bearer TOKEN`.
impl FromRequestParts<Api> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|header| header.strip_prefix("Bearer "));
        let user = token.and_then(|token| api.signer.read(token, SystemTime::now()));
        user.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "unauthorized"))
    }
}

fn must_be_moderator(user: &User) -> Result<(), Problem> {
    if user.is_moderator { Ok(()) } else { Err(Problem::new(StatusCode::FORBIDDEN, "for moderators")) }
}

/// A body that can be read; what is wrong with one is told as everything else is.
fn read<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    body.map(|Json(body)| body).map_err(|error| Problem::new(error.status(), &error.body_text()))
}

/// Takes as long for a password that is nearly right as for any other.
fn is_same(given: &str, wanted: &str) -> bool {
    Sha256::digest(given).as_slice().ct_eq(Sha256::digest(wanted).as_slice()).into()
}
