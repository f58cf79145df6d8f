//! Comparison levels: how two rows agree or differ in one field.

/// A field that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// What is known before anything is compared: two mentions taken at random are hardly ever one subject.
    Prior,
    /// Full name.
    Name,
    /// Date of birth.
    Birth,
    /// Sex.
    Sex,
    /// 12-digit personal id.
    PersonalId,
    /// 9-digit old id.
    OldId,
    /// Social insurance number.
    Insurance,
    /// Commune and province of residence.
    Commune,
    /// Mother's name.
    Mother,
    /// Father's name.
    Father,
    /// Telephone number.
    Phone,
    /// Parcel id.
    ParcelId,
    /// Cadastral key.
    Cadastral,
}

impl Field {
    /// The field's name, as answers write it.
    pub fn name(self) -> &'static str {
        match self {
            Field::Prior => "prior",
            Field::Name => "name",
            Field::Birth => "birth",
            Field::Sex => "sex",
            Field::PersonalId => "personal_id",
            Field::OldId => "old_id",
            Field::Insurance => "insurance",
            Field::Commune => "commune",
            Field::Mother => "mother",
            Field::Father => "father",
            Field::Phone => "phone",
            Field::ParcelId => "parcel_id",
            Field::Cadastral => "cadastral",
        }
    }
}

macro_rules! levels {
    ($($(#[$doc:meta])* $name:ident = $field:ident, $text:literal, $bits:expr;)*) => {
        /// How two rows agree or differ in one field. The discriminant is the place of its weight in a model.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Level {
            $($(#[$doc])* $name,)*
        }

        impl Level {
            pub(crate) const ALL: &[Level] = &[$(Level::$name,)*];
            /// Weights of epoch 1, in 1/1024 bit.
            pub(crate) const EPOCH_1: &[i32] = &[$({ let tenths: i32 = $bits; tenths * 1024 / 10 },)*];

            /// The field that the level belongs to.
            pub fn field(self) -> Field {
                match self { $(Level::$name => Field::$field,)* }
            }

            /// A short name for people, such as `one edit`.
            pub fn text(self) -> &'static str {
                match self { $(Level::$name => $text,)* }
            }
        }
    };
}

// The last column is the weight of epoch 1 in tenths of a bit. A name's weight is added to its rarity where the level says
// that the whole name agrees. Agreements that family members share (commune, parents, phone) are weighted far below their
// chance agreement in the population, because candidate pairs are mostly of one family.
levels! {
    /// Prior odds of a pair.
    Prior = Prior, "prior", -180;
    /// A side has no name.
    NameAbsent = Name, "absent", 0;
    /// Equal with all marks.
    NameAccented = Name, "equal with marks", 5;
    /// Equal without marks, and a side was written without any.
    NameFolded = Name, "equal without marks", 0;
    /// Equal without marks, but the marks differ: Hương and Hường are two names.
    NameMarksDiffer = Name, "marks differ", -60;
    /// The same tokens in another order.
    NameReordered = Name, "reordered", -15;
    /// One token differs by one edit and is not a known name on one side.
    NameTypo = Name, "one edit", -35;
    /// Family and given name equal, middle names missing on one side.
    NameMiddleMissing = Name, "middle name missing", -15;
    /// Two edits, or one between unknown names.
    NameNear = Name, "near", -55;
    /// Family and given name equal, other middle names.
    NameMiddleDiffers = Name, "middle name differs", -40;
    /// Only the given name is equal.
    NameGivenOnly = Name, "given name only", -70;
    /// Another name.
    NameDiffers = Name, "differs", -120;
    /// A side has no date.
    BirthAbsent = Birth, "absent", 0;
    /// Equal and full.
    BirthExact = Birth, "equal", 149;
    /// Both 1 January of one year.
    BirthFirstOfJanuary = Birth, "equal but 1 January", 65;
    /// Day and month exchanged.
    BirthSwapped = Birth, "day and month swapped", 75;
    /// One digit differs, or two neighbours are exchanged.
    BirthOneEdit = Birth, "one digit", 45;
    /// Year equal, a side knows little more.
    BirthYearVague = Birth, "year, a side vague", 53;
    /// Year equal, the full dates differ.
    BirthYearOnly = Birth, "year only", -40;
    /// Another date.
    BirthDiffers = Birth, "differs", -85;
    /// A side has no sex.
    SexAbsent = Sex, "absent", 0;
    /// Equal.
    SexEqual = Sex, "equal", 9;
    /// Different.
    SexDiffers = Sex, "differs", -55;
    /// A side has no personal id.
    IdAbsent = PersonalId, "absent", 0;
    /// Equal. Chance agreement, given that year and sex are compared on their own: six free digits.
    IdEqual = PersonalId, "equal", 200;
    /// Equal, and no year of birth was compared: the id's year and century digits count too.
    IdEqualUndated = PersonalId, "equal, no year to compare", 260;
    /// Equal, but it contradicts one side's own birth or sex.
    IdEqualSuspect = PersonalId, "equal, suspect on one side", 100;
    /// Equal, but it contradicts both sides: most likely a parent's id on children.
    IdEqualBothSuspect = PersonalId, "equal, suspect on both sides", 30;
    /// One digit or one exchange.
    IdOneEdit = PersonalId, "one edit", 75;
    /// Two edits.
    IdTwoEdits = PersonalId, "two edits", -30;
    /// Different, and one is not its bearer's own.
    IdDiffersSuspect = PersonalId, "differs, suspect", -10;
    /// Different.
    IdDiffers = PersonalId, "differs", -80;
    /// A side has no old id.
    OldIdAbsent = OldId, "absent", 0;
    /// Equal.
    OldIdEqual = OldId, "equal", 190;
    /// One digit or one exchange.
    OldIdOneEdit = OldId, "one edit", 70;
    /// Two edits.
    OldIdTwoEdits = OldId, "two edits", -20;
    /// Different; a card issued in another province had another number.
    OldIdDiffers = OldId, "differs", -60;
    /// A side has no social insurance number.
    InsuranceAbsent = Insurance, "absent", 0;
    /// Equal.
    InsuranceEqual = Insurance, "equal", 190;
    /// One digit or one exchange.
    InsuranceOneEdit = Insurance, "one edit", 70;
    /// Different.
    InsuranceDiffers = Insurance, "differs", -60;
    /// A side has no place.
    PlaceAbsent = Commune, "absent", 0;
    /// Same commune.
    CommuneEqual = Commune, "same commune", 60;
    /// Same province.
    ProvinceEqual = Commune, "same province", 10;
    /// Another province.
    PlaceDiffers = Commune, "another province", -20;
    /// A side has no mother's name.
    MotherAbsent = Mother, "absent", 0;
    /// Equal.
    MotherEqual = Mother, "equal", 25;
    /// Her given name is equal.
    MotherGivenOnly = Mother, "given name", 0;
    /// Different.
    MotherDiffers = Mother, "differs", -40;
    /// A side has no father's name.
    FatherAbsent = Father, "absent", 0;
    /// Equal.
    FatherEqual = Father, "equal", 25;
    /// His given name is equal.
    FatherGivenOnly = Father, "given name", 0;
    /// Different.
    FatherDiffers = Father, "differs", -40;
    /// A side has no phone.
    PhoneAbsent = Phone, "absent", 0;
    /// Equal.
    PhoneEqual = Phone, "equal", 40;
    /// Different.
    PhoneDiffers = Phone, "differs", -3;
    /// A side has no parcel id.
    ParcelIdAbsent = ParcelId, "absent", 0;
    /// Equal: decisive.
    ParcelIdEqual = ParcelId, "equal", 400;
    /// Different: decisive.
    ParcelIdDiffers = ParcelId, "differs", -600;
    /// A side has no cadastral key.
    CadastralAbsent = Cadastral, "absent", 0;
    /// Equal: decisive.
    CadastralEqual = Cadastral, "equal", 400;
    /// Different: sheets are renumbered.
    CadastralDiffers = Cadastral, "differs", 0;
}

impl Level {
    /// True for the levels whose weight is added to the name's rarity.
    pub(crate) fn counts_rarity(self) -> bool {
        matches!(
            self,
            Level::NameAccented
                | Level::NameFolded
                | Level::NameMarksDiffer
                | Level::NameReordered
                | Level::NameTypo
                | Level::NameMiddleMissing
                | Level::NameNear
        )
    }

    /// True where two names are names of two people.
    pub(crate) fn name_contradicts(self) -> bool {
        matches!(self, Level::NameDiffers | Level::NameGivenOnly | Level::NameMiddleDiffers)
    }

    /// True where two dates are dates of two people.
    pub(crate) fn birth_contradicts(self) -> bool {
        matches!(self, Level::BirthDiffers | Level::BirthYearOnly)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_has_its_own_place() {
        assert_eq!(Level::ALL.len(), Level::EPOCH_1.len());
        for (place, level) in Level::ALL.iter().enumerate() {
            assert_eq!(*level as usize, place);
        }
    }
}
