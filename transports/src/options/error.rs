//! What is wrong with an option.

use std::{error::Error, fmt, time::Duration};

/// The longest time: longer ones have no place on a clock, and a program that gives one means "never".
pub const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// An option has a value that nothing can work with, or contradicts another. Its text names the option and the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionError {
    /// The option, as `Struct::setter`.
    pub option: &'static str,
    /// The fault of its value, and what to do.
    pub problem: &'static str,
}

impl OptionError {
    /// An option and what is wrong with it.
    #[must_use]
    pub const fn new(option: &'static str, problem: &'static str) -> Self {
        Self { option, problem }
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.option, self.problem)
    }
}

impl Error for OptionError {}

/// Checks that a bound lets something through.
///
/// # Errors
/// If it is 0.
pub fn check_bound(option: &'static str, bound: usize) -> Result<(), OptionError> {
    match bound {
        0 => Err(OptionError::new(
            option,
            "0 lets nothing through: leave it out for the default, or give at least 1",
        )),
        _ => Ok(()),
    }
}

/// Checks that a time is one in which something can happen.
///
/// # Errors
/// If it is 0.
pub fn check_time(option: &'static str, time: Duration) -> Result<(), OptionError> {
    match time {
        Duration::ZERO => Err(OptionError::new(
            option,
            "0 is over before anything can happen: leave it out for the default, or give more than 0",
        )),
        _ => Ok(()),
    }
}

/// Checks the path segment of a transport.
pub(super) fn check_path(option: &'static str, path: &str) -> Result<(), OptionError> {
    match path {
        "" => Err(OptionError::new(option, "a transport needs a path segment, such as the default")),
        path if path.contains(['/', '?', '#', ' ']) => {
            Err(OptionError::new(option, "it is one segment of a path: take out '/', '?', '#' and spaces"))
        }
        _ => Ok(()),
    }
}
