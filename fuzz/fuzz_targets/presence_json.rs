//! Whatever a meta and a key say: what clients are told is JSON, and says of each the same and its reference.

#![no_main]

use lapwing::{PresenceState, fuzzing::presence_state};
use lapwing_fuzz::Bound;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

/// The state that is built first, with its tables; then each meta under each of three keys.
const BOUND: Bound = Bound { bytes_per_byte: 64, bytes_per_allocation: 1 };

fuzz_target!(|input: &str| {
    // Keys end at a tab, metas at a line's end.
    let (keys, metas) = input.split_once('\n').unwrap_or((input, "{}"));
    let keys: Vec<&str> = keys.split('\t').take(3).collect();
    let metas: Vec<&str> = metas.split('\n').take(4).collect();
    let told = BOUND.hold(4096 + input.len(), || presence_state(&keys, &metas));
    let state: PresenceState = told.parse().expect("it is JSON");

    let metas: Vec<Map<String, Value>> =
        metas.iter().filter_map(|meta| serde_json::from_str(meta).ok()).collect();
    let mut refs = Vec::new();
    for (key, presence) in &state {
        assert!(keys.contains(&key.as_str()));
        assert!(presence.extra.is_empty());
        assert_eq!(presence.metas.len(), metas.len());
        for (told, meta) in presence.metas.iter().zip(&metas) {
            refs.push(told["phx_ref"].as_str().expect("a reference is a text").to_owned());
            let rest = |map: &Map<String, Value>| -> Map<String, Value> {
                let is_ours = |name: &str| name == "phx_ref" || name == "phx_ref_prev";
                map.iter()
                    .filter(|(name, _)| !is_ours(name))
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect()
            };
            assert_eq!(rest(told), rest(meta));
            assert!(told["phx_ref_prev"].is_string());
        }
    }
    let distinct: std::collections::BTreeSet<&str> = keys.iter().copied().collect();
    assert_eq!(state.len(), if metas.is_empty() { 0 } else { distinct.len() });
    let count = refs.len();
    refs.sort();
    refs.dedup();
    assert_eq!(refs.len(), count, "no two presences have one reference");
});
