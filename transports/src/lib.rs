//! Sessions of frames over several transports. Filled in by its rooms.
pub mod frame;
