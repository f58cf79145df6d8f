//! IP addresses and prefixes.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An address of IP version 4 or 6, or of any with 0. A version 6 address may carry a zone id.
pub(crate) fn is_ip(text: &str, version: i64) -> bool {
    match version {
        0 => v4(text).is_some() || is_v6_zoned(text),
        4 => v4(text).is_some(),
        6 => is_v6_zoned(text),
        _ => false,
    }
}

/// `address/length`; `strict` demands that the bits beyond the length are zero.
pub(crate) fn is_ip_prefix(text: &str, version: i64, strict: bool) -> bool {
    match version {
        0 => is_v4_prefix(text, strict) || is_v6_prefix(text, strict),
        4 => is_v4_prefix(text, strict),
        6 => is_v6_prefix(text, strict),
        _ => false,
    }
}

fn v4(text: &str) -> Option<Ipv4Addr> {
    text.parse().ok()
}

fn v6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok()
}

fn is_v6_zoned(text: &str) -> bool {
    match text.split_once('%') {
        // RFC 4007 leaves the zone's syntax open, but it is not empty and holds no NUL.
        Some((address, zone)) => !zone.is_empty() && !zone.contains('\0') && v6(address).is_some(),
        None => v6(text).is_some(),
    }
}

fn is_v4_prefix(text: &str, strict: bool) -> bool {
    let Some((address, len)) = split(text, 32) else { return false };
    v4(address).is_some_and(|address| {
        let host = u32::MAX.checked_shr(len).unwrap_or(0);
        !strict || address.to_bits() & host == 0
    })
}

fn is_v6_prefix(text: &str, strict: bool) -> bool {
    let Some((address, len)) = split(text, 128) else { return false };
    v6(address).is_some_and(|address| {
        let host = u128::MAX.checked_shr(len).unwrap_or(0);
        !strict || address.to_bits() & host == 0
    })
}

fn split(text: &str, max: u32) -> Option<(&str, u32)> {
    let (address, len) = text.split_once('/')?;
    let canonical = len == "0" || !len.starts_with('0');
    let digits = !len.is_empty() && len.bytes().all(|byte| byte.is_ascii_digit());
    let len = len.parse().ok().filter(|len| *len <= max)?;
    (canonical && digits).then_some((address, len))
}
