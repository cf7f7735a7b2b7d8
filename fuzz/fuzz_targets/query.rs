//! No query makes the parser panic or go deeper or wider than its limits.

#![no_main]

use lapwing_transports::query::{QueryLimits, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &str| {
    let limits = QueryLimits::default();
    if let Ok(params) = parse(query, &limits) {
        assert!(params.len() <= limits.params_max);
        // Parsing is a function of the query.
        assert_eq!(parse(query, &limits), Ok(params.clone()));
        // An empty segment changes nothing.
        if query.len() < limits.bytes_max {
            assert_eq!(parse(&format!("&{query}"), &limits), Ok(params));
        }
    }
});
