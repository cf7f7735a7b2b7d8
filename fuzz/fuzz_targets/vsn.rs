//! No `vsn` and no requirement makes its reader panic, and a serializer is found for exactly those that match.

#![no_main]

use lapwing::protocol::{SerializerList, V2};
use lapwing_fuzz::Bound;
use libfuzzer_sys::fuzz_target;

const BOUND: Bound = Bound { bytes_per_byte: 64, bytes_per_allocation: 2 };

fuzz_target!(|input: &str| {
    let (vsn, requirement) = input.split_once('\n').unwrap_or((input, ""));
    let list = SerializerList::default();
    let selected = BOUND.hold(input.len(), || list.select(vsn));
    let by_itself = SerializerList::new().with(vsn, V2);
    // Whatever is a version is a requirement for itself; build metadata changes nothing.
    if let Some(selected) = selected {
        assert!(by_itself.select(vsn).is_some(), "{vsn} asks for {vsn}");
        let (release, _) = vsn.split_once('+').unwrap_or((vsn, ""));
        assert_eq!(list.select(release).map(|same| same.name().to_owned()), Some(selected.name().to_owned()));
        let served = if selected.name() == "V1" { "1.0." } else { "2.0." };
        assert!(vsn.starts_with(served), "{vsn}");
    }
    let wanted = SerializerList::new().with(requirement, V2);
    BOUND.hold(input.len(), || wanted.select(vsn));
});
