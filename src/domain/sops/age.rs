//! An age file that holds a data key: its armour, its header and its one chunk
//! (C2SP, age-encryption.org/v1), opened by an X25519 identity.
//!
//! The `age` crate would bring sixty others, of which some are not released yet; this reads the one
//! kind of recipient that SOPS makes of an `age1…` key, by the primitives of aws-lc.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

const VERSION: &str = "age-encryption.org/v1";
const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";
/// Of the payload's nonce, before its chunks.
const PAYLOAD_NONCE: usize = 16;
/// The nonce of a payload's first chunk that is its last one: a counter of eleven bytes, and 1.
const ONLY_CHUNK: [u8; NONCE_LEN] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// An X25519 secret key.
pub(super) struct Identity {
    private: PrivateKey,
    public: Vec<u8>,
}

impl Identity {
    /// Reads `AGE-SECRET-KEY-1…`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, key) = bech32::decode(text).ok()?;
        if !kind.as_str().eq_ignore_ascii_case("age-secret-key-") {
            return None;
        }
        let private = PrivateKey::from_private_key(&X25519, &key).ok()?;
        let public = private.compute_public_key().ok()?.as_ref().to_vec();
        Some(Self { private, public })
    }
}

/// Opens an armoured file of one chunk. None: it is for somebody else, or it was changed.
pub(super) fn open(armoured: &str, identity: &Identity) -> Option<Vec<u8>> {
    let text = armoured.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let text: String = text.split_whitespace().collect();
    let file = STANDARD.decode(text).ok()?;
    // The header ends with its MAC's line.
    let end = file.windows(5).position(|at| at == b"\n--- ")?;
    let (header, rest) = (&file[..end + 4], &file[end + 5..]);
    let line = rest.iter().position(|byte| *byte == b'\n')?;
    let (mac, payload) = (&rest[..line], &rest[line + 1..]);
    let stanzas = std::str::from_utf8(&file[..end]).ok()?;
    let stanzas = stanzas.strip_prefix(VERSION)?;
    let mut keys = stanzas
        .split("\n-> ")
        .skip(1)
        .filter_map(|stanza| unwrap(stanza, identity));
    keys.find_map(|key| {
        let mac = STANDARD_NO_PAD.decode(mac).ok()?;
        let of_header = hmac::Key::new(hmac::HMAC_SHA256, &derived(&key, &[], b"header"));
        hmac::verify(&of_header, header, &mac).ok()?;
        let (nonce, chunk) = payload.split_at_checked(PAYLOAD_NONCE)?;
        decrypted(&derived(&key, nonce, b"payload"), ONLY_CHUNK, chunk)
    })
}

/// The file key, if a stanza is `X25519` and for this identity.
fn unwrap(stanza: &str, identity: &Identity) -> Option<Vec<u8>> {
    let mut lines = stanza.lines();
    let share = lines.next()?.strip_prefix("X25519 ")?;
    let share = STANDARD_NO_PAD.decode(share).ok()?;
    let body: String = lines.collect();
    let body = STANDARD_NO_PAD.decode(body).ok()?;
    let salt = [share.as_slice(), &identity.public].concat();
    let info = format!("{VERSION}/X25519");
    let theirs = UnparsedPublicKey::new(&X25519, &share);
    let key = agree(&identity.private, theirs, (), |shared| {
        Ok(derived(shared, &salt, info.as_bytes()))
    });
    decrypted(&key.ok()?, [0; NONCE_LEN], &body)
}

/// Thirty-two bytes by HKDF with SHA-256.
fn derived(secret: &[u8], salt: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let info = [info];
    let expanded = extracted.expand(&info, hkdf::HKDF_SHA256);
    expanded
        .and_then(|expanded| expanded.fill(&mut key))
        .expect("thirty-two bytes are one block of SHA-256");
    key
}

fn decrypted(key: &[u8; 32], nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let mut text = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let opened = key.open_in_place(nonce, Aad::empty(), &mut text).ok()?;
    Some(opened.to_vec())
}
