//! The files `signed` and `cosigned`: a state with the note over it, which is what proofs are made under.
//!
//! The state's text, an empty line, and the note. One file, so that no reader finds the state of one tick with the note of
//! another.

use ledger::{Note, Shape};

use crate::state::State;

/// A state and the signed checkpoint over it.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The state.
    pub state: State,
    /// The signed note over its checkpoint. Its signatures are not verified here.
    pub note: String,
}

/// Which of the two is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// The last publication: signed by the log alone.
    Log,
    /// The last one that witnesses cosigned.
    Witnesses,
}

impl Signatures {
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Log => "signed",
            Self::Witnesses => "cosigned",
        }
    }
}

impl Signed {
    /// Joins them; `None` when the note is not over this state.
    pub fn new(state: State, note: String) -> Option<Self> {
        // A text that is no note is over no state.
        let over = Note::parse(&note).ok().is_some_and(|parsed| parsed.text == state.checkpoint().to_text());
        over.then_some(Self { state, note })
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        format!("{}\n{}", self.state.to_text(), self.note)
    }

    /// Parses the file's text for a log of that shape; `None` when it is not what [`Signed::to_text`] writes.
    pub fn parse(text: &str, shape: Shape) -> Option<Self> {
        let (state, note) = text.split_once("\n\n")?;
        Self::new(State::parse(&format!("{state}\n"), shape)?, note.to_owned())
    }
}
