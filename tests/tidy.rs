//! The rules of the house, as a test.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Longer files need a reason in their module's documentation, and there is none that has one.
const LINES_MAX: usize = 600;

/// Rooms that take time as an argument and return what is to be done.
const PURE: &[&str] = &[
    "src/protocol",
    "src/join/mailbox.rs",
    "src/server/path.rs",
    "src/session/joins.rs",
    "src/topic.rs",
    "src/topics/history",
    "src/topics/keep.rs",
    "src/topics/log.rs",
    "src/topics/position.rs",
    "cluster/src",
    "engines/driver/src/backoff.rs",
    "engines/nats/src/address.rs",
    "engines/nats/src/protocol.rs",
    "presence/src",
    "transports/src/close.rs",
    "transports/src/frame.rs",
    "transports/src/dialect",
    "transports/src/http/query.rs",
    "transports/src/session",
    "transports/src/websocket/closing/mod.rs",
    "transports/src/websocket/codec",
];

const IMPURE: &[&str] =
    &["tokio", "Instant::now", "SystemTime", "std::thread", "getrandom", "std::net", "std::fs"];

fn sources(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    if root.is_file() {
        return vec![root];
    }
    let mut files = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The text without its tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap().to_owned();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_file_is_too_long() {
    for folder in ["src", "transports/src", "presence/src", "cluster/src", "engines", "examples", "tests"] {
        for path in sources(folder) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn pure_rooms_have_no_clock_no_task_no_dice() {
    for path in PURE.iter().flat_map(|room| sources(room)) {
        let code = code(&path);
        for word in IMPURE {
            assert!(!code.contains(word), "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn presence_depends_on_no_runtime() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("presence/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    assert!(!manifest.contains("tokio") && !manifest.contains("hyper"));
}

#[test]
fn transports_never_see_a_topic() {
    for path in sources("transports/src") {
        let code = code(&path).to_lowercase();
        for word in ["topic", "channel_", "phx_"] {
            assert!(!code.contains(word), "{} mentions {word}", path.display());
        }
    }
}

/// The files of a crate that each file imports, by their module paths.
fn imports(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let module_of = |path: &Path| {
        let path = path.strip_prefix(&root).unwrap().with_extension("");
        let module = path.to_string_lossy().replace('/', "::");
        module.strip_suffix("::mod").unwrap_or(&module).to_owned()
    };
    let files: Vec<_> = sources(folder).into_iter().filter(|path| !path.ends_with("lib.rs")).collect();
    let modules: BTreeSet<String> = files.iter().map(|path| module_of(path)).collect();
    let mut imports = BTreeMap::new();
    for path in &files {
        let code = code(path);
        let module = module_of(path);
        let mut found = BTreeSet::new();
        for used in used_paths(&code, &module) {
            // The longest prefix of the path that is a file.
            let parts: Vec<&str> = used.split("::").collect();
            let file =
                (1..=parts.len()).rev().map(|n| parts[..n].join("::")).find(|path| modules.contains(path));
            if let Some(file) = file.filter(|file| *file != module) {
                found.insert(file);
            }
        }
        imports.insert(module, found);
    }
    imports
}

/// The paths of `use crate::` and `use super::` items, from the crate's root on, braces spread out.
fn used_paths(code: &str, module: &str) -> Vec<String> {
    let parent = module.rsplit_once("::").map_or(String::new(), |(parent, _)| format!("{parent}::"));
    let mut paths = Vec::new();
    for (keyword, prefix) in [("use crate::", ""), ("use super::", &parent)] {
        for item in code.split(keyword).skip(1) {
            let item = item.split(';').next().unwrap().split_whitespace().collect::<String>();
            spread(prefix, &item, &mut paths);
        }
    }
    paths
}

fn spread(prefix: &str, item: &str, paths: &mut Vec<String>) {
    let Some((head, rest)) = item.split_once('{') else {
        paths.push(format!("{prefix}{item}"));
        return;
    };
    let inner = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut start) = (0, 0);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                spread(&format!("{prefix}{head}"), &inner[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    if start < inner.len() {
        spread(&format!("{prefix}{head}"), &inner[start..], paths);
    }
}

#[test]
fn files_import_in_no_circle() {
    let folders = [
        "src",
        "transports/src",
        "presence/src",
        "cluster/src",
        "engines/driver/src",
        "engines/nats/src",
        "engines/redis/src",
    ];
    for folder in folders {
        let imports = imports(folder);
        assert!(imports.values().any(|files| !files.is_empty()), "no import was found in {folder}");
        // Take away files that import nothing that is left, until nothing is left.
        let mut left = imports.clone();
        loop {
            let free: BTreeSet<String> = left
                .iter()
                .filter(|(_, files)| files.iter().all(|file| !left.contains_key(file)))
                .map(|(module, _)| module.clone())
                .collect();
            if free.is_empty() {
                break;
            }
            left.retain(|module, _| !free.contains(module));
        }
        assert!(left.is_empty(), "{folder}: a circle among {:?}", left.keys().collect::<Vec<_>>());
    }
}
