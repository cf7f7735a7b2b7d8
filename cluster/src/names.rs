//! How an engine calls the channels.

use std::fmt;

use crate::{
    channel::{Channel, Key, Spread},
    id::Instance,
};

/// What every name begins with, so that a database that is shared shows whose they are.
const PREFIX: &str = "lw";

/// The longest name of an application.
const APP_BYTES_MAX: usize = 64;

/// The names of one application's channels in an engine.
///
/// ```
/// use lapwing_cluster::{Channel, Instance, Key, Names, Spread};
///
/// let names = Names::new("chat", ':', Spread::default())?;
/// assert_eq!(names.name(Channel::Control), "lw:chat:c");
/// assert_eq!(names.name(Channel::Node(Instance(255))), "lw:chat:n:00000000000000ff");
/// assert_eq!(names.name(Channel::Topics(Key(7))), "lw:chat:p:7");
/// assert_eq!(names.channel("lw:chat:p:7"), Some(Channel::Topics(Key(7))));
/// assert_eq!(names.channel("lw:other:p:7"), None);
/// assert!(Names::new("chat:1", ':', Spread::default()).is_err());
/// # Ok::<(), lapwing_cluster::AppNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Up to the last separator.
    prefix: String,
    separator: char,
    spread: Spread,
}

impl Names {
    /// The names for an application, whose parts are joined by `separator`.
    ///
    /// # Errors
    /// The application's name must have 1 to 64 characters, all of them letters or digits of ASCII, `-` or `_`: no engine takes any of
    /// these for a pattern.
    pub fn new(app: &str, separator: char, spread: Spread) -> Result<Self, AppNameError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if app.is_empty() || app.len() > APP_BYTES_MAX || !app.bytes().all(is_plain) {
            return Err(AppNameError);
        }
        Ok(Self { prefix: format!("{PREFIX}{separator}{app}{separator}"), separator, spread })
    }

    /// What all names of the application begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A name that carries nothing: an engine tries its permissions there.
    #[must_use]
    pub fn probe(&self) -> String {
        format!("{}probe", self.prefix)
    }

    /// The name of a channel.
    #[must_use]
    pub fn name(&self, channel: Channel) -> String {
        let (prefix, separator) = (&self.prefix, self.separator);
        match (channel, self.spread) {
            (Channel::Control, _) => format!("{prefix}c"),
            (Channel::Node(instance), _) => format!("{prefix}n{separator}{instance}"),
            (Channel::Topics(key), Spread::Partitions(_)) => format!("{prefix}p{separator}{}", key.0),
            (Channel::Topics(key), Spread::Topics) => format!("{prefix}t{separator}{:016x}", key.0),
        }
    }

    /// The channel with a name; none if it is not one of this application.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<Channel> {
        let rest = name.strip_prefix(&self.prefix)?;
        if rest == "c" {
            return Some(Channel::Control);
        }
        let (kind, number) = rest.split_once(self.separator)?;
        let hexadecimal = || u64::from_str_radix(number, 16).ok();
        match (kind, self.spread) {
            ("n", _) => hexadecimal().map(|id| Channel::Node(Instance(id))),
            ("p", Spread::Partitions(_)) => number.parse().ok().map(|key| Channel::Topics(Key(key))),
            ("t", Spread::Topics) => hexadecimal().map(|key| Channel::Topics(Key(key))),
            _ => None,
        }
    }
}

/// An application's name has no character, too many, or one that an engine would take for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppNameError;

impl fmt::Display for AppNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the application's name must be 1 to {APP_BYTES_MAX} of the characters a-z, A-Z, 0-9, - and _"
        )
    }
}

impl std::error::Error for AppNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_has_a_name_that_leads_back_to_it() {
        for (separator, spread) in [(':', Spread::default()), ('.', Spread::Topics)] {
            let names = Names::new("a-b_C9", separator, spread).unwrap();
            let channels = [
                Channel::Control,
                Channel::Node(Instance(u64::MAX)),
                Channel::Topics(Key(0)),
                Channel::Topics(Key(u64::MAX)),
            ];
            for channel in channels {
                let name = names.name(channel);
                assert!(name.starts_with(names.prefix()));
                assert_eq!(names.channel(&name), Some(channel), "{name}");
            }
            assert_eq!(names.channel(&names.probe()), None);
        }
    }

    /// Whoever lets a user of an engine do this and nothing else writes them into its rules.
    #[test]
    fn the_prefix_and_the_name_for_trying_are_the_documented_ones() {
        let names = Names::new("chat", '.', Spread::Topics).unwrap();
        assert_eq!((names.prefix(), names.probe().as_str()), ("lw.chat.", "lw.chat.probe"));
        assert!(AppNameError.to_string().contains("1 to 64"));
    }

    #[test]
    fn what_is_not_of_this_application_and_spread_is_no_channel() {
        let names = Names::new("chat", ':', Spread::default()).unwrap();
        for name in [
            "",
            "lw:chat:",
            "lw:chat:p",
            "lw:chat:p:x",
            "lw:chat:t:01",
            "lw:chat2:c",
            "lw:cha:c",
            "lw:chat:n:-1",
        ] {
            assert_eq!(names.channel(name), None, "{name}");
        }
    }

    #[test]
    fn an_application_whose_name_an_engine_could_misread_is_refused() {
        for app in ["", "a.b", "a:b", "a*", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(Names::new(app, ':', Spread::default()), Err(AppNameError), "{app}");
        }
        assert!(Names::new(&"x".repeat(64), ':', Spread::default()).is_ok());
    }
}
