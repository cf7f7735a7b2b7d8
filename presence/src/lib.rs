//! Replicated presence as values.
