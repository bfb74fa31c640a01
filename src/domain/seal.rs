//! A seal (a keyed digest) on texts that windlass writes where others can edit
//! them: if somebody changes the text or copies it elsewhere, the seal is invalid.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// A key that only this installation has.
#[derive(Clone)]
pub struct Seal(Vec<u8>);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(***)")
    }
}

impl Seal {
    /// `secret`: a value that only this installation knows.
    pub fn new(secret: &[u8]) -> Self {
        Self([b"windlass comments: ", secret].concat())
    }

    /// The identity of the key: 8 hexadecimal digits. A seal by another key can be neither
    /// confirmed nor rejected.
    pub fn id(&self) -> String {
        self.of(&["which key"])[..8].to_string()
    }

    /// The seal over all parts: 16 hexadecimal digits.
    pub fn of(&self, parts: &[&str]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length will do");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        hex::encode(&mac.finalize().into_bytes()[..8])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_of_all_parts_and_of_the_key() {
        let seal = Seal::new(b"key");
        assert_eq!(seal.of(&["a", "bc"]), seal.of(&["a", "bc"]));
        assert_ne!(seal.of(&["a", "bc"]), seal.of(&["ab", "c"]));
        assert_ne!(seal.of(&["a"]), Seal::new(b"other").of(&["a"]));
    }
}
