//! nation
