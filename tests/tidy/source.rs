//! The sources of a crate, without comments and tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of a crate: its module, and its code.
#[derive(Debug)]
pub(crate) struct Source {
    /// As `a::b` for `a/b.rs` and for `a/b/mod.rs`, empty for `lib.rs`.
    pub(crate) module: String,
    pub(crate) code: String,
}

/// All Rust files below a folder of the repository, or the one file.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
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

/// The files of a crate that are in an ordinary build.
pub(crate) fn product(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let texts = files(folder).into_iter().map(|path| {
        let module = path.strip_prefix(&root).unwrap().with_extension("");
        let module = module.to_string_lossy().replace('/', "::");
        (module, fs::read_to_string(&path).unwrap())
    });
    product_of(texts.collect())
}

/// The same of texts by their paths, such as `a::mod`.
pub(crate) fn product_of(texts: Vec<(String, String)>) -> Vec<Source> {
    let module_of = |path: &str| match path {
        "lib" | "main" => String::new(),
        path => path.strip_suffix("::mod").unwrap_or(path).to_owned(),
    };
    let all: Vec<_> =
        texts.iter().map(|(path, text)| Source { module: module_of(path), code: code(text) }).collect();
    let tests: Vec<_> = all.iter().flat_map(test_modules).collect();
    let is_test =
        |module: &str| tests.iter().any(|test| module == test || module.starts_with(&format!("{test}::")));
    all.into_iter().filter(|source| !is_test(&source.module)).collect()
}

/// The modules that a file declares for tests, models or the fuzzer alone.
fn test_modules(source: &Source) -> Vec<String> {
    let mut modules = Vec::new();
    let mut is_test = false;
    for line in source.code.lines().map(str::trim) {
        if let Some(condition) = line.strip_prefix("#[cfg(") {
            let names_one = ["test", "fuzzing", "shuttle"].iter().any(|word| condition.contains(word));
            is_test |= names_one && !condition.contains("not(");
        } else if !line.starts_with("#[") {
            let name = line.strip_suffix(';').and_then(|line| line.split_once("mod ")).map(|(_, name)| name);
            if let Some(name) = name.filter(|_| is_test) {
                let parent = if source.module.is_empty() { "" } else { "::" };
                modules.push(format!("{}{parent}{name}", source.module));
            }
            is_test = false;
        }
    }
    modules
}

/// A text without its tests and comments. Tests stand at the end of a file.
pub(crate) fn code(text: &str) -> String {
    let end = text
        .match_indices("#[cfg(test)]\nmod ")
        .find(|(at, found)| text[at + found.len()..].lines().next().is_some_and(|line| line.ends_with('{')))
        .map_or(text.len(), |(at, _)| at);
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_comments_and_files_for_tests_are_left_out() {
        let lib = "mod a;\n#[cfg(all(test, shuttle))]\nmod models;\n#[cfg(not(test))]\nmod b;\n";
        let a =
            "// crate::c\nuse crate::b;\n#[cfg(test)]\nmod planted;\nfn f() {}\n#[cfg(test)]\nmod tests {\n";
        let texts = [("lib", lib), ("a::mod", a), ("a::planted", ""), ("b", ""), ("models::mod", "")];
        let product = product_of(texts.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
        let modules: Vec<_> = product.iter().map(|source| source.module.as_str()).collect();
        assert_eq!(modules, ["", "a", "b"]);
        assert_eq!(product[1].code, "use crate::b;\n#[cfg(test)]\nmod planted;\nfn f() {}");
    }
}
