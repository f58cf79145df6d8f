//! Trust policies (<https://c2sp.org/tlog-policy>): which logs and witnesses are known, and how many of which witnesses
//! must have cosigned.
//!
//! ```text
//! log <vkey> [<url>]
//! witness <name> <vkey> [<url>]
//! group <name> all|any|<k> <name>...
//! quorum <name>|none
//! ```
//!
//! The text must be UTF-8, which the format only recommends.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::cosignature::CosignerKey;
use crate::note::{Note, NoteError, VerifierKey};

/// Most logs, most witnesses and most groups of one policy.
pub const ITEMS_MAX: usize = 64;

/// Whom a verifier trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Member>,
}

/// A known log. Its key's name is its origin line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its key.
    pub key: VerifierKey,
    /// Where it is, when the policy says so.
    pub url: Option<String>,
}

/// A known witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its name within the policy.
    pub name: String,
    /// Its key.
    pub key: CosignerKey,
    /// Where checkpoints are sent for cosigning, when the policy says so.
    pub url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    name: String,
    least: usize,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// What is wrong with a line of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Another keyword or number of words.
    #[error("expected 'log', 'witness', 'group' or 'quorum' with its arguments")]
    Form,
    /// A control character.
    #[error("control characters other than tab are not allowed")]
    Control,
    /// A key of another form or algorithm; only Ed25519 keys (1 for logs, 4 for witnesses) are read.
    #[error("not a verifier key of the right algorithm: Ed25519 for a log, cosignature/v1 for a witness")]
    Key,
    /// A name that was given before, or `none`.
    #[error("the name is taken")]
    NameTaken,
    /// The same public key as on another line.
    #[error("the key stands on another line already")]
    KeyTaken,
    /// A name that no line before has.
    #[error("no line before this one gives that name")]
    UnknownName,
    /// A member that is in a group already.
    #[error("a member may be listed once in all groups")]
    MemberTaken,
    /// A number below 1 or above the number of members.
    #[error("the number must be between 1 and the number of members")]
    Threshold,
    /// A second quorum.
    #[error("there is a quorum already")]
    SecondQuorum,
    /// More than [`ITEMS_MAX`].
    #[error("more than {ITEMS_MAX} of a kind")]
    TooMany,
}

/// Why a text is not a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A line is wrong.
    #[error("line {line}: {source}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        source: LineError,
    },
    /// No line says what quorum is needed.
    #[error("a quorum line is missing: write 'quorum none' to ask for no witness")]
    NoQuorum,
}

/// Why a checkpoint does not meet a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The checkpoint or the log's signature is not good.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No log of the policy has this origin.
    #[error("the policy knows no log with origin '{origin}'")]
    UnknownLog {
        /// The origin that the checkpoint names.
        origin: String,
    },
    /// A known witness's signature is not valid.
    #[error("the cosignature of witness '{witness}' is not valid")]
    Cosignature {
        /// The witness's name in the policy.
        witness: String,
    },
    /// Too few witnesses.
    #[error("the quorum of witnesses is not met: {} cosigned", if cosigned.is_empty() { "none".into() } else { cosigned.join(", ") })]
    Quorum {
        /// Names of the witnesses that did cosign.
        cosigned: Vec<String>,
    },
}

/// A witness's word about a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The witness's name in the policy.
    pub witness: String,
    /// When, in seconds since 1970, by the witness's clock.
    pub time: u64,
}

/// A checkpoint that meets a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Every known witness that cosigned it.
    pub cosigned: Vec<Cosigned>,
}

impl Policy {
    /// A policy that knows one log and asks for no witness.
    pub fn of_log(key: VerifierKey) -> Self {
        Self { logs: vec![Log { key, url: None }], witnesses: Vec::new(), groups: Vec::new(), quorum: None }
    }

    /// A policy that knows one log by several keys and asks for no witness.
    pub fn of_keys(keys: impl IntoIterator<Item = VerifierKey>) -> Self {
        let logs = keys.into_iter().map(|key| Log { key, url: None }).collect();
        Self { logs, witnesses: Vec::new(), groups: Vec::new(), quorum: None }
    }

    /// Parses a policy's text.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut read = Reading::default();
        for (number, line) in text.split('\n').enumerate() {
            read.line(line).map_err(|source| PolicyError::Line { line: number + 1, source })?;
        }
        let quorum = read.quorum.ok_or(PolicyError::NoQuorum)?;
        Ok(Self { logs: read.logs, witnesses: read.witnesses, groups: read.groups, quorum })
    }

    /// The known logs.
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The known witnesses.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Checks the log's signature, every cosignature of a known witness, and the quorum.
    ///
    /// # Errors
    /// [`Untrusted`].
    pub fn verify(&self, note: &str) -> Result<Trusted, Untrusted> {
        let trusted = self.verify_log(note)?;
        let signed = self.witnesses.iter().map(|w| trusted.cosigned.iter().any(|c| c.witness == w.name));
        let signed: Vec<_> = signed.collect();
        if self.quorum.is_none_or(|quorum| self.met(quorum, &signed)) {
            return Ok(trusted);
        }
        Err(Untrusted::Quorum { cosigned: trusted.cosigned.into_iter().map(|c| c.witness).collect() })
    }

    /// As [`Policy::verify`], without the quorum: that the log said so, not that it said so to everybody.
    ///
    /// # Errors
    /// Every variant of [`Untrusted`] but [`Untrusted::Quorum`].
    pub fn verify_log(&self, note: &str) -> Result<Trusted, Untrusted> {
        let note = Note::parse(note).map_err(CheckpointError::Note)?;
        let checkpoint = Checkpoint::parse(note.text)?;
        self.signed_by_log(&note, &checkpoint.origin)?;
        let mut cosigned = Vec::new();
        for Witness { name, key, .. } in &self.witnesses {
            let time = key.verify(&note).map_err(|_: NoteError| Untrusted::Cosignature { witness: name.clone() })?;
            cosigned.extend(time.map(|time| Cosigned { witness: name.clone(), time }));
        }
        Ok(Trusted { checkpoint, cosigned })
    }

    /// Of a log whose key was changed, the policy may list several keys; one must have signed, and none wrongly.
    fn signed_by_log(&self, note: &Note<'_>, origin: &str) -> Result<(), Untrusted> {
        let mut keys = self.keys(origin).peekable();
        if keys.peek().is_none() {
            return Err(Untrusted::UnknownLog { origin: origin.to_owned() });
        }
        let mut signed = Err(NoteError::Unsigned);
        for key in keys {
            match key.verify(note) {
                Ok(_) => signed = Ok(()),
                Err(NoteError::Unsigned) => {}
                Err(error) => return Err(CheckpointError::Note(error).into()),
            }
        }
        signed.map_err(|error| CheckpointError::Note(error).into())
    }

    /// The keys of the log with that origin.
    pub fn keys(&self, origin: &str) -> impl Iterator<Item = &VerifierKey> {
        self.logs.iter().map(|log| &log.key).filter(move |key| key.name() == origin)
    }

    /// Groups only hold what stands before them, so this ends.
    fn met(&self, member: Member, signed: &[bool]) -> bool {
        match member {
            Member::Witness(at) => signed[at],
            Member::Group(at) => {
                let group = &self.groups[at];
                group.members.iter().filter(|m| self.met(**m, signed)).count() >= group.least
            }
        }
    }
}

#[derive(Default)]
struct Reading {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    grouped: Vec<Member>,
    quorum: Option<Option<Member>>,
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<(), LineError> {
        if line.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            return Err(LineError::Control);
        }
        let words: Vec<_> = line.split([' ', '\t']).filter(|w| !w.is_empty()).collect();
        match words[..] {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] => self.log(key, None),
            ["log", key, url] => self.log(key, Some(url)),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some(url)),
            ["group", name, least, ref members @ ..] if !members.is_empty() => self.group(name, least, members),
            ["quorum", name] => self.set_quorum(name),
            _ => Err(LineError::Form),
        }
    }

    fn log(&mut self, key: &str, url: Option<&str>) -> Result<(), LineError> {
        let key = VerifierKey::parse(key).map_err(|_| LineError::Key)?;
        if self.logs.iter().any(|log| log.key.public() == key.public()) {
            return Err(LineError::KeyTaken);
        }
        room(&self.logs)?;
        self.logs.push(Log { key, url: url.map(str::to_owned) });
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), LineError> {
        let key = CosignerKey::parse(key).map_err(|_| LineError::Key)?;
        self.free(name)?;
        if self.witnesses.iter().any(|w| w.key.public() == key.public()) {
            return Err(LineError::KeyTaken);
        }
        room(&self.witnesses)?;
        self.witnesses.push(Witness { name: name.to_owned(), key, url: url.map(str::to_owned) });
        Ok(())
    }

    fn group(&mut self, name: &str, least: &str, members: &[&str]) -> Result<(), LineError> {
        self.free(name)?;
        room(&self.groups)?;
        let mut found = Vec::with_capacity(members.len());
        for member in members {
            let member = self.named(member)?;
            if self.grouped.contains(&member) {
                return Err(LineError::MemberTaken);
            }
            self.grouped.push(member);
            found.push(member);
        }
        let least = match least {
            "all" => found.len(),
            "any" => 1,
            // What is no number is no threshold either.
            number => number.parse().map_err(|_| LineError::Threshold)?,
        };
        if !(1..=found.len()).contains(&least) {
            return Err(LineError::Threshold);
        }
        self.groups.push(Group { name: name.to_owned(), least, members: found });
        Ok(())
    }

    fn set_quorum(&mut self, name: &str) -> Result<(), LineError> {
        if self.quorum.is_some() {
            return Err(LineError::SecondQuorum);
        }
        self.quorum = Some(if name == "none" { None } else { Some(self.named(name)?) });
        Ok(())
    }

    fn named(&self, name: &str) -> Result<Member, LineError> {
        let witness = self.witnesses.iter().position(|w| w.name == name).map(Member::Witness);
        let group = || self.groups.iter().position(|g| g.name == name).map(Member::Group);
        witness.or_else(group).ok_or(LineError::UnknownName)
    }

    fn free(&self, name: &str) -> Result<(), LineError> {
        if name == "none" || self.named(name).is_ok() { Err(LineError::NameTaken) } else { Ok(()) }
    }
}

fn room<T>(items: &[T]) -> Result<(), LineError> {
    if items.len() < ITEMS_MAX { Ok(()) } else { Err(LineError::TooMany) }
}
