//! What the README and the guides show is what the examples are: one text, attacked in one place.

use std::{collections::BTreeSet, fs, path::Path};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The blocks of Rust in a text of Markdown.
fn blocks(markdown: &str) -> Vec<&str> {
    let blocks = markdown.split("```rust").skip(1);
    blocks.map(|rest| rest.split_once('\n').unwrap().1.split("```").next().unwrap()).collect()
}

#[test]
fn the_program_of_the_readme_is_an_example() {
    let readme = read("README.md");
    let example = read("examples/chat.rs");
    let program = example.split_once("\n\n").expect("a paragraph of documentation, then the program").1;
    let blocks = blocks(&readme);
    let (first, others) = blocks.split_first().expect("the README shows a program");
    assert_eq!(*first, program);
    // What else it shows is compiled where the guide has it.
    let guide = read("docs/guide/cluster.md");
    for line in others.iter().flat_map(|block| block.lines()) {
        assert!(guide.lines().any(|guides| guides == line), "the README shows a line of no guide: {line}");
    }
    let lines = program.lines().filter(|line| !line.is_empty()).count();
    assert!(lines <= 25, "the chat has {lines} lines");
}

/// Line by line, as a guide leaves out what it does not speak of. (The pages of `docs/guide` are compiled as they are.)
#[test]
fn what_the_guides_show_is_in_the_examples() {
    let examples = ["axum", "hyper", "presence", "tls"].map(|name| read(&format!("examples/{name}.rs")));
    let lines: BTreeSet<&str> = examples.iter().flat_map(|text| text.lines()).map(str::trim).collect();
    let docs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap();
    for guide in docs
        .map(|guide| guide.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
    {
        let text = fs::read_to_string(&guide).unwrap();
        for line in blocks(&text).into_iter().flat_map(str::lines).map(str::trim) {
            assert!(lines.contains(line), "{} shows a line of no example: {line}", guide.display());
        }
    }
}

/// Line by line, as the kit's page hides what it does not speak of.
#[test]
fn the_channel_that_the_test_kit_shows_tested_is_that_of_the_readme() {
    let example = read("examples/axum.rs");
    let channel = example.split_once("impl Channel for Room {").unwrap().1.split_once("\n}").unwrap().0;
    let kit = read("src/testing/mod.rs");
    for line in channel.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(kit.contains(line), "src/testing/mod.rs shows another channel: {line}");
    }
}
