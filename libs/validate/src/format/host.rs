//! Host names, e-mail addresses, host and port.

use super::ip::is_ip;

/// RFC 1034 host name: labels of letters, digits and inner hyphens, at most 63 bytes each and 253
/// together, the last one not all digits; one trailing dot is allowed.
pub(crate) fn is_hostname(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    if text.len() > 253 || !name.split('.').all(is_label) {
        return false;
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The WHATWG HTML definition of a valid e-mail address.
pub(crate) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    !local.is_empty()
        && local.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte))
        && domain.split('.').all(is_label)
}

/// `host:port`, `[ipv6]:port`; without `port_required` the port may be left out.
pub(crate) fn is_host_and_port(text: &str, port_required: bool) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some(end) = rest.rfind(']') else { return false };
        let (host, tail) = (&rest[..end], &rest[end + 1..]);
        let port = match tail.strip_prefix(':') {
            Some(port) => is_port(port),
            None => tail.is_empty() && !port_required,
        };
        return port && is_ip(host, 6);
    }
    let host = |host: &str| is_hostname(host) || is_ip(host, 4);
    match text.rsplit_once(':') {
        Some((name, port)) => host(name) && is_port(port),
        None => !port_required && host(text),
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'))
        && text.parse::<u16>().is_ok()
}
