//! Who uses whom: between files, and between the rooms of a crate, which are the first folders and files below its root.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// Who uses whom.
pub(crate) type Arrows = BTreeMap<String, BTreeSet<String>>;

/// The files of a crate that each file uses. A folder's own file may use what lies in the folder: that is no arrow.
pub(crate) fn between_files(sources: &[Source]) -> Arrows {
    let modules: BTreeSet<&str> = sources.iter().map(|source| source.module.as_str()).collect();
    let mut arrows = Arrows::new();
    for source in sources.iter().filter(|source| !source.module.is_empty()) {
        let used = used_paths(source).into_iter().filter_map(|path| {
            // The longest prefix of the path that is a file.
            let parts: Vec<&str> = path.split("::").collect();
            (1..=parts.len())
                .rev()
                .map(|n| parts[..n].join("::"))
                .find(|path| modules.contains(path.as_str()))
        });
        let inside = format!("{}::", source.module);
        let used = used.filter(|file| *file != source.module && !file.starts_with(&inside));
        arrows.insert(source.module.clone(), used.collect());
    }
    arrows
}

/// The rooms of a crate that each room uses.
pub(crate) fn between_rooms(sources: &[Source]) -> Arrows {
    let mut arrows = Arrows::new();
    for source in sources.iter().filter(|source| !source.module.is_empty()) {
        let room = room_of(&source.module);
        let used = used_paths(source).into_iter().map(|path| room_of(&path).to_owned());
        arrows.entry(room.to_owned()).or_default().extend(used.filter(|used| used != room));
    }
    arrows
}

fn room_of(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

/// Those that use each other, directly or through others; empty if there is no circle.
pub(crate) fn circle(arrows: &Arrows) -> Vec<String> {
    let mut left = arrows.clone();
    // Take away those that use nothing that is left, and those that nothing uses that is left, until nothing changes.
    loop {
        let used: BTreeSet<String> = left.values().flatten().cloned().collect();
        let is_free = |user: &String, uses: &BTreeSet<String>| {
            uses.iter().all(|used| !left.contains_key(used)) || !used.contains(user)
        };
        let free: BTreeSet<String> =
            left.iter().filter(|(user, uses)| is_free(user, uses)).map(|(user, _)| user.clone()).collect();
        if free.is_empty() {
            return left.into_keys().collect();
        }
        left.retain(|user, _| !free.contains(user));
    }
}

/// The paths of a file's own crate that it names, from the crate's root on, wherever it names them.
fn used_paths(source: &Source) -> Vec<String> {
    let parent = source.module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let mut paths = Vec::new();
    for (keyword, prefix) in [("crate::", ""), ("super::", parent)] {
        for (at, _) in source.code.match_indices(keyword) {
            let is_part_of_a_path = source.code[..at]
                .ends_with(|before: char| before.is_alphanumeric() || matches!(before, '_' | '$' | ':'));
            if !is_part_of_a_path {
                spread(prefix, &source.code[at + keyword.len()..], &mut paths);
            }
        }
    }
    paths
}

/// Puts a path, or each of those that are listed in braces, behind a prefix. Returns what stands after them.
fn spread<'a>(prefix: &str, text: &'a str, paths: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut list) = text.strip_prefix('{') {
        loop {
            list = list.trim_start();
            if let Some(rest) = list.strip_prefix('}') {
                return rest;
            }
            list = spread(prefix, list, paths).trim_start();
            list = match list.strip_prefix(',') {
                Some(rest) => rest,
                None if list.starts_with('}') => list,
                None => return list,
            };
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = match (prefix, name) {
        // Of the module itself.
        (prefix, "" | "self") => prefix.to_owned(),
        (prefix, "super") => prefix.rsplit_once("::").map_or("", |(parent, _)| parent).to_owned(),
        ("", name) => name.to_owned(),
        (prefix, name) => format!("{prefix}::{name}"),
    };
    if let Some(rest) = rest.strip_prefix("::").filter(|_| !name.is_empty()) {
        return spread(&path, rest, paths);
    }
    if !path.is_empty() {
        paths.push(path);
    }
    let rest = rest.strip_prefix('*').unwrap_or(rest);
    // Another name for it.
    match rest.trim_start().strip_prefix("as ") {
        Some(alias) => alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
        None => rest,
    }
}

/// The rooms of a crate in the order in which they are drawn: each uses only those to its right, and those in one pair of braces
/// do not use each other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Drawing {
    /// The rooms, and their places from the left.
    places: BTreeMap<String, usize>,
    /// The rooms that are marked with `*`: no task, no clock, no socket, no randomness.
    pub(crate) pure: BTreeSet<String>,
}

impl Drawing {
    /// Reads the first drawing in a text, such as `//! a ─ {b c*} ─ d`. It goes on in the next line if a line ends with `─`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut drawn = String::new();
        for line in text.lines() {
            let line = line.trim_start_matches(['/', '!', ' ']).trim_end();
            // A remark may follow, some way off.
            let line = line.split("   ").next().unwrap_or(line);
            let is_drawn = line.chars().all(|c| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '*' | '{' | '}' | ' ' | '─')
            });
            if is_drawn && (line.contains(" ─") || !drawn.is_empty()) {
                drawn.push_str(line);
                if !line.ends_with('─') {
                    break;
                }
            }
        }
        let (mut places, mut pure) = (BTreeMap::new(), BTreeSet::new());
        for (place, step) in drawn.split('─').enumerate() {
            for room in step.replace(['{', '}'], " ").split_whitespace() {
                let name = room.trim_end_matches('*');
                places.insert(name.to_owned(), place);
                pure.extend((name != room).then(|| name.to_owned()));
            }
        }
        (places.len() > 1).then_some(Self { places, pure })
    }

    /// What is wrong with who uses whom, in words.
    pub(crate) fn faults(&self, arrows: &Arrows) -> Vec<String> {
        let mut faults = Vec::new();
        for room in arrows.keys().filter(|room| !self.places.contains_key(*room)) {
            faults.push(format!("the room {room} is not drawn"));
        }
        for room in self.places.keys().filter(|room| !arrows.contains_key(*room)) {
            faults.push(format!("{room} is drawn, and there is no such room"));
        }
        for (user, used) in arrows.iter().flat_map(|(user, used)| used.iter().map(move |used| (user, used))) {
            match (self.places.get(user), self.places.get(used)) {
                (Some(from), Some(to)) if from >= to => {
                    faults.push(format!("{user} uses {used}, against the drawing"));
                }
                (Some(_), None) if !arrows.contains_key(used) => {
                    faults.push(format!("{user} uses {used}, which is no room: name it where it is"));
                }
                _ => {}
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::product_of;

    const LIB: &str =
        "//! ```text\n//! top ─ {left right*} ─\n//! bottom*   every arrow points right\n//! ```\n";

    /// Sound sources, with a text in the place of one of them.
    fn sources(path: &str, text: &str) -> Vec<Source> {
        let mut texts = vec![
            ("lib", LIB),
            ("top", "use crate::{left::{Left, inner::{self, Deep as D}}, right::*};"),
            ("left::mod", "mod inner;\nuse self::inner::Deep;\nfn f() -> crate::bottom::Bottom { todo!() }"),
            ("left::inner", "use super::Left;"),
            ("right", "use crate::bottom::Bottom;"),
            ("bottom", "use std::fmt;"),
        ];
        texts.retain(|(is, _)| *is != path);
        texts.push((path, text));
        product_of(texts.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect())
    }

    fn faults(path: &str, text: &str) -> Vec<String> {
        Drawing::read(LIB).unwrap().faults(&between_rooms(&sources(path, text)))
    }

    fn of(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn sound_rooms_have_no_fault() {
        let sources = sources("bottom", "");
        assert!(circle(&between_rooms(&sources)).is_empty() && circle(&between_files(&sources)).is_empty());
        assert_eq!(faults("bottom", ""), Vec::<String>::new());
        let used = &between_files(&sources)["top"];
        assert_eq!(used.iter().cloned().collect::<Vec<_>>(), ["left", "left::inner", "right"]);
    }

    #[test]
    fn a_circle_between_rooms_is_found_by_use_and_by_path() {
        for planted in ["use crate::left::Left;", "fn f() { crate::left::f() }", "use super::left::Left;"] {
            assert_eq!(
                circle(&between_rooms(&sources("bottom", planted))),
                of(&["bottom", "left"]),
                "{planted}"
            );
        }
        // Where no file uses another in a circle.
        let arrows = sources("bottom", "fn f() -> super::left::inner::Deep { todo!() }");
        assert_eq!(circle(&between_rooms(&arrows)), of(&["bottom", "left"]));
    }

    #[test]
    fn a_circle_between_files_of_a_room_is_found() {
        let texts = [("a::b", "use super::c::C;"), ("a::c", "fn f(b: crate::a::b::B) {}"), ("a::mod", "")];
        let texts = texts.map(|(path, text)| (path.to_owned(), text.to_owned()));
        assert_eq!(circle(&between_files(&product_of(texts.into()))), of(&["a::b", "a::c"]));
    }

    #[test]
    fn an_arrow_against_the_drawing_is_found_by_use_and_by_path() {
        for planted in ["use crate::{top};", "fn f() { crate::top::f::<u8>() }", "type T = super::top::T;"] {
            assert_eq!(faults("right", planted), of(&["right uses top, against the drawing"]), "{planted}");
        }
        assert_eq!(faults("right", "use crate::left::Left;"), of(&["right uses left, against the drawing"]));
    }

    #[test]
    fn the_drawing_and_the_rooms_are_the_same() {
        assert_eq!(faults("new", ""), of(&["the room new is not drawn"]));
        let drawing = Drawing::read("// top ─ gone").unwrap();
        let faults = drawing.faults(&between_rooms(&product_of(vec![("top".into(), String::new())])));
        assert_eq!(faults, of(&["gone is drawn, and there is no such room"]));
        assert_eq!(self::faults("right", "use crate::Left;").len(), 1, "a name of the root hides its room");
        assert_eq!(
            Drawing::read(LIB).unwrap().pure.into_iter().collect::<Vec<_>>(),
            of(&["bottom", "right"])
        );
        assert_eq!(Drawing::read("//! no ── drawing │ here"), None);
    }
}
