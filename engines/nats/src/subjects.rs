//! How the subjects of kept topics are called.
//!
//! ```text
//!   lw.<app>.k.<channel>.<topic>   an entry, as the stream takes it
//!   lw.<app>.<channel>.<topic>     the same, as the stream publishes it when it has its place
//!   lw.<app>.k.id                  the epochs of topics that are not used yet
//!   lw.<app>.i.<connection>.<n>    an answer
//! ```

use lapwing_cluster::{Channel, Names};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What of a topic does not stand for itself.
const SPECIAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b':').remove(b'@');

/// The longest name of a topic. Nodes publish on no longer one, and the longest line that a server takes has room for its subject.
const TOPIC_BYTES_MAX: usize = 1_024;

/// What is asked of JetStream, before the name of the stream.
const ASKED: [&str; 4] = ["STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.MSG.GET"];

/// The subjects of one application.
#[derive(Clone, Debug)]
pub(crate) struct Subjects {
    names: Names,
    stream: String,
}

/// A request to JetStream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Info = 0,
    Create,
    Update,
    Get,
}

impl Subjects {
    pub(crate) fn new(names: Names) -> Self {
        let app = names.prefix().trim_end_matches('.').replace('.', "_");
        Self { names, stream: format!("{app}_kept") }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The name of the stream.
    pub(crate) fn stream(&self) -> &str {
        &self.stream
    }

    /// All that the stream takes.
    pub(crate) fn taken(&self) -> String {
        format!("{}k.>", self.names.prefix())
    }

    /// What of it is published, and as what.
    pub(crate) fn published(&self) -> (String, String) {
        let prefix = self.names.prefix();
        let dest = format!("{prefix}{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}");
        (format!("{prefix}k.*.*.*"), dest)
    }

    /// A topic's, as the stream takes it; none of a name that nobody can publish on.
    pub(crate) fn topic(&self, channel: Channel, topic: &str) -> Option<String> {
        if topic.len() > TOPIC_BYTES_MAX {
            return None;
        }
        let (prefix, name) = (self.names.prefix(), self.names.name(channel));
        let channel = name.strip_prefix(prefix)?;
        let topic = utf8_percent_encode(topic, SPECIAL).to_string();
        // A word of a subject is not empty, and of no other topic is this one.
        let topic = if topic.is_empty() { "%" } else { &topic };
        Some(format!("{prefix}k.{channel}.{topic}"))
    }

    pub(crate) fn epochs(&self) -> String {
        format!("{}k.id", self.names.prefix())
    }

    /// Where the answers to a connection go; a number follows.
    pub(crate) fn answers(&self, connection: u64) -> String {
        format!("{}i.{connection:016x}.", self.names.prefix())
    }

    pub(crate) fn ask(&self, asked: Asked) -> String {
        format!("$JS.API.{}.{}", ASKED[asked as usize], self.stream)
    }

    /// All that a node asks.
    pub(crate) fn asked(&self) -> impl Iterator<Item = String> + use<'_> {
        [Asked::Info, Asked::Create, Asked::Update, Asked::Get].into_iter().map(|asked| self.ask(asked))
    }
}

#[cfg(test)]
mod tests {
    use lapwing_cluster::{Key, Spread};

    use super::*;

    #[test]
    fn all_subjects_of_an_application_begin_with_its_name() {
        let subjects = Subjects::new(Names::new("chat", '.', Spread::default()).unwrap());
        assert_eq!((subjects.stream(), subjects.names().prefix()), ("lw_chat_kept", "lw.chat."));
        assert_eq!((subjects.taken(), subjects.epochs()), ("lw.chat.k.>".into(), "lw.chat.k.id".into()));
        let (from, to) = subjects.published();
        assert_eq!(from, "lw.chat.k.*.*.*");
        assert_eq!(to, "lw.chat.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}");
        assert_eq!(subjects.answers(17), "lw.chat.i.0000000000000011.");
        let asked: Vec<String> = subjects.asked().collect();
        let all = ["INFO", "CREATE", "UPDATE", "MSG.GET"];
        assert_eq!(asked, all.map(|asked| format!("$JS.API.STREAM.{asked}.lw_chat_kept")));
    }

    #[test]
    fn any_topic_is_one_word_of_a_subject() {
        let subjects = Subjects::new(Names::new("chat", '.', Spread::default()).unwrap());
        let channel = Channel::Topics(Key(17));
        assert_eq!(subjects.topic(channel, "room:1").unwrap(), "lw.chat.k.p.17.room:1");
        let odd = subjects.topic(channel, "a.b *>\r\n%é").unwrap();
        assert_eq!(odd, "lw.chat.k.p.17.a%2Eb%20%2A%3E%0D%0A%25%C3%A9");
        assert_eq!(subjects.topic(channel, "").unwrap(), "lw.chat.k.p.17.%");
        let longest = subjects.topic(channel, &".".repeat(TOPIC_BYTES_MAX)).unwrap();
        assert!(longest.len() < 3_500, "a server takes lines of 4,096");
        assert_eq!(subjects.topic(channel, &"x".repeat(TOPIC_BYTES_MAX + 1)), None);
        let subjects = Subjects::new(Names::new("chat", '.', Spread::Topics).unwrap());
        let subject = subjects.topic(channel, "a").unwrap();
        assert_eq!(subject, "lw.chat.k.t.0000000000000011.a");
        assert_eq!(subject.split('.').count(), subjects.published().0.split('.').count());
    }
}
