//! Real-time channels for hyper services.
