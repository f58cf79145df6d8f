//! Taking a request in: bounded in bytes and time.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tonic::body::Body;

use crate::Options;
use crate::problem::Problem;

/// Headers of a request that a handler may read; all others stay at the door.
const PASSED_ON: [&str; 5] = ["accept-language", "baggage", "traceparent", "tracestate", "user-agent"];
/// Longest deadline of a call in milliseconds: gRPC writes it in eight digits.
const TIMEOUT_MS_MAX: u64 = 99_999_999;

/// The whole body.
pub(crate) async fn body(body: Body, options: &Options) -> Result<Bytes, Problem> {
    let collect = Limited::new(body, options.body_bytes_max).collect();
    match tokio::time::timeout(options.body_timeout, collect).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::body_bytes(options)),
        Ok(Err(_broken)) => Err(Problem::body_broken(options)),
        Err(_elapsed) => Err(Problem::body_timeout(options)),
    }
}

/// Whether the body is JSON in UTF-8.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return false };
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    let charset = |part: &str| {
        let Some((name, value)) = part.split_once('=') else { return true };
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    essence && parts.all(charset)
}

/// Whether it is a call of gRPC, which is not for this door.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..16).is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
}

/// The metadata of the call that is made of a request.
pub(crate) fn metadata(headers: &HeaderMap, options: &Options) -> Result<HeaderMap, Problem> {
    let mut metadata = HeaderMap::new();
    for name in PASSED_ON {
        for value in headers.get_all(name) {
            metadata.append(name, value.clone());
        }
    }
    if let Some(timeout) = headers.get("connect-timeout-ms") {
        let ms = timeout.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        let ms = ms.ok_or_else(|| Problem::timeout_malformed(options))?.min(TIMEOUT_MS_MAX);
        let value = HeaderValue::from_str(&format!("{ms}m")).expect("digits and a letter");
        metadata.insert("grpc-timeout", value);
    }
    metadata.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    metadata.insert(header::TE, HeaderValue::from_static("trailers"));
    Ok(metadata)
}

/// The value of a query parameter, decoded.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(kind: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
    }

    #[test]
    fn json_is_told_from_grpc_and_from_everything_else() {
        assert!(is_json(&headers("application/json")) && is_json(&headers("Application/JSON; charset=UTF-8")));
        assert!(is_json(&headers("application/json;charset=\"utf-8\"; v=1")));
        for other in ["", "text/json", "application/json; charset=latin1", "application/jsonx", "application/grpc"] {
            assert!(!is_json(&headers(other)), "{other}");
        }
        assert!(is_grpc(&headers("application/grpc")) && is_grpc(&headers("application/grpc+proto")));
        assert!(!is_grpc(&headers("application/json")) && !is_grpc(&headers("")) && !is_grpc(&HeaderMap::new()));
    }
}
