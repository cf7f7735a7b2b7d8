//! The one place where secrets of sessions come from.

use crate::dialect::token::Secret;

/// A secret that nobody can guess; `None` if the system has no randomness to give.
pub(crate) fn secret() -> Option<Secret> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(Secret::new(bytes))
}
