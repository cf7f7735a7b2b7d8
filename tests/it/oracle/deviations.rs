//! Where we answer otherwise than Phoenix on purpose: `tests/data/deviations.json`, each with its reason.

use serde_json::{Map, Value};

use super::recording::{Case, Step};

/// One step at which our answer is another one.
pub(crate) struct Deviation {
    case: String,
    transport: String,
    vsn: String,
    step: usize,
    /// The keys of the recorded step that the deviation is about, as they were recorded.
    recorded: Map<String, Value>,
    /// What we answer: keys that replace the recorded ones. `took_ms_max` says that the answer comes sooner; a number
    /// of `messages` stands for that many.
    ours: Map<String, Value>,
}

const DEVIATIONS: &str = include_str!("../../data/deviations.json");

pub(crate) fn all() -> Vec<Deviation> {
    let list: Vec<Value> = serde_json::from_str(DEVIATIONS).expect("deviations.json is a JSON array");
    list.iter().map(deviation).collect()
}

fn deviation(value: &Value) -> Deviation {
    let text = |key: &str| {
        value[key].as_str().unwrap_or_else(|| panic!("a deviation has no text `{key}`: {value}")).to_owned()
    };
    let object = |key: &str| {
        value[key].as_object().unwrap_or_else(|| panic!("a deviation has no object `{key}`: {value}")).clone()
    };
    assert!(!text("reason").is_empty(), "a deviation has a reason: {value}");
    Deviation {
        case: text("case"),
        transport: text("transport"),
        vsn: text("vsn"),
        step: value["step"].as_u64().expect("a step number") as usize,
        recorded: object("recorded"),
        ours: object("ours"),
    }
}

impl Deviation {
    pub(crate) fn applies_to(&self, case: &Case, step: usize) -> bool {
        self.step == step
            && self.case == case.name
            && self.transport == case.transport
            && self.vsn == case.vsn
    }

    /// The list must tell the truth about the recording.
    pub(crate) fn check_against(&self, cases: &[Case]) -> Result<(), String> {
        let title = format!("{} ({} {}) step {}", self.case, self.transport, self.vsn, self.step);
        let found = cases.iter().find(|case| self.applies_to(case, self.step));
        let Some(step) = found.and_then(|case| case.steps.get(self.step)) else {
            return Err(format!("deviations.json: {title} is no recorded step"));
        };
        let wrong = self.recorded.iter().find(|(key, value)| recorded_value(step, key) != **value);
        match wrong {
            Some((key, value)) => {
                let real = recorded_value(step, key);
                Err(format!("deviations.json: {title}: `{key}` was recorded as {real}, not {value}"))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn took_ms_max(&self) -> Option<u64> {
        self.ours.get("took_ms_max").and_then(Value::as_u64)
    }

    /// Whether it is about more than time.
    pub(crate) fn changes_content(&self) -> bool {
        self.ours.keys().any(|key| key != "took_ms_max")
    }

    /// The step as we answer it.
    pub(crate) fn apply(&self, step: &Step) -> Value {
        let mut raw = step.raw.clone();
        let object = raw.as_object_mut().expect("a step is an object");
        for (key, value) in &self.ours {
            object.insert(key.clone(), value.clone());
        }
        raw
    }
}

/// A recorded value as the list may quote it: bodies as JSON, tokens as `*`, many messages as their number.
fn recorded_value(step: &Step, key: &str) -> Value {
    let value = &step.raw[key];
    if key != "body" {
        return value.clone();
    }
    let parsed = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut parsed = parsed.unwrap_or_else(|| value.clone());
    if let Some(token) = parsed.get_mut("token") {
        *token = "*".into();
    }
    let count = parsed["messages"].as_array().map_or(0, Vec::len);
    if count > QUOTED_MESSAGES_MAX {
        parsed["messages"] = count.into();
    }
    super::compare::normalized(parsed)
}

const QUOTED_MESSAGES_MAX: usize = 10;
