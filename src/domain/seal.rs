//! A seal on what windlass writes where others can edit it: who changes the
//! text, or copies it elsewhere, breaks it.

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
    /// `secret`: something that nobody else knows.
    pub fn new(secret: &[u8]) -> Self {
        Self([b"windlass comments: ", secret].concat())
    }

    /// Which key it is: 8 hexadecimal digits. Another key's seal says nothing, neither good nor bad.
    pub fn id(&self) -> String {
        self.of(&["which key"])[..8].to_string()
    }

    /// 16 hexadecimal digits over all parts.
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
