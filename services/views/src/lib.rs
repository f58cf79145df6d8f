//! The views: folds the log into connected subjects, and answers queries about them.

pub mod fold;
