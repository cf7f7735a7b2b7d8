//! Who publishes: one start of one node.

use std::fmt;

/// One start of one node: 64 random bits that the program draws when it starts, never used again.
///
/// ```
/// use lapwing_cluster::Instance;
///
/// assert_eq!(Instance(255).to_string(), "00000000000000ff");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(pub u64);

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
