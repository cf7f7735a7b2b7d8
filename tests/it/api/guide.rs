//! The examples of the guide, run as they stand there.

use std::process::Command;

use super::{KEY, Lab, options};

const PAGE: &str = include_str!("../../../docs/guide/http-api.md");

/// The blocks of shell, each with what it is said to answer, if it is said.
fn examples() -> Vec<(String, Vec<String>)> {
    let blocks = PAGE.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let read = |block: &str| {
        let is_answer = |line: &&str| line.starts_with("# ");
        let commands: Vec<_> = block.lines().filter(|line| !is_answer(line)).collect();
        let answers = block.lines().filter(is_answer).map(|line| line[2..].to_owned());
        (commands.join("\n"), answers.collect())
    };
    blocks.map(read).collect()
}

#[tokio::test]
async fn the_examples_of_the_guide_answer_what_it_says() {
    let lab = Lab::start(options()).await;
    lab.post(
        "publish",
        serde_json::json!({"topic": "kept:news", "event": "said", "payload": {"by": "ops", "text": "hello"}}),
    )
    .await;
    let position = lab.lapwing.position("kept:news").unwrap().to_string();
    let (mut commands, mut answers) = (0, 0);
    for (shell, said) in examples() {
        let script = format!(
            "set -euo pipefail\ncurl() {{ command curl --silent --show-error \"$@\"; echo; }}\n{shell}"
        );
        let api = format!("http://{}/api", lab.api);
        // The server is in this process, so that the shell must not stand in its way.
        let output = tokio::task::spawn_blocking(move || {
            Command::new("bash").args(["-c", &script]).env("API", api).env("KEY", KEY).output().unwrap()
        });
        let output = output.await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{shell}\n{text}{}", String::from_utf8_lossy(&output.stderr));
        for answer in said {
            let answer = answer.replace("k3f9:58", &position);
            assert!(text.lines().any(|line| line == answer), "{shell}\nanswers {text}and not {answer}");
            answers += 1;
        }
        commands += shell.matches("curl ").count();
    }
    assert!(commands >= 10 && answers >= 6, "{commands} commands, {answers} answers");
}
