//! Why a callback could not do what it was to do.

use std::{error::Error, fmt};

use serde_json::{Map, Value};

use crate::{
    join::push_error::PushError,
    node::BroadcastError,
    presence::PresenceError,
    protocol::{EncodeError, IntoPayload, Payload, PayloadError, RawJson},
};

/// Errors of a chain that are logged: more are none of an error's that was made with care.
const CAUSES_MAX: usize = 16;

/// The reason why a callback failed: either an answer that the client gets, or a cause that the log gets.
///
/// `?` makes one of every error. The client is told about its own mistakes and about limits that it met
/// ([`PayloadError`], [`PresenceError`], what cannot be pushed or broadcast); every other error is *internal*: it is logged with
/// all its causes, and the client is told `{"reason": "internal"}`.
///
/// A failure of [`join`](crate::Channel::join) refuses the client. That of another callback ends nothing: the client gets
/// an error reply if the callback was to answer it, and if nobody waits for an answer the failure is logged: as an error, but for
/// payloads, keys and metas that do not fit, which a client may bring as often as it likes, at `debug`. One ends the session, with 1013:
/// [`PushError::Full`] of a callback that answers nobody, as the client lacks a message and cannot be told so.
///
/// ```
/// use lapwing::{Channel, Context, Failure, Handled, Joining, Payload, Topic, reply};
/// use serde::Deserialize;
/// use serde_json::json;
///
/// struct Till { cents: u64 }
///
/// #[derive(Deserialize)]
/// struct Coins { text: String }
///
/// impl Channel for Till {
///     type State = ();
///
///     async fn join(topic: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
///         if topic == "till:closed" {
///             return Err(Failure::reason("closed"));
///         }
///         Ok(Till { cents: 0 })
///     }
///
///     async fn handle_in(&mut self, _: &str, payload: Payload, _: &Context<Self>) -> Handled {
///         // {"reason": "invalid payload", "field": "text", "error": "missing"}
///         let Coins { text } = payload.parse()?;
///         // An error of the program's: logged, and {"reason": "internal"}.
///         self.cents += text.parse::<u64>()?;
///         if self.cents > 100 {
///             return Err(Failure::new(json!({"reason": "full", "cents_max": 100})));
///         }
///         Ok(reply("ok", json!({"cents": self.cents})))
///     }
/// }
/// ```
///
/// It is no [`Error`] itself, as otherwise it could not be made of all of them. Errors in a box, and those of `anyhow` and
/// `eyre`, go through [`internal`](Self::internal).
#[derive(Debug)]
#[must_use = "a failure does nothing until a callback returns it"]
pub struct Failure(Repr);

#[derive(Debug)]
enum Repr {
    Answer(Payload),
    /// The same for what a client brought that does not fit: it may bring it again and again, and writes no log with it.
    OfClient(Payload),
    Internal(Box<dyn Error + Send + Sync>),
    /// Something was not pushed, as too much waits for the client or its session is over.
    NotPushed(PushError),
}

impl Failure {
    /// One that the client gets as it is. A value that cannot be written as JSON is an internal failure.
    pub fn new(payload: impl IntoPayload) -> Self {
        match payload.into_payload() {
            Ok(payload) => Self(Repr::Answer(payload)),
            Err(error) => Self::internal(error),
        }
    }

    /// One that the client gets as `{"reason": reason}`.
    pub fn reason(reason: impl AsRef<str>) -> Self {
        Self(Repr::Answer(Payload::reason(reason.as_ref())))
    }

    /// One that the client gets as it would if the payload could not be read: with the field that is wrong, for a form that shows
    /// the error beside it. For what a type does not say: a text that is too long, a name that is taken.
    ///
    /// Each is cut off behind 128 characters, as both may repeat what the client sent.
    ///
    /// ```
    /// use lapwing::Failure;
    /// use serde_json::json;
    ///
    /// let failure = Failure::field("text", "longer than 200 characters");
    /// let told: serde_json::Value = failure.payload().parse()?;
    /// assert_eq!(told, json!({"reason": "invalid payload", "field": "text", "error": "longer than 200 characters"}));
    /// # Ok::<(), lapwing::protocol::PayloadError>(())
    /// ```
    pub fn field(field: impl AsRef<str>, problem: impl AsRef<str>) -> Self {
        Self(Repr::Answer(Payload::invalid(field.as_ref(), problem.as_ref())))
    }

    /// One whose cause is the program's own business, whatever its type.
    ///
    /// ```
    /// use lapwing::Failure;
    ///
    /// let failure = Failure::internal("the cache is cold");
    /// assert_eq!(failure.payload().as_json().unwrap().as_str(), r#"{"reason":"internal"}"#);
    /// assert_eq!(failure.cause().unwrap().to_string(), "the cache is cold");
    /// ```
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Repr::Internal(cause.into()))
    }

    /// The payload that the client gets.
    #[must_use]
    pub fn payload(&self) -> Payload {
        match &self.0 {
            Repr::Answer(payload) | Repr::OfClient(payload) => payload.clone(),
            Repr::Internal(_) => Payload::reason("internal"),
            Repr::NotPushed(error) => Payload::reason(&error.to_string()),
        }
    }

    /// The cause of an internal failure.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match &self.0 {
            Repr::Answer(_) | Repr::OfClient(_) | Repr::NotPushed(_) => None,
            Repr::Internal(cause) => Some(&**cause),
        }
    }

    /// Whether it is for what a client brought, and no failure of the program's.
    pub(crate) fn is_of_client(&self) -> bool {
        matches!(self.0, Repr::OfClient(_))
    }

    /// Whether the client lacks something that it will not be told of otherwise.
    pub(crate) fn is_gap(&self) -> bool {
        matches!(self.0, Repr::NotPushed(_))
    }

    /// The [chain](Self::chain) for a log, which is no place for payloads: of what does not fit the field is named, without serde's words for it,
    /// which repeat what stands there.
    pub(crate) fn for_log(&self) -> String {
        let Repr::OfClient(Payload::Json(json)) = &self.0 else { return self.chain() };
        let mut told: Map<String, Value> = json.parse().unwrap_or_default();
        told.remove("error");
        Value::Object(told).to_string()
    }

    /// The cause with its own causes, or the answer: for a log, and as long as the errors want it.
    pub(crate) fn chain(&self) -> String {
        let cause = match &self.0 {
            Repr::Answer(Payload::Json(json)) | Repr::OfClient(Payload::Json(json)) => {
                return json.to_string();
            }
            Repr::Answer(Payload::Binary(_)) | Repr::OfClient(Payload::Binary(_)) => {
                return "an answer of bytes".to_owned();
            }
            Repr::Internal(cause) => cause,
            Repr::NotPushed(error) => return error.to_string(),
        };
        let first: &(dyn Error + 'static) = &**cause;
        let causes = std::iter::successors(Some(first), |&error| error.source()).take(CAUSES_MAX);
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }
}

/// An error of which `?` makes a [`Failure`]: each of its own type, that threads may share.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no error that `?` can make a `Failure` of",
    label = "no `Failure` is made of this by itself: say `.map_err(Failure::internal)?`",
    note = "an error in a box, one of `anyhow` or `eyre`, and a text are causes that the log gets: `.map_err(Failure::internal)?`",
    note = "a box must be a `Box<dyn Error + Send + Sync>`; what the client is to be told is a `Failure::reason` or `Failure::new`"
)]
pub trait Cause: Send + Sync + 'static {
    /// The error in a box.
    fn into_cause(self) -> Box<dyn Error + Send + Sync>;
}

#[diagnostic::do_not_recommend]
impl<E: Error + Send + Sync + 'static> Cause for E {
    fn into_cause(self) -> Box<dyn Error + Send + Sync> {
        Box::new(self)
    }
}

impl<E: Cause> From<E> for Failure {
    fn from(error: E) -> Self {
        let cause = error.into_cause();
        let cause = match cause.downcast::<PushError>() {
            Ok(error) => match *error {
                PushError::Encode(error) => Box::new(error),
                error => return Self(Repr::NotPushed(error)),
            },
            Err(cause) => cause,
        };
        match answer_of(&*cause) {
            Some(payload) if does_not_fit(&*cause) => Self(Repr::OfClient(payload)),
            Some(payload) => Self(Repr::Answer(payload)),
            None => Self(Repr::Internal(cause)),
        }
    }
}

impl From<Payload> for Failure {
    fn from(payload: Payload) -> Self {
        Self(Repr::Answer(payload))
    }
}

impl From<RawJson> for Failure {
    fn from(json: RawJson) -> Self {
        Self(Repr::Answer(json.into()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain())
    }
}

/// Returns the client's answer to an error, if that is one of the library's that the client can do something about.
fn answer_of(error: &(dyn Error + Send + Sync + 'static)) -> Option<Payload> {
    if let Some(error) = error.downcast_ref::<PayloadError>() {
        return Some(error.to_json().into());
    }
    let is_told = if let Some(error) = error.downcast_ref::<EncodeError>() {
        can_be_told(error)
    } else if let Some(error) = error.downcast_ref::<BroadcastError>() {
        match error {
            BroadcastError::ReservedEvent | BroadcastError::TooLarge(_) => true,
            BroadcastError::Encode(error) => return can_be_told(error).then(|| reason_of(error)),
            // A client may have said on which topic.
            BroadcastError::EmptyTopic => true,
            BroadcastError::PubSub(_) | BroadcastError::NotKept(_) | BroadcastError::Policy(_) => false,
        }
    } else {
        error
            .downcast_ref::<PresenceError>()
            .is_some_and(|error| !matches!(error, PresenceError::Encode(_) | PresenceError::Closed))
    };
    is_told.then(|| reason_of(error))
}

/// Whether something that a client brought is what is wrong: a payload, or a name or a state to be present with.
fn does_not_fit(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    let is_of_presence = |error: &PresenceError| {
        matches!(
            error,
            PresenceError::KeyTooLong { .. }
                | PresenceError::UnsafeKey
                | PresenceError::MetaTooLong { .. }
                | PresenceError::StateTooLong { .. }
                | PresenceError::TooMany
        )
    };
    error.is::<PayloadError>() || error.downcast_ref::<PresenceError>().is_some_and(is_of_presence)
}

fn can_be_told(error: &EncodeError) -> bool {
    !matches!(error, EncodeError::Json(_) | EncodeError::Custom(_))
}

fn reason_of(error: &(impl Error + ?Sized)) -> Payload {
    Payload::reason(&error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pubsub::PubSubError;

    fn fails<E>(error: E) -> Failure
    where
        Failure: From<E>,
    {
        let failed: Result<(), E> = Err(error);
        (|| -> Result<(), Failure> { Ok(failed?) })().unwrap_err()
    }

    fn told(failure: &Failure) -> String {
        failure.payload().as_json().unwrap().to_string()
    }

    #[test]
    fn the_client_is_told_of_mistakes_and_limits_and_of_nothing_else() {
        let wrong = Payload::from(json!({})).parse::<u8>().unwrap_err();
        for (failure, answer) in [
            (fails(wrong), r#"{"error":"invalid type: map, expected u8","reason":"invalid payload"}"#),
            (fails(EncodeError::ReservedEvent), r#"{"reason":"the event's name is reserved"}"#),
            (fails(BroadcastError::ReservedEvent), r#"{"reason":"the event's name is reserved"}"#),
            (
                fails(BroadcastError::Encode(EncodeError::NotObject)),
                r#"{"reason":"payload of a push or broadcast is neither a JSON object nor bytes"}"#,
            ),
            (fails(PresenceError::NotTracked), r#"{"reason":"the key is not tracked"}"#),
            (fails(Payload::reason("no")), r#"{"reason":"no"}"#),
            (fails(RawJson::new("[1.0]").unwrap()), "[1.0]"),
            (Failure::reason("closed"), r#"{"reason":"closed"}"#),
            (
                Failure::field("rows[2].name", "taken"),
                r#"{"error":"taken","field":"rows[2].name","reason":"invalid payload"}"#,
            ),
            (Failure::new(json!(["a"])), r#"["a"]"#),
        ] {
            assert_eq!(told(&failure), answer);
            assert!(failure.cause().is_none(), "{failure}");
        }
        for failure in [
            fails(std::io::Error::other("disk full")),
            fails(serde_json::from_str::<u8>("x").unwrap_err()),
            fails(EncodeError::Custom("mine".into())),
            fails(BroadcastError::PubSub(PubSubError("down".into()))),
            fails(BroadcastError::Encode(EncodeError::Custom("mine".into()))),
            fails(PresenceError::Closed),
            Failure::new(crate::protocol::Json(std::collections::BTreeMap::from([((1, 2), 3)]))),
            Failure::internal("as a text"),
        ] {
            assert_eq!(told(&failure), r#"{"reason":"internal"}"#, "{failure}");
            assert!(failure.cause().is_some(), "{failure}");
        }
    }

    #[test]
    fn a_field_and_its_error_are_told_up_to_a_bound() {
        let told: serde_json::Value =
            Failure::field("f".repeat(1000), "ä".repeat(1000)).payload().parse().unwrap();
        for name in ["field", "error"] {
            let text = told[name].as_str().unwrap();
            assert!(text.chars().count() == 129 && text.ends_with('…'), "{text}");
        }
    }

    /// One that names itself as its cause's cause.
    #[derive(Debug)]
    struct Endless;

    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("again")
        }
    }

    impl Error for Endless {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&Endless)
        }
    }

    #[test]
    fn a_log_gets_all_causes_but_not_without_end() {
        let failure = fails(BroadcastError::PubSub(PubSubError("the link is down".into())));
        assert!(failure.chain().ends_with("the link is down"), "{failure}");
        assert!(failure.chain().starts_with("the broadcast reached this node alone: "), "{failure}");
        assert_eq!(fails(Endless).chain().matches("again").count(), CAUSES_MAX);
    }
}
