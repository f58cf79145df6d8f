//! A change that the fold cannot apply, as the view store keeps it: key and row.

use record::{
    DecodeError, Index, Partition, Position, Pseudonym, Reader, RegisterEpoch, RegisterName, Stream, Timestamp, Writer,
};

/// First byte of the keys in the store's table of control entries, whose own keys begin with 1; other rows of that table begin with letters.
pub const KEY: u8 = 2;
const KEY_BYTES: usize = 1 + 16 + 2 + 8;

/// A parked change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The record; of an entry whose header cannot be read a name that its position gives it.
    pub record: Pseudonym,
    /// Where it stands.
    pub position: Position,
    /// The way to it in this process's log.
    pub locator: u64,
    /// The register, where the header can be read.
    pub register: Option<RegisterName>,
    /// The register epoch.
    pub epoch: RegisterEpoch,
    /// The version.
    pub version: u64,
    /// When ingest took it, where the header can be read.
    pub recorded_at: Option<Timestamp>,
    /// Why it cannot be applied; `None` when it only waits for one before it.
    pub reason: Option<String>,
}

impl Parked {
    /// What the keys of a record's changes begin with.
    pub fn prefix(record: Pseudonym) -> Vec<u8> {
        [&[KEY], &record.0[..]].concat()
    }

    /// The key: record, then place.
    pub fn key(&self) -> Vec<u8> {
        let (partition, index) = (self.position.partition.0.to_be_bytes(), self.position.index.0.to_be_bytes());
        [&Self::prefix(self.record)[..], &partition, &index].concat()
    }

    /// The row.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(96);
        w.u64(self.locator).text(self.register.as_ref().map_or("", RegisterName::as_str));
        w.u32(self.epoch.0).u64(self.version).u8(u8::from(self.recorded_at.is_some()));
        w.i64(self.recorded_at.unwrap_or_default().0).text(self.reason.as_deref().unwrap_or(""));
        w.finish()
    }

    /// Reads what [`Parked::key`] and [`Parked::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(key: &[u8], row: &[u8]) -> Result<Self, DecodeError> {
        let invalid = DecodeError::Invalid { at: 0, what: "key of a parked change" };
        let key: &[u8; KEY_BYTES] = key.try_into().map_err(|_| invalid)?;
        let record = Pseudonym(key[1..17].try_into().expect("sixteen bytes"));
        let partition = u16::from_be_bytes([key[17], key[18]]);
        let index = u64::from_be_bytes(key[19..].try_into().expect("eight bytes"));
        let mut r = Reader::new(row);
        let locator = r.u64()?;
        let at = r.at();
        let register = Some(r.text()?).filter(|name| !name.is_empty()).map(RegisterName::try_from).transpose();
        let register = register.map_err(|_| DecodeError::Invalid { at, what: "register of a parked change" })?;
        let (epoch, version) = (RegisterEpoch(r.u32()?), r.u64()?);
        let (timed, recorded_at) = (r.u8()? != 0, Timestamp(r.i64()?));
        let reason = Some(r.text()?.to_owned()).filter(|reason| !reason.is_empty());
        r.end("parked change")?;
        Ok(Self {
            record,
            position: Position { stream: Stream::Change, partition: Partition(partition), index: Index(index) },
            locator,
            register,
            epoch,
            version,
            recorded_at: timed.then_some(recorded_at),
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_change_survives_its_row() {
        let position = Position { stream: Stream::Change, partition: Partition(300), index: Index(1 << 40) };
        let mut parked = Parked {
            record: Pseudonym([7; 16]),
            position,
            locator: 99,
            register: Some(RegisterName::try_from("land").expect("a name")),
            epoch: RegisterEpoch(2),
            version: 3,
            recorded_at: Some(Timestamp(-5)),
            reason: Some("the entry cannot be decoded".to_owned()),
        };
        assert_eq!(Parked::decode(&parked.key(), &parked.encode()), Ok(parked.clone()));
        parked = Parked { register: None, recorded_at: None, reason: None, ..parked };
        assert_eq!(Parked::decode(&parked.key(), &parked.encode()), Ok(parked));
    }
}
