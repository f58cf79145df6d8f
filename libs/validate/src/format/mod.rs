//! Checks of well-known text formats: pure functions of the text.

mod host;
mod ip;
mod uri;

pub(crate) use host::{is_email, is_host_and_port, is_hostname};
pub(crate) use ip::{is_ip, is_ip_prefix};
pub(crate) use uri::{is_uri, is_uri_ref};

/// `8-4-4-4-12` hexadecimal digits (RFC 9562 text form, either case).
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A UUID without its dashes.
pub(crate) fn is_tuuid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// 26 characters of Crockford's base 32, the first at most 7.
pub(crate) fn is_ulid(text: &str) -> bool {
    text.len() == 26
        && matches!(text.as_bytes()[0], b'0'..=b'7')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() && !matches!(byte.to_ascii_uppercase(), b'I' | b'L' | b'O' | b'U'))
}

/// Dot-separated protobuf identifiers.
pub(crate) fn is_protobuf_fqn(text: &str) -> bool {
    text.split('.').all(|part| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    })
}

/// A protobuf name with its leading dot.
pub(crate) fn is_protobuf_dot_fqn(text: &str) -> bool {
    text.strip_prefix('.').is_some_and(is_protobuf_fqn)
}

/// `^:?[0-9a-zA-Z!#$%&'*+-.^_|~\x60]+$`, where `+-.` is a range that includes the comma.
pub(crate) fn is_header_name(text: &str) -> bool {
    let name = text.strip_prefix(':').unwrap_or(text);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+,-.^_|~`".contains(&byte))
}

/// No control characters but the tab.
pub(crate) fn is_header_value(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, 0..=8 | 0x0a..=0x1f | 0x7f))
}

/// No NUL, line feed or carriage return.
pub(crate) fn is_loose_header(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, 0 | b'\n' | b'\r'))
}
