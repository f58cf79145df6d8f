//! What two views say differently of the same subjects, attribute by attribute.

use std::collections::BTreeMap;

use record::MentionId;

use super::error::Error;
use super::session::Session;
use super::subject::Reading;
use crate::difference::Difference;
use crate::prepared::Aligned;
use crate::runtime::ViewsHandle;

/// Subjects of which an attribute is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldCounts {
    /// It has another value.
    pub changed: u64,
    /// It has a value in the prepared views only.
    pub added: u64,
    /// It has a value in the views that serve only.
    pub removed: u64,
    /// It has the same value, and registers disagree about it in one of the two only.
    pub disputed: u64,
}

/// What the subjects say that a difference has touched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// Ids that were asked for in both views.
    pub subjects: u64,
    /// By the attribute's name, such as `person.full_name`.
    pub counts: BTreeMap<String, FieldCounts>,
}

/// What each attribute says, as a hash, and whether it is disputed.
type Said = BTreeMap<String, ([u8; 32], bool)>;

/// Asks both views for each touched subject, as a portal that knows its id would. `None` when `wanted` ended it.
///
/// # Errors
/// [`Error`] when a view or the log cannot be read.
pub fn compare_fields(
    handle: &ViewsHandle,
    aligned: Aligned,
    found: &Difference,
    mut wanted: impl FnMut() -> bool,
) -> Result<Option<Fields>, Error> {
    let open = |side| Session::of_side(side, &handle.log, &handle.secret);
    let (before, after) = (open(aligned.serving)?, open(aligned.prepared)?);
    let mut out = Fields::default();
    for id in &found.touched {
        if !wanted() {
            return Ok(None);
        }
        out.subjects += 1;
        out.add(&said(&before, *id)?, &said(&after, *id)?);
    }
    Ok(Some(out))
}

/// What is said of the subject that holds a mention; nothing where no live record has it.
fn said(session: &Session, mention: MentionId) -> Result<Said, Error> {
    let (Some(kind), Some(id)) = (session.kind_of(mention)?, session.subject_of(mention)?) else {
        return Ok(Said::new());
    };
    let subject = session.subject(id, kind)?;
    Ok(Reading::new(session, &subject)?.said(session))
}

impl Fields {
    fn add(&mut self, before: &Said, after: &Said) {
        for (name, said) in before {
            let count = |counts: &mut FieldCounts| match after.get(name) {
                None => counts.removed += 1,
                Some(says) if says.0 != said.0 => counts.changed += 1,
                Some(_) => counts.disputed += 1,
            };
            if after.get(name) != Some(said) {
                count(self.counts.entry(name.clone()).or_default());
            }
        }
        for name in after.keys().filter(|name| !before.contains_key(*name)) {
            self.counts.entry(name.clone()).or_default().added += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_differ_is_counted_once_under_its_field() {
        let said = |fields: &[(&str, u8, bool)]| -> Said {
            fields.iter().map(|(name, value, disputed)| ((*name).to_owned(), ([*value; 32], *disputed))).collect()
        };
        let mut fields = Fields::default();
        let before = said(&[("a", 1, false), ("b", 1, false), ("c", 1, false), ("d", 1, true)]);
        fields.add(&before, &said(&[("a", 1, false), ("b", 2, false), ("d", 1, false), ("e", 1, false)]));
        let only = |name: &str| fields.counts.get(name).copied();
        let none = FieldCounts::default();
        assert_eq!(only("a"), None);
        assert_eq!(only("b"), Some(FieldCounts { changed: 1, ..none }));
        assert_eq!(only("c"), Some(FieldCounts { removed: 1, ..none }));
        assert_eq!(only("d"), Some(FieldCounts { disputed: 1, ..none }));
        assert_eq!(only("e"), Some(FieldCounts { added: 1, ..none }));
    }
}
