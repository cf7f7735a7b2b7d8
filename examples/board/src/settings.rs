//! What the program is told by its environment.

use std::{env, fmt::Write as _, path::PathBuf};

use crate::AnyError;

/// Bytes of a secret that nobody gave.
const SECRET_BYTES: usize = 32;

/// The shortest secret that is taken: as long as what it makes, and so nothing that somebody could guess.
const SECRET_BYTES_MIN: usize = 32;

pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The name of the host at which pages find the program: those of others do not connect.
    pub(crate) site: String,
    /// `:memory:` for none.
    pub(crate) database: PathBuf,
    /// What everybody says who logs in.
    pub(crate) password: String,
    /// What those say who may remove people.
    pub(crate) moderator_password: String,
    /// What tokens are signed with.
    pub(crate) secret: Vec<u8>,
}

impl Settings {
    pub(crate) fn from_env() -> Result<Self, AnyError> {
        let port = env::var("PORT").map_or(Ok(4000), |port| port.parse());
        let secret = match env::var("SECRET") {
            Ok(secret) if secret.len() < SECRET_BYTES_MIN => {
                return Err(
                    format!("SECRET has {} bytes: take {SECRET_BYTES_MIN} at least", secret.len()).into()
                );
            }
            Ok(secret) => secret.into_bytes(),
            Err(_) => random()?,
        };
        Ok(Self {
            host: env::var("HOST").unwrap_or_else(|_| "127.0.0.1".into()),
            port: port.map_err(|error| format!("PORT: {error}"))?,
            site: env::var("SITE").unwrap_or_else(|_| "localhost".into()),
            database: env::var_os("DATABASE").map_or_else(|| "board.sqlite3".into(), PathBuf::from),
            password: password("PASSWORD")?,
            moderator_password: password("MODERATOR_PASSWORD")?,
            secret,
        })
    }
}

/// A password from the environment, or one that is good for this run.
fn password(name: &str) -> Result<String, AnyError> {
    match env::var(name) {
        Ok(password) if password.is_empty() => Err(format!("{name} is empty").into()),
        Ok(password) => Ok(password),
        Err(_) => {
            let mut password = String::new();
            for byte in &random()?[..8] {
                write!(password, "{byte:02x}")?;
            }
            println!("{name} is {password}");
            Ok(password)
        }
    }
}

fn random() -> Result<Vec<u8>, AnyError> {
    let mut bytes = vec![0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system has no randomness: {error}"))?;
    Ok(bytes)
}
