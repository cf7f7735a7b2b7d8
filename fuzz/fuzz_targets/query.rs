//! No query makes the parser panic or go deeper or wider than its limits.

#![no_main]

use lapwing_fuzz::Bound;
use lapwing_transports::query::{QueryLimits, parse};
use libfuzzer_sys::fuzz_target;

/// `a&a&…` is a parameter for two bytes, `a[a][a]…` a map for three: each is a name and a place in a tree.
const BOUND: Bound = Bound { bytes_per_byte: 512, bytes_per_allocation: 1 };

const PARAMS_MAX: usize = 100;
const BYTES_MAX: usize = 8 * 1024;

fuzz_target!(|query: &str| {
    let limits = QueryLimits::new().params_max(PARAMS_MAX).bytes_max(BYTES_MAX);
    if let Ok(params) = BOUND.hold(query.len(), || parse(query, &limits)) {
        assert!(params.len() <= PARAMS_MAX);
        // Parsing is a function of the query.
        assert_eq!(parse(query, &limits), Ok(params.clone()));
        // An empty segment changes nothing.
        if query.len() < BYTES_MAX {
            assert_eq!(parse(&format!("&{query}"), &limits), Ok(params));
        }
    }
});
