//! What stands in the place of inflating without the feature `deflate`: nothing is agreed on, so nothing comes compressed.

use super::Uninflatable;

pub(crate) fn inflated(_: &[u8], _: usize) -> Result<Vec<u8>, Uninflatable> {
    Err(Uninflatable::Malformed)
}
