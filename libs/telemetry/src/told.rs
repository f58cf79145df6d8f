//! An error in one line, with its causes.

use std::error::Error;

/// The error and, behind colons, each of its causes that is not told already. For log lines and for whoever reads one line: an error's own
/// text never repeats its cause, and without the cause nobody knows what to mend.
pub fn told(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        next = cause.source();
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the log stopped")]
    struct Stopped(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("not appended: {0}")]
    struct NotAppended(#[source] Stopped);

    #[test]
    fn every_cause_is_told_once_in_one_line() {
        let error = NotAppended(Stopped(std::io::Error::other("disk\ngone")));
        assert_eq!(told(&error), "not appended: the log stopped: disk gone");
    }
}
