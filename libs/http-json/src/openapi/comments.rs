//! Comments of a `.proto` file by the path of what they stand before.

use std::collections::HashMap;

use prost_reflect::FileDescriptor;

/// The leading comments of one file.
pub(super) struct Comments(HashMap<Vec<i32>, String>);

impl Comments {
    pub(super) fn of(file: &FileDescriptor) -> Self {
        let locations = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
        let told = locations.filter_map(|at| Some((at.path.clone(), in_one_line(at.leading_comments.as_deref()?))));
        Self(told.collect())
    }

    /// The comment of what has this path; empty without one.
    pub(super) fn at(&self, path: &[i32]) -> &str {
        self.0.get(path).map_or("", String::as_str)
    }
}

fn in_one_line(comment: &str) -> String {
    comment.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
