//! Who somebody is, signed, so that nothing has to be kept of who has logged in.
//!
//! A token is `claims.tag`: JSON, and an HMAC-SHA-256 of it, both in base64url. Only this program makes and reads them; where
//! others do, take a format that they know, such as JWT.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// How long somebody stays logged in.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Longer texts are no tokens, whatever is in them.
const TOKEN_BYTES_MAX: usize = 512;

/// Somebody who has logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) is_moderator: bool,
    /// The last second of the token, since 1970.
    pub(crate) until: u64,
}

impl User {
    /// Somebody who logs in.
    pub(crate) fn new(name: &str, is_moderator: bool, now: SystemTime) -> Self {
        Self { name: name.to_owned(), is_moderator, until: seconds(now + LIFETIME) }
    }

    /// For how long the token is still good.
    pub(crate) fn left(&self, now: SystemTime) -> Duration {
        (UNIX_EPOCH + Duration::from_secs(self.until)).duration_since(now).unwrap_or_default()
    }

    /// What the user's connections are called.
    pub(crate) fn id(&self) -> String {
        id_of(&self.name)
    }
}

/// What the connections of a user are called.
pub(crate) fn id_of(name: &str) -> String {
    format!("user:{name}")
}

/// Signs tokens, and reads those that it signed.
#[derive(Clone)]
pub(crate) struct Signer(Hmac<Sha256>);

impl Signer {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("a key may have any length"))
    }

    pub(crate) fn sign(&self, user: &User) -> serde_json::Result<String> {
        let claims = BASE64.encode(serde_json::to_vec(user)?);
        let tag = self.0.clone().chain_update(&claims).finalize().into_bytes();
        Ok(format!("{claims}.{}", BASE64.encode(tag)))
    }

    /// The user of a token, if it was signed here and its time is not over.
    pub(crate) fn read(&self, token: &str, now: SystemTime) -> Option<User> {
        let (claims, tag) = token.split_once('.').filter(|_| token.len() <= TOKEN_BYTES_MAX)?;
        // In constant time, and before anything is believed of what it says.
        self.0.clone().chain_update(claims).verify_slice(&BASE64.decode(tag).ok()?).ok()?;
        let user: User = serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()?;
        (user.until >= seconds(now)).then_some(user)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_until_its_time_is_over_and_for_who_signed_it() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let signer = Signer::new(b"secret");
        let ada = User::new("ada", true, now);
        let token = signer.sign(&ada).unwrap();
        assert_eq!(signer.read(&token, now), Some(ada.clone()));
        assert_eq!(signer.read(&token, now + LIFETIME), Some(ada));
        assert_eq!(signer.read(&token, now + LIFETIME + Duration::from_secs(1)), None);
        assert_eq!(Signer::new(b"another").read(&token, now), None);
    }

    #[test]
    fn a_token_that_somebody_changed_is_none() {
        let now = SystemTime::now();
        let signer = Signer::new(b"secret");
        let token = signer.sign(&User::new("ada", false, now)).unwrap();
        let (claims, tag) = token.split_once('.').unwrap();
        let raised = String::from_utf8(BASE64.decode(claims).unwrap()).unwrap().replace("false", "true");
        for other in [
            format!("{}.{tag}", BASE64.encode(raised)),
            format!("{claims}."),
            format!("{claims}.{}", &tag[..tag.len() - 2]),
            format!("{claims}{tag}"),
            format!("{token}A"),
            String::new(),
            "a".repeat(TOKEN_BYTES_MAX) + ".a",
        ] {
            assert_eq!(signer.read(&other, now), None, "{other}");
        }
    }
}
