//! URIs and URI references by the grammar of RFC 3986, with IPv6 zones of RFC 6874.

use std::net::Ipv6Addr;

/// `scheme ":" hier-part [ "?" query ] [ "#" fragment ]`
pub(crate) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let mut bytes = scheme.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && is_relative(rest, false)
}

/// A URI or a relative reference.
pub(crate) fn is_uri_ref(text: &str) -> bool {
    is_uri(text) || is_relative(text, true)
}

/// Everything behind the scheme. Without a scheme, the first path segment must not hold a colon.
fn is_relative(text: &str, no_scheme: bool) -> bool {
    let (rest, fragment) = text.split_once('#').map_or((text, ""), |(a, b)| (a, b));
    let (hier, query) = rest.split_once('?').map_or((rest, ""), |(a, b)| (a, b));
    let tail = |part: &str| is_encoded(part, |byte| is_pchar(byte) || b"/?".contains(&byte));
    if !tail(fragment) || !tail(query) {
        return false;
    }
    if let Some(rest) = hier.strip_prefix("//") {
        let end = rest.find('/').unwrap_or(rest.len());
        return is_authority(&rest[..end]) && is_path(&rest[end..]);
    }
    if no_scheme && hier.split('/').next().is_some_and(|first| first.contains(':')) {
        return false;
    }
    is_path(hier)
}

fn is_path(path: &str) -> bool {
    is_encoded(path, |byte| is_pchar(byte) || byte == b'/')
}

fn is_authority(text: &str) -> bool {
    let (user, host_port) = text.split_once('@').map_or(("", text), |(a, b)| (a, b));
    if !is_encoded(user, |byte| is_reg_char(byte) || byte == b':') {
        return false;
    }
    let (host_ok, port) = if let Some(rest) = host_port.strip_prefix('[') {
        let Some((literal, tail)) = rest.split_once(']') else { return false };
        (is_ip_literal(literal), tail)
    } else {
        let end = host_port.rfind(':').unwrap_or(host_port.len());
        (is_reg_name(&host_port[..end]), &host_port[end..])
    };
    // RFC 3986 sets no bound on a port.
    let port_ok =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    host_ok && port_ok
}

/// A registered name whose percent-decoded bytes are UTF-8.
fn is_reg_name(text: &str) -> bool {
    is_encoded(text, is_reg_char) && String::from_utf8(percent_decoded(text)).is_ok()
}

fn is_ip_literal(text: &str) -> bool {
    if let Some((address, zone)) = text.split_once("%25") {
        return address.parse::<Ipv6Addr>().is_ok()
            && !zone.is_empty()
            && is_encoded(zone, is_unreserved)
            && String::from_utf8(percent_decoded(zone)).is_ok();
    }
    text.parse::<Ipv6Addr>().is_ok() || is_ip_future(text)
}

fn is_ip_future(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['v', 'V']) else { return false };
    let Some((version, address)) = rest.split_once('.') else { return false };
    let digits = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    let plain = |byte: u8| is_unreserved(byte) || is_sub_delim(byte) || byte == b':';
    digits && !address.is_empty() && address.bytes().all(plain)
}

/// Whether every byte is allowed or part of `%HH`.
fn is_encoded(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let ok = match byte {
            b'%' => {
                let mut hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
                hex() && hex()
            }
            byte => allowed(byte),
        };
        if !ok {
            return false;
        }
    }
    true
}

/// The text must have passed [`is_encoded`].
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut hex = || bytes.next().and_then(|byte| char::from(byte).to_digit(16)).unwrap_or(0);
        let value = hex() * 16 + hex();
        out.push(u8::try_from(value).expect("two hexadecimal digits make a byte"));
    }
    out
}

fn is_pchar(byte: u8) -> bool {
    is_reg_char(byte) || b":@".contains(&byte)
}

fn is_reg_char(byte: u8) -> bool {
    is_unreserved(byte) || is_sub_delim(byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_sub_delim(byte: u8) -> bool {
    b"!$&'()*+,;=".contains(&byte)
}
