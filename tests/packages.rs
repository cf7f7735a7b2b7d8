//! What goes to the registry is what was meant to.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::{collections::BTreeSet, process::Command};

/// What cargo adds by itself.
const CARGOS: &[&str] = &[".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml", "Cargo.toml.orig"];

/// What every package has.
const COMMON: &[&str] = &["LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// The pages of the inspector.
const INSPECTOR: &[&str] = &[
    "web/doctor.html",
    "web/doctor.js",
    "web/examine.js",
    "web/findings.js",
    "web/inspector.css",
    "web/inspector.html",
    "web/inspector.js",
    "web/judge.js",
    "web/life.js",
    "web/plot.js",
    "web/probes.js",
    "web/style.css",
    "web/view.js",
];

/// Each package that is published, and what it has besides its sources.
const PACKAGES: &[(&str, &[&str])] = &[
    ("lapwing", &["ARCHITECTURE.md", "CHANGELOG.md", "docs/api.json", "docs/crate.md", "docs/sessions.md"]),
    ("lapwing-transports", &[]),
    ("lapwing-presence", &[]),
    ("lapwing-cluster", &[]),
    ("lapwing-cluster-driver", &[]),
    ("lapwing-nats", &[]),
    ("lapwing-redis", &[]),
    ("lapwing-faults", &["client.js"]),
    ("lapwing-inspector", INSPECTOR),
];

/// The files of a package. Those that git ignores belong to it, too, if a pattern of `include` matches them.
fn listed(package: &str) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["package", "--list", "--allow-dirty", "--locked", "--package", package]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn packages_have_their_sources_and_papers_and_nothing_else() {
    for (package, own) in PACKAGES {
        let listed = listed(package);
        for expected in COMMON.iter().chain(*own).chain(&["src/lib.rs"]) {
            assert!(listed.iter().any(|file| file == expected), "{package} lacks {expected}");
        }
        let is_meant = |file: &str| {
            file.starts_with("src/")
                || (*package == "lapwing" && file.starts_with("docs/guide/"))
                || CARGOS.contains(&file)
                || COMMON.contains(&file)
                || own.contains(&file)
        };
        let strays: Vec<_> = listed.iter().filter(|file| !is_meant(file)).collect();
        assert!(
            strays.is_empty(),
            "{package} has {} files that nobody meant, such as {:?}",
            strays.len(),
            &strays[..strays.len().min(5)]
        );
    }
}

#[test]
fn no_other_package_can_be_published_by_mistake() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let mut published: Vec<_> = packages.iter().filter(|package| package["publish"].is_null()).collect();
    published.retain(|package| !PACKAGES.iter().any(|(name, _)| package["name"] == *name));
    assert!(published.is_empty(), "{published:?}");
}

/// The packages that a program gets with these features.
fn tree(features: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--package", "lapwing", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    cargo.args(["--locked", "--features", features]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn a_feature_that_is_off_is_no_dependency_and_those_for_metrics_are_their_apis_alone() {
    let plain = tree("");
    for off in ["axum", "flate2", "lapwing-cluster", "lapwing-redis", "metrics", "opentelemetry"] {
        assert!(!plain.contains(off), "{off} is there without its feature");
    }
    for (feature, name) in [("metrics", "metrics"), ("opentelemetry", "opentelemetry")] {
        let more: Vec<_> = tree(feature).difference(&plain).cloned().collect();
        assert!(more.iter().any(|package| package == name), "{more:?}");
        let is_more =
            |package: &String| ["sdk", "exporter", "otlp", "util"].iter().any(|word| package.contains(word));
        assert!(more.len() <= 4 && !more.iter().any(is_more), "{feature} brings {more:?}");
    }
}
