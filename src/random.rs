//! Random values that nobody can guess.

use anyhow::anyhow;

/// So many random bytes as hexadecimal digits.
pub fn hexadecimal(bytes: usize) -> anyhow::Result<String> {
    let mut random = vec![0; bytes];
    fill(&mut random)?;
    Ok(hex::encode(random))
}

pub fn fill(bytes: &mut [u8]) -> anyhow::Result<()> {
    let source = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    source
        .fill(bytes)
        .map_err(|_| anyhow!("this system has no randomness"))
}
