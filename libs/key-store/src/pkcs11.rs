//! A wrapping key in a PKCS#11 token: a hardware module, a card, or SoftHSM.
//!
//! The key is made in the token and marked sensitive and not extractable. It is used when the hub starts, when keys are
//! destroyed and when it is rotated; each time a session is opened and closed.

use std::path::{Path, PathBuf};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11};
use cryptoki::error::{Error as Said, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;

use crate::error::Error;
use crate::file;
use crate::format::NONCE_BYTES;
use crate::wrapping::WrappingId;

const TAG_BITS: u64 = 128;

/// Which token, and which key in it.
#[derive(Debug, Clone)]
pub struct Token {
    /// The module: a shared library of the token's maker.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// A file that holds the user's PIN, readable by its owner only.
    pub pin: PathBuf,
    /// Label of the key; a rotation makes another one with the same label and another id.
    pub key: String,
}

fn failed(doing: &'static str) -> impl FnOnce(Said) -> Error {
    move |source| Error::Token { doing, source }
}

impl Token {
    /// Makes a key.
    pub(crate) fn generate(&self) -> Result<WrappingId, Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen(32.into()),
            Attribute::Label(self.key.as_bytes().to_vec()),
            Attribute::Id(id.to_vec()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
        ];
        self.session()?.generate_key(&Mechanism::AesKeyGen, &template).map_err(failed("make an AES key"))?;
        Ok(WrappingId(id))
    }

    /// Destroys a key.
    pub(crate) fn destroy(&self, id: WrappingId) -> Result<(), Error> {
        let session = self.session()?;
        let key = self.find(&session, id)?;
        session.destroy_object(key).map_err(failed("destroy the former key"))
    }

    pub(crate) fn encrypt(
        &self,
        id: WrappingId,
        nonce: &mut [u8; NONCE_BYTES],
        message: &[u8],
        bound: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let session = self.session()?;
        let key = self.find(&session, id)?;
        let sealed = gcm(nonce, bound).and_then(|by| session.encrypt(&by, key, message));
        sealed.map_err(failed("encrypt by AES-GCM"))
    }

    pub(crate) fn decrypt(
        &self,
        id: WrappingId,
        nonce: &mut [u8; NONCE_BYTES],
        sealed: &[u8],
        bound: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let session = self.session()?;
        let key = self.find(&session, id)?;
        let opened = gcm(nonce, bound).and_then(|by| session.decrypt(&by, key, sealed));
        opened.map_err(failed("decrypt by AES-GCM"))
    }

    fn session(&self) -> Result<Session, Error> {
        let module = Pkcs11::new(&self.module).map_err(failed("load the module"))?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Said::Pkcs11(RvError::CryptokiAlreadyInitialized, Function::Initialize)) => {}
            Err(error) => return Err(failed("begin")(error)),
        }
        let slots = module.get_slots_with_token().map_err(failed("list the tokens"))?;
        for slot in slots {
            let info = module.get_token_info(slot).map_err(failed("read a token's label"))?;
            if info.label() == self.token {
                let session = module.open_rw_session(slot).map_err(failed("open a session"))?;
                return match session.login(UserType::User, Some(&pin(&self.pin)?)) {
                    Ok(()) | Err(Said::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
                    Err(error) => Err(failed("log in: is the PIN right?")(error)),
                };
            }
        }
        Err(Error::NoToken(self.token.clone()))
    }

    fn find(&self, session: &Session, id: WrappingId) -> Result<ObjectHandle, Error> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Label(self.key.as_bytes().to_vec()),
            Attribute::Id(id.0.to_vec()),
        ];
        let found = session.find_objects(&template).map_err(failed("look for the key"))?;
        let absent = || Error::NoTokenKey { label: self.key.clone(), id: id.to_hex() };
        found.into_iter().next().ok_or_else(absent)
    }
}

fn gcm<'a>(nonce: &'a mut [u8; NONCE_BYTES], bound: &'a [u8]) -> Result<Mechanism<'a>, Said> {
    Ok(Mechanism::AesGcm(GcmParams::new(nonce, bound, TAG_BITS.into())?))
}

fn pin(path: &Path) -> Result<AuthPin, Error> {
    let bytes = file::read(path)?.ok_or_else(|| Error::Missing(path.to_owned()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::Damaged { path: path.to_owned(), what: "no text" })?;
    Ok(AuthPin::new(text.trim_end_matches(['\r', '\n']).into()))
}
