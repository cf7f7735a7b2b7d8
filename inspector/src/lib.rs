#![doc = include_str!("../README.md")]

// The rooms, each using only those to its right:
//
// inspector ─ doctor ─ {page service}

mod doctor;
mod inspector;
mod page;
mod service;

pub use doctor::Doctor;
pub use inspector::{Access, Inspector, KeyTooShort};
