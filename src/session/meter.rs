//! What is counted of the messages of a mount's clients.

use lapwing_transports::tally::Words;

#[derive(Debug)]
pub(crate) struct Meter {
    /// Messages that came to no channel.
    pub(crate) refused: Words<7>,
    /// New tokens.
    pub(crate) tokens: Words<2>,
}

impl Default for Meter {
    fn default() -> Self {
        let refused = [
            "unreadable",
            "unmatched",
            "name_too_long",
            "too_fast",
            "joins_too_fast",
            "too_many_joins",
            "too_many_ending",
        ];
        Self { refused: Words::new(refused), tokens: Words::new(["ok", "refused"]) }
    }
}
