//! Comparison by value, with what no two servers can have in common left open.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// What has been learnt in a case about values that are a server's own.
#[derive(Clone, Default)]
pub(crate) struct Opaque {
    /// Phoenix's presence refs and ours: the same must stay the same, different ones different.
    ours_of: HashMap<String, String>,
    theirs_of: HashMap<String, String>,
}

/// In a listed deviation: any value at all.
const ANYTHING: &str = "*";

impl Opaque {
    /// Compares two values; the error says where they differ and how.
    pub(crate) fn compare(&mut self, wanted: &Value, got: &Value) -> Result<(), String> {
        self.compare_at(wanted, got, "$")
    }

    fn compare_at(&mut self, wanted: &Value, got: &Value, path: &str) -> Result<(), String> {
        match (wanted, got) {
            (Value::String(anything), _) if anything == ANYTHING => Ok(()),
            (Value::Object(wanted), Value::Object(got)) => self.compare_objects(wanted, got, path),
            (Value::Array(wanted), Value::Array(got)) => {
                for (index, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                    self.compare_at(wanted, got, &format!("{path}[{index}]"))?;
                }
                if wanted.len() == got.len() {
                    return Ok(());
                }
                Err(format!("{path}: {} elements, not {}", got.len(), wanted.len()))
            }
            _ if wanted == got => Ok(()),
            _ => Err(format!("{path}: {}, not {}", brief(got), brief(wanted))),
        }
    }

    fn compare_objects(
        &mut self,
        wanted: &Map<String, Value>,
        got: &Map<String, Value>,
        path: &str,
    ) -> Result<(), String> {
        if let Some(key) = wanted.keys().find(|key| !got.contains_key(*key)) {
            return Err(format!("{path}.{key}: missing"));
        }
        if let Some(key) = got.keys().find(|key| !wanted.contains_key(*key)) {
            return Err(format!("{path}.{key}: not wanted, is {}", brief(&got[key])));
        }
        for (key, wanted) in wanted {
            let path = format!("{path}.{key}");
            let got = &got[key];
            match key.as_str() {
                "phx_ref" | "phx_ref_prev" => self.compare_refs(wanted, got, &path)?,
                // A listed deviation may say how many there are instead of which.
                "messages" if wanted.is_u64() => {
                    let count = got.as_array().map_or(0, Vec::len);
                    self.compare_at(wanted, &count.into(), &path)?;
                }
                "online_at" if got.is_u64() && wanted.is_u64() => {}
                "token" if got.as_str().is_some_and(|token| !token.is_empty()) => {}
                _ => self.compare_at(wanted, got, &path)?,
            }
        }
        Ok(())
    }

    fn compare_refs(&mut self, wanted: &Value, got: &Value, path: &str) -> Result<(), String> {
        let (Some(theirs), Some(ours)) = (wanted.as_str(), got.as_str()) else {
            return Err(format!("{path}: {}, not a string", brief(got)));
        };
        let known = self.ours_of.entry(theirs.to_owned()).or_insert_with(|| ours.to_owned());
        let back = self.theirs_of.entry(ours.to_owned()).or_insert_with(|| theirs.to_owned());
        if known == ours && back == theirs {
            return Ok(());
        }
        Err(format!("{path}: {ours} stands for {back}, but {theirs} was {known}"))
    }
}

/// The body of a long-poll answer with its messages decoded: each is a string that holds JSON, whose key order is free.
pub(crate) fn normalized(mut body: Value) -> Value {
    if let Some(messages) = body.get_mut("messages").and_then(Value::as_array_mut) {
        for message in messages {
            let decoded = message.as_str().and_then(|text| serde_json::from_str(text).ok());
            if let Some(decoded @ (Value::Array(_) | Value::Object(_))) = decoded {
                *message = decoded;
            }
        }
    }
    body
}

/// A value short enough to read.
pub(crate) fn brief(value: &Value) -> String {
    shortened(&value.to_string())
}

pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(600) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}
