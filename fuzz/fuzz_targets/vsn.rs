//! No `vsn` makes its reader panic, versions have one order, and a serializer is found for exactly those that match.

#![no_main]

use std::cmp::Ordering;

use lapwing::protocol::{Requirement, SerializerList, Version};
use lapwing_fuzz::Bound;
use libfuzzer_sys::fuzz_target;

const BOUND: Bound = Bound { bytes_per_byte: 64, bytes_per_allocation: 2 };

fuzz_target!(|input: &str| {
    let mut lines = input.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (vsn, other, requirement) = (next(), next(), next());
    let list = SerializerList::default();
    let selected = BOUND.hold(input.len(), || list.select(vsn)).is_some();
    let requirement = BOUND.hold(input.len(), || requirement.parse::<Requirement>());
    let Ok(version) = BOUND.hold(input.len(), || vsn.parse::<Version>()) else {
        assert!(!selected, "what is no version selects nothing");
        return;
    };
    let wanted = ["~> 1.0.0", "~> 2.0.0"].map(|text| text.parse::<Requirement>().expect("as in the list"));
    assert_eq!(selected, wanted.iter().any(|wanted| wanted.matches(&version)));
    for (operator, orders) in [
        ("==", &[Ordering::Equal][..]),
        ("!=", &[Ordering::Less, Ordering::Greater]),
        (">", &[Ordering::Greater]),
        (">=", &[Ordering::Greater, Ordering::Equal]),
        ("<", &[Ordering::Less]),
        ("<=", &[Ordering::Less, Ordering::Equal]),
    ] {
        let Ok(other_version) = other.parse::<Version>() else { break };
        let order = version.cmp(&other_version);
        assert_eq!(other_version.cmp(&version), order.reverse());
        assert_eq!(order == Ordering::Equal, version == other_version);
        let parsed =
            format!("{operator} {other}").parse::<Requirement>().expect("a version is a requirement");
        assert_eq!(parsed.matches(&version), orders.contains(&order), "{vsn} {operator} {other}");
    }
    if let Ok(requirement) = requirement {
        BOUND.hold(input.len(), || requirement.matches(&version));
    }
});
