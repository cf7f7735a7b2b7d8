//! What the mounts of a server say of topics by patterns: each pattern is to be of some use.

use tracing::warn;

use crate::{
    server::{build_error::BuildError, mount::Mount},
    topic::TopicPattern,
    topics::{keep::Keep, slow::SlowPolicy},
};

/// Patterns in the order in which they are looked at, over all mounts.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    pub(super) slow: Vec<(TopicPattern, SlowPolicy)>,
    pub(super) keeps: Vec<(TopicPattern, Keep)>,
}

/// Collects the patterns of all mounts.
///
/// # Errors
/// For one that is none, or that is never looked at.
pub(super) fn collect<'m>(mounts: impl Iterator<Item = &'m Mount> + Clone) -> Result<Patterns, BuildError> {
    let mut patterns = Patterns::default();
    for mount in mounts.clone() {
        let (slow, keeps) = (patterns.slow.len(), patterns.keeps.len());
        for (pattern, policy) in &mount.slow {
            policy.check()?;
            let pattern = TopicPattern::new(pattern).map_err(BuildError::Pattern)?;
            if !has_topics(mounts.clone(), &pattern) {
                // A channel may subscribe to them by itself, of which nobody knows yet.
                warn!(pattern = pattern.as_str(), "Mount::slow: no channel has topics of this pattern");
            }
            add(&mut patterns.slow, slow, ("Mount::slow", pattern), policy.clone())?;
        }
        for (pattern, keep) in &mount.keeps {
            keep.check()?;
            let pattern = TopicPattern::new(pattern).map_err(BuildError::Pattern)?;
            if !has_topics(mounts.clone(), &pattern) {
                // A program may read them by itself, and no client can join them.
                warn!(pattern = pattern.as_str(), "Mount::keep: no channel has topics of this pattern");
            }
            add(&mut patterns.keeps, keeps, ("Mount::keep", pattern), *keep)?;
        }
    }
    Ok(patterns)
}

/// Whether a channel of any mount has topics of a pattern.
fn has_topics<'m>(mounts: impl Iterator<Item = &'m Mount>, pattern: &TopicPattern) -> bool {
    mounts.flat_map(Mount::routes).any(|route| route.topics().meets(pattern))
}

/// Adds a pattern, unless one before it hides it. Another mount, before `first`, may have said the same.
fn add<T: PartialEq>(
    known: &mut Vec<(TopicPattern, T)>,
    first: usize,
    (option, pattern): (&'static str, TopicPattern),
    says: T,
) -> Result<(), BuildError> {
    let hides = known.iter().position(|(before, _)| before.covers(&pattern));
    match hides {
        Some(place) if place < first && known[place].1 == says => Ok(()),
        Some(place) => Err(BuildError::HiddenPattern {
            option,
            pattern: pattern.as_str().to_owned(),
            by: known[place].0.as_str().to_owned(),
        }),
        None => {
            known.push((pattern, says));
            Ok(())
        }
    }
}
