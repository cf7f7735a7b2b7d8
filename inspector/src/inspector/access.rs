//! Who may see the inspector.

use std::{error, fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{header::AUTHORIZATION, request::Parts};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The rule by which a request may see the inspector, and press its buttons.
#[derive(Clone)]
pub struct Access(Kind);

#[derive(Clone)]
enum Kind {
    /// The digest of a key.
    Key([u8; 32]),
    Decided(Arc<dyn Fn(&Parts) -> bool + Send + Sync>),
}

/// A key is too short to keep anybody out. Its text names the option and the cure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyTooShort;

impl fmt::Display for KeyTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Access::key: the key of the inspector is empty, or has less than {KEY_BYTES_MIN} bytes: take a long one, made at random"
        )
    }
}

/// With the text, since that is what a `main` that returns the error prints.
impl fmt::Debug for KeyTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyTooShort").field(&self.to_string()).finish()
    }
}

impl error::Error for KeyTooShort {}

/// Whoever may guess as fast as a server answers needs years for as many bytes at random.
const KEY_BYTES_MIN: usize = 8;

impl Access {
    /// Access with this key: as the password of HTTP's Basic authentication, with any name, which browsers ask for, or as a bearer token.
    ///
    /// Use TLS: both send the key with each request.
    ///
    /// # Errors
    /// [`KeyTooShort`] for one of less than eight bytes, such as that of a variable that was not set.
    ///
    /// ```
    /// use lapwing_inspector::Access;
    ///
    /// assert!(Access::key("aLongSecret").is_ok());
    /// assert!(Access::key("").is_err());
    /// ```
    pub fn key(key: impl AsRef<[u8]>) -> Result<Self, KeyTooShort> {
        let key = key.as_ref();
        if key.len() < KEY_BYTES_MIN { Err(KeyTooShort) } else { Ok(Self(Kind::Key(digest(key)))) }
    }

    /// Access by the program's word, from the head of the request: what its own login has put into the extensions, say. Others get 403.
    ///
    /// It is called for each request, and must not block. A browser may send it, too, what a page of an attacker's makes up: let it decide by what only your
    /// login gives, and not by the address that a request comes from.
    ///
    /// ```
    /// use axum::{Router, extract::Request, middleware::{self, Next}, response::Response};
    /// use lapwing::Lapwing;
    /// use lapwing_inspector::{Access, Inspector};
    ///
    /// /// What the program's login puts into the extensions of a request.
    /// #[derive(Clone)]
    /// struct User { is_operator: bool }
    ///
    /// async fn log_in(mut request: Request, next: Next) -> Response {
    ///     // From a cookie, say.
    ///     let user = User { is_operator: false };
    ///     request.extensions_mut().insert(user);
    ///     next.run(request).await
    /// }
    ///
    /// let lapwing = Lapwing::builder().build()?;
    /// let access = Access::decided_by(|parts| parts.extensions.get::<User>().is_some_and(|user| user.is_operator));
    /// let app: Router = Router::new()
    ///     .nest_service("/inspect", Inspector::new(lapwing.clone(), access))
    ///     .layer(middleware::from_fn(log_in));
    /// # let _ = app;
    /// # Ok::<(), lapwing::BuildError>(())
    /// ```
    pub fn decided_by(decide: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        Self(Kind::Decided(Arc::new(decide)))
    }

    pub(crate) fn allows(&self, parts: &Parts) -> bool {
        match &self.0 {
            Kind::Key(key) => password(parts).is_some_and(|given| key.ct_eq(&digest(&given)).into()),
            Kind::Decided(decide) => decide(parts),
        }
    }

    /// Whether a browser is to ask for a key.
    pub(crate) fn is_asked_for(&self) -> bool {
        matches!(self.0, Kind::Key(_))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_asked_for() { "Access::key" } else { "Access::decided_by" })
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// The key that a request brings.
fn password(parts: &Parts) -> Option<Vec<u8>> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, given) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(given.trim().as_bytes().to_vec());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let both = STANDARD.decode(given.trim()).ok()?;
    let colon = both.iter().position(|byte| *byte == b':')?;
    Some(both[colon + 1..].to_vec())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn allows(access: &Access, authorization: &str) -> bool {
        let request = Request::get("/").header(AUTHORIZATION, authorization).body(()).unwrap();
        access.allows(&request.into_parts().0)
    }

    #[test]
    fn the_key_lets_in_and_nothing_else_does() {
        let access = Access::key("correct horse").unwrap();
        let basic = |both: &str| format!("Basic {}", STANDARD.encode(both));
        assert!(allows(&access, &basic("anybody:correct horse")));
        assert!(allows(&access, &basic(":correct horse").replace("Basic", "bASIC")));
        assert!(allows(&access, "Bearer correct horse"));
        for wrong in ["anybody:correct hors", "correct horse", "anybody:", "correct horse:x", ""] {
            assert!(!allows(&access, &basic(wrong)), "{wrong}");
        }
        for wrong in ["Basic", "Basic ", "Basic !", "Bearer ", "Digest x", ""] {
            assert!(!allows(&access, wrong), "{wrong}");
        }
        assert!(!access.allows(&Request::get("/").body(()).unwrap().into_parts().0));
    }

    #[test]
    fn a_key_that_was_not_set_is_none() {
        assert_eq!(Access::key("").unwrap_err(), KeyTooShort);
        let error = Access::key("1234567").unwrap_err();
        assert_eq!(error, KeyTooShort);
        for told in [error.to_string(), format!("{error:?}")] {
            assert!(
                told.contains("Access::key: the key of the inspector is empty, or has less than 8 bytes"),
                "{told}"
            );
        }
        assert!(!format!("{:?}", Access::key("correct horse").unwrap()).contains("horse"));
    }
}
