//! The rules of the house, as a test.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

mod functions;
mod rooms;
mod source;

use std::{fs, path::Path};

use crate::{
    rooms::Drawing,
    source::{code, files, product},
};

/// The crates whose rooms are drawn in their `lib.rs`.
const CRATES: &[&str] = &[
    "src",
    "transports/src",
    "presence/src",
    "cluster/src",
    "engines/driver/src",
    "engines/nats/src",
    "engines/redis/src",
    "faults/src",
    "inspector/src",
];

/// Longer functions are cut where a part of them has a name worth having.
const FUNCTION_LINES_MAX: usize = 70;

/// Longer files need a reason in their module's documentation, and there is none that has one.
const LINES_MAX: usize = 600;

/// Files that take time as an argument and return what is to be done, beside the rooms that are drawn as pure.
const PURE: &[&str] = &[
    "src/join/mailbox.rs",
    "src/server/path.rs",
    "src/session/joins.rs",
    "src/topics/history",
    "src/topics/keep.rs",
    "src/topics/log.rs",
    "src/topics/position.rs",
    "transports/src/http/query.rs",
    "transports/src/live/calls.rs",
    "transports/src/websocket/closing/mod.rs",
    "transports/src/websocket/codec",
    "transports/src/websocket/egress",
];

const IMPURE: &[&str] =
    &["tokio", "Instant::now", "SystemTime", "std::thread", "getrandom", "std::net", "std::fs"];

#[test]
fn no_file_is_too_long() {
    for folder in CRATES.iter().chain(&["engines", "examples", "tests"]) {
        for path in files(folder) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn pure_rooms_have_no_clock_no_task_no_dice() {
    let mut pure: Vec<_> = PURE.iter().flat_map(|room| files(room)).collect();
    for folder in CRATES {
        for room in drawing(folder).pure {
            let (file, folder) = (format!("{folder}/{room}.rs"), format!("{folder}/{room}"));
            pure.extend(files(if root().join(&file).exists() { &file } else { &folder }));
        }
    }
    assert!(pure.len() > 50, "no pure rooms are drawn");
    for path in pure {
        let code = code(&fs::read_to_string(&path).unwrap());
        for word in IMPURE {
            assert!(!code.contains(word), "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn presence_depends_on_no_runtime() {
    let manifest = root().join("presence/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    assert!(!manifest.contains("tokio") && !manifest.contains("hyper"));
}

#[test]
fn transports_never_see_a_topic() {
    for path in files("transports/src") {
        let code = code(&fs::read_to_string(&path).unwrap()).to_lowercase();
        for word in ["topic", "channel_", "phx_"] {
            assert!(!code.contains(word), "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn no_function_is_too_long() {
    let mut count = 0;
    for path in CRATES.iter().chain(&["engines", "examples", "tests"]).flat_map(|folder| files(folder)) {
        let text = fs::read_to_string(&path).unwrap();
        count += text.matches("fn ").count();
        let long = functions::longer_than(FUNCTION_LINES_MAX, &text);
        assert!(long.is_empty(), "{}: {long:?}", path.display());
    }
    assert!(count > 1_000, "no functions were found");
}

/// A module with children is a folder with a `mod.rs`, not a file beside its folder.
#[test]
fn modules_have_one_style() {
    for path in CRATES.iter().chain(&["tests", "examples", "benches"]).flat_map(|folder| files(folder)) {
        let folder = path.with_extension("");
        assert!(
            !folder.is_dir(),
            "{} stands beside its folder: make it {}/mod.rs",
            path.display(),
            folder.display()
        );
    }
}

#[test]
fn files_use_each_other_in_no_circle() {
    for folder in CRATES {
        let arrows = rooms::between_files(&product(folder));
        assert!(arrows.values().any(|files| !files.is_empty()), "no arrow was found in {folder}");
        let circle = rooms::circle(&arrows);
        assert!(circle.is_empty(), "{folder}: a circle among {circle:?}");
    }
}

#[test]
fn rooms_use_each_other_as_they_are_drawn() {
    for folder in CRATES {
        let arrows = rooms::between_rooms(&product(folder));
        let circle = rooms::circle(&arrows);
        assert!(circle.is_empty(), "{folder}: a circle among the rooms {circle:?}");
        let lib = fs::read_to_string(root().join(folder).join("lib.rs")).unwrap();
        let drawing =
            Drawing::read(&lib).unwrap_or_else(|| panic!("{folder}/lib.rs has no drawing of its rooms"));
        let faults = drawing.faults(&arrows);
        assert!(faults.is_empty(), "{folder}/lib.rs: {faults:#?}");
    }
}

fn drawing(folder: &str) -> Drawing {
    let lib = fs::read_to_string(root().join(folder).join("lib.rs")).unwrap();
    Drawing::read(&lib).unwrap_or_else(|| panic!("{folder}/lib.rs has no drawing of its rooms"))
}

/// The map says the same as the crates do.
#[test]
fn the_architecture_has_the_drawings_of_the_crates() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for folder in ["src", "transports/src", "presence/src", "cluster/src", "engines/driver/src"] {
        let name = map.find(&format!("`{folder}`:")).unwrap_or_else(|| panic!("no drawing of `{folder}`:"));
        assert_eq!(Drawing::read(&map[name..]), Some(drawing(folder)), "ARCHITECTURE.md, {folder}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
