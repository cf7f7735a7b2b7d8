//! The path of a mount, with its variables. Pure.

use lapwing_transports::connect::PathVariables;
use serde_json::{Map, Value};

/// A path whose segments may be variables: `/ws/:user_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountPath(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// Bound to a connect parameter, unless the name begins with `_`.
    Variable(String),
}

impl MountPath {
    /// What a router leaves that takes a mount's path off.
    pub(crate) const ROOT: &'static Self = &Self(Vec::new());

    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub(crate) fn new(path: &str) -> Result<Self, &'static str> {
        if path.contains(['?', '#', ' ']) {
            return Err("it is a path alone: take out the query, the fragment, and spaces");
        }
        if path.contains(['*', '{', '}']) {
            return Err("a variable is written as in \"/rooms/:room\", and there are no wildcards");
        }
        let segment = |text: &str| match text.strip_prefix(':') {
            Some(name) => Segment::Variable(name.to_owned()),
            None => Segment::Literal(text.to_owned()),
        };
        let read: Vec<_> = segments(path).map(segment).collect();
        for (index, segment) in read.iter().enumerate() {
            match segment {
                Segment::Variable(name) if name.is_empty() => {
                    return Err("a variable has no name: write it as in \"/rooms/:room\"");
                }
                Segment::Variable(_) if read[..index].contains(segment) => {
                    return Err("two variables have one name: rename one");
                }
                _ => {}
            }
        }
        Ok(Self(read))
    }

    /// Matches the whole of a path but its last segment, which is returned: the transport's.
    pub(crate) fn matches<'p>(&self, path: &'p str) -> Option<(&'p str, PathVariables)> {
        let mut variables = Map::new();
        let mut given = segments(path);
        for segment in &self.0 {
            let text = given.next()?;
            match segment {
                Segment::Literal(literal) if literal != text => return None,
                Segment::Variable(name) if !name.starts_with('_') => {
                    variables.insert(name.clone(), Value::String(text.to_owned()));
                }
                Segment::Literal(_) | Segment::Variable(_) => {}
            }
        }
        let transport = given.next()?;
        given.next().is_none().then_some((transport, PathVariables(variables)))
    }
}

/// The segments that are not empty: a slash too many changes nothing, as in Phoenix.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport<'p>(mount: &str, path: &'p str) -> Option<&'p str> {
        MountPath::new(mount).unwrap().matches(path).map(|(transport, _)| transport)
    }

    #[test]
    fn a_mount_matches_its_path_and_one_segment_more() {
        assert_eq!(transport("/socket", "/socket/websocket"), Some("websocket"));
        assert_eq!(transport("/socket", "/socket/websocket/"), Some("websocket"));
        assert_eq!(transport("/a/b", "/a/b/longpoll"), Some("longpoll"));
        assert_eq!(transport("", "/websocket"), Some("websocket"));
        for path in ["/socket", "/socket/", "/socket/websocket/x", "/other/websocket", "/"] {
            assert_eq!(transport("/socket", path), None, "{path}");
        }
    }

    #[test]
    fn variables_are_bound_unless_they_begin_with_an_underscore() {
        let path = MountPath::new("/ws/:user_id/:_tenant").unwrap();
        let (transport, PathVariables(variables)) = path.matches("/ws/42/acme/websocket").unwrap();
        assert_eq!((transport, variables.len(), &variables["user_id"]), ("websocket", 1, &Value::from("42")));
    }
}
