//! One value that SOPS encrypted: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.

use aes_gcm::aead::generic_array::GenericArray;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, aead::consts::U32};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// SOPS's nonces have thirty-two bytes (getsops/sops aes/cipher.go).
type Cipher = AesGcm<Aes256, U32>;

/// The key of all values of one file.
pub(super) struct DataKey(Cipher);

/// Whether SOPS encrypted a value.
pub(super) fn is_encrypted(text: &str) -> bool {
    text.starts_with("ENC[AES256_GCM,") && text.ends_with(']')
}

impl DataKey {
    /// None: it has not thirty-two bytes.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        Some(Self(Cipher::new_from_slice(key).ok()?))
    }

    /// Opens the value at a path. None: it is not of this key and path, or was changed.
    pub(super) fn open(&self, text: &str, path: &[&str]) -> Option<Value> {
        let parts = text.strip_prefix("ENC[AES256_GCM,")?.strip_suffix(']')?;
        let part = |name: &str| {
            let mut parts = parts.split(',');
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix(':'))
        };
        let bytes = |name: &str| STANDARD.decode(part(name)?).ok();
        let (mut sealed, nonce) = (bytes("data")?, bytes("iv")?);
        sealed.extend(bytes("tag")?);
        if nonce.len() != 32 {
            return None;
        }
        let place = format!("{}:", path.join(":"));
        let payload = Payload {
            msg: &sealed,
            aad: place.as_bytes(),
        };
        let opened = self
            .0
            .decrypt(GenericArray::from_slice(&nonce), payload)
            .ok()?;
        let text = String::from_utf8(opened).ok()?;
        typed(part("type")?, text)
    }
}

/// A value of a type, as SOPS writes it (getsops/sops aes/cipher.go).
fn typed(kind: &str, text: String) -> Option<Value> {
    Some(match kind {
        "str" | "bytes" => text.into(),
        "int" => text.parse::<i64>().ok()?.into(),
        "float" => text.parse::<f64>().ok()?.into(),
        "bool" => text.eq_ignore_ascii_case("true").into(),
        _ => return None,
    })
}
