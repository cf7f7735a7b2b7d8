//! How long functions are.

/// The functions of a text, as `rustfmt` writes them, that have more than so many lines: their first lines, and how many.
pub(crate) fn longer_than(lines_max: usize, text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| is_start(line));
    let long = starts.filter_map(|(start, line)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = lines[start..].iter().position(|line| is_end(line, indent))?;
        (end + 1 > lines_max).then_some((*line, end + 1))
    });
    long.collect()
}

fn is_start(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.find(|word| !is_qualifier(word)) == Some("fn")
}

fn is_qualifier(word: &str) -> bool {
    word.starts_with("pub")
        || matches!(word, "crate)" | "super)" | "async" | "const" | "unsafe" | "extern" | "\"C\"")
}

/// Whether a function with this indent ends here: with its brace, or without a body.
fn is_end(line: &str, indent: &str) -> bool {
    let Some(rest) = line.strip_prefix(indent) else { return false };
    rest == "}" || (!rest.starts_with(char::is_whitespace) && (rest.ends_with(';') || rest.ends_with('}')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_71_lines_is_found_and_one_of_70_is_not() {
        for (count, found) in [(70, 0), (71, 1)] {
            let body = "        f();\n".repeat(count - 2);
            for head in ["fn f() {", "pub(crate) async fn f<T>(", "pub const fn f() -> u8 {"] {
                let text = format!(
                    "impl X {{\n    fn short() {{}}\n    fn declared();\n    {head}\n{body}    }}\n}}\n"
                );
                let long = longer_than(70, &text);
                assert_eq!(long.len(), found, "{head} with {count} lines: {long:?}");
                assert!(long.iter().all(|(line, lines)| line.trim() == head && *lines == 71));
            }
        }
    }
}
