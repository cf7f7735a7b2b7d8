//! Names of strangers as a page is given them: whole if they are short, and never longer than a screen.

use serde::Serialize;

/// Of a name that is longer, the beginning is shown, and nothing can be asked about it.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// A name as it is shown. What is strange in it is left to the page, which shows text and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    pub(crate) name: String,
    /// How many bytes it has that are not here.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) more: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Shown {
    pub(crate) fn of(name: &str) -> Self {
        let end = name.floor_char_boundary(NAME_BYTES_MAX);
        Self { name: name[..end].to_owned(), more: name.len() - end }
    }
}

/// A name for a terminal: on one line, without anything that it obeys, and cut.
pub(crate) fn quoted(name: &str) -> String {
    lapwing::transports::quoted::Quoted::new(name).up_to(128).to_string()
}
